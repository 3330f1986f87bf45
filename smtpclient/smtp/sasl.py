"""
Which SASL mechanism is used: what the server offers, what the operator allows, what the credentials are good for.

=====================  ============  ==========  =============  =============  =============
mechanism              noplaintext   noactive    nodictionary   noanonymous    mutual_auth
=====================  ============  ==========  =============  =============  =============
SCRAM-SHA-256-PLUS     yes           yes                        yes            yes
SCRAM-SHA-256          yes           yes                        yes            yes
CRAM-MD5               yes                                      yes
OAUTHBEARER, XOAUTH2                             yes            yes
PLAIN, LOGIN                                                    yes
=====================  ============  ==========  =============  =============  =============

The options are Postfix's: each excludes the mechanisms that have not got its "yes". Of what is left the one that stands
highest is used. A token goes with OAUTHBEARER and XOAUTH2 alone, and only over TLS, whatever the options say
(RFC 6750 section 5.3).

Does not: talk (``smtpclient.smtp.authentication``).
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from smtpclient.smtp.mechanisms.bearer import OAuthBearer, XOAuth2
from smtpclient.smtp.mechanisms.cram_md5 import CramMd5
from smtpclient.smtp.mechanisms.mechanism import Credentials, Mechanism
from smtpclient.smtp.mechanisms.plain import Login, Plain
from smtpclient.smtp.mechanisms.scram import ChannelBinding, Scram

_NONCE_BYTES = 24

#: What each mechanism has got, the best first.
PROPERTIES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "SCRAM-SHA-256-PLUS": frozenset({"noplaintext", "noactive", "noanonymous", "mutual_auth"}),
        "SCRAM-SHA-256": frozenset({"noplaintext", "noactive", "noanonymous", "mutual_auth"}),
        "OAUTHBEARER": frozenset({"nodictionary", "noanonymous"}),
        "XOAUTH2": frozenset({"nodictionary", "noanonymous"}),
        "CRAM-MD5": frozenset({"noplaintext", "noanonymous"}),
        "PLAIN": frozenset({"noanonymous"}),
        "LOGIN": frozenset({"noanonymous"}),
    }
)
_FOR_TOKENS = ("OAUTHBEARER", "XOAUTH2")


class NoMechanism(Exception):
    """
    No mechanism can be used; the text says why for each that was offered.

    :ivar filtered: the operator's filter leaves none of the server's list, or the list was empty.
    """

    def __init__(self, why: str, *, filtered: bool) -> None:
        super().__init__(why)
        self.filtered = filtered


@dataclass(frozen=True, slots=True)
class SaslPolicy:
    """
    What the operator allows.

    :param options: ``smtp_sasl_security_options``, for sessions without TLS.
    :param tls_options: the same with TLS.
    :param verified_options: the same with TLS and a certificate that was verified.
    :param names: ``smtp_sasl_mechanism_filter``; empty: every mechanism. ``!name`` excludes, the first match decides.
    """

    options: frozenset[str] = frozenset({"noplaintext", "noanonymous"})
    tls_options: frozenset[str] = frozenset({"noplaintext", "noanonymous"})
    verified_options: frozenset[str] = frozenset({"noplaintext", "noanonymous"})
    names: tuple[str, ...] = ()

    def admits(self, name: str) -> bool:
        """Whether the filter lets a mechanism through."""
        for pattern in self.names:
            bare = pattern.removeprefix("!").upper()
            if bare in (name.upper(), "STATIC:REST", "STATIC:ALL"):
                return bare == pattern.upper()
        return not self.names


@dataclass(frozen=True, slots=True)
class Protection:
    """
    What a login may rely on in the session that it goes over.

    :param tls: it is encrypted.
    :param verified: and the server's certificate was what the policy wanted.
    :param binding: what a mechanism can bind itself to.
    """

    tls: bool = False
    verified: bool = False
    binding: ChannelBinding | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """Whom a token is meant for (RFC 7628 section 3.1)."""

    host: str
    port: int


def mechanisms(parameters: str) -> tuple[str, ...]:
    """The names in a server's AUTH line, in upper case, each once."""
    return tuple(dict.fromkeys(parameters.upper().replace("=", " ").split()))


def choose(
    offered: Sequence[str],
    credentials: Credentials,
    policy: SaslPolicy,
    protection: Protection,
    server: Server,
    random: Random,
) -> Mechanism:
    """
    The mechanism to log in with.

    :param offered: names in upper case.
    :param random: makes the nonce; the system's, outside of tests.
    :raises NoMechanism: when there is none.
    """
    admitted = [name for name in offered if policy.admits(name)]
    if not admitted:
        raise NoMechanism("the filter leaves none" if offered else "none was offered", filtered=True)
    reasons = {name: exclusion(name, credentials.is_token, policy, protection) for name in admitted}
    chosen = next((name for name in PROPERTIES if reasons.get(name) == ""), None)
    if chosen is None:
        raise NoMechanism("; ".join(f"{name}: {why}" for name, why in reasons.items()), filtered=False)
    return _made(chosen, offered, credentials, protection, server, random)


def exclusion(name: str, is_token: bool, policy: SaslPolicy, protection: Protection) -> str:
    """Why a mechanism is not used in a session, or nothing."""
    if name not in PROPERTIES:
        return "not known here"
    if is_token != (name in _FOR_TOKENS):
        return "takes no token" if is_token else "takes a token only"
    if is_token and not protection.tls:
        return "a token is sent over TLS only"
    if name.endswith("-PLUS") and protection.binding is None:
        return "there is no TLS channel to bind to"
    wanted, parameter = _wanted(policy, protection)
    missing = sorted(wanted - PROPERTIES[name])
    return f"{parameter} has {' '.join(missing)}" if missing else ""


def _wanted(policy: SaslPolicy, protection: Protection) -> tuple[frozenset[str], str]:
    if not protection.tls:
        return policy.options, "smtp_sasl_security_options"
    if protection.verified:
        return policy.verified_options, "smtp_sasl_tls_verified_security_options"
    return policy.tls_options, "smtp_sasl_tls_security_options"


def _made(
    name: str, offered: Sequence[str], credentials: Credentials, protection: Protection, server: Server, random: Random
) -> Mechanism:
    if name.startswith("SCRAM"):
        nonce = base64.b64encode(random.randbytes(_NONCE_BYTES)).decode()
        hidden = "SCRAM-SHA-256-PLUS" in offered
        return Scram(credentials, nonce, protection.binding, plus=name.endswith("-PLUS"), hidden=hidden)
    if name == "OAUTHBEARER":
        return OAuthBearer(credentials, server.host, server.port)
    simple: Mapping[str, Callable[[Credentials], Mechanism]] = {
        "XOAUTH2": XOAuth2,
        "CRAM-MD5": CramMd5,
        "PLAIN": Plain,
        "LOGIN": Login,
    }
    return simple[name](credentials)
