"""
How the TLS of one session came to its end, as a value: what a handshake tells whoever counts sessions.
"""

from dataclasses import dataclass

from smtpclient.tls.certificate import Presented
from smtpclient.tls.result_type import ResultType


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """
    How the TLS of one session came to its end, good or bad.

    :param result: what went wrong before a certificate could be looked at; None: nothing did.
    :param words: for people.
    :param code: for programs.
    :param complaint: what the policy has against the server; empty: nothing.
    :param presented: what the server has shown; None: nothing that was looked at now.
    :param local: our own address; empty where it is not known.
    """

    result: ResultType | None = None
    words: str = ""
    code: str = ""
    complaint: str = ""
    presented: Presented | None = None
    local: str = ""
