"""
The TXT record ``_mta-sts.DOMAIN`` (RFC 8461 section 3.1): it says that there is a policy, and by its id when there is
another one.

The record is not signed: who can forge it can hide a policy that is not known yet, or have it fetched once more, and
nothing else.
"""

import re

from smtpclient.dns.answer import Answer, Status
from smtpclient.dns.text_record import only_text

VERSION = "v=STSv1"

_DELIMITER = re.compile(r"[ \t]*;[ \t]*")
_FIELD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([!-:<>-~]+)")
_ID = re.compile(r"[A-Za-z0-9]{1,32}")


def name_of(domain: str) -> str:
    """Where a domain's record stands."""
    return f"_mta-sts.{domain}"


def policy_id(answer: Answer) -> str:
    """The id in an answer; empty where there is no record, more than one, or one that breaks the rules."""
    return read(only_text(answer, VERSION)) if answer.status is Status.FOUND else ""


def read(text: str) -> str:
    """The id in the text of a record; empty when it has none or breaks the rules. The first of several counts."""
    fields = _DELIMITER.split(text)
    if fields[-1] == "":
        fields.pop()
    if not fields or fields[0] != VERSION:
        return ""
    found = [_FIELD.fullmatch(field) for field in fields[1:]]
    if not all(found):
        return ""
    ids = [field[2] for field in found if field and field[1] == "id"]
    return ids[0] if ids and _ID.fullmatch(ids[0]) else ""
