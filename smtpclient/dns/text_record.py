"""
TXT records (RFC 1035 section 3.3.14): what they say, as text.

A record is one or several strings of up to 255 bytes; whoever publishes long texts cuts them anywhere, so they are put
together without anything between (RFC 8461 section 3.1, RFC 8460 section 3).

Promises: any bytes are taken; what is not ASCII comes out as lone surrogates, which nothing that looks for ASCII words
takes for one.
"""

from smtpclient.dns.answer import Answer, Opaque

TXT = 16


def text_of(rdata: bytes) -> str | None:
    """The text of one record; None when its strings do not fill it exactly, or there is none."""
    parts = []
    at = 0
    while at < len(rdata):
        end = at + 1 + rdata[at]
        if end > len(rdata):
            return None
        parts.append(rdata[at + 1 : end])
        at = end
    return b"".join(parts).decode("ascii", "surrogateescape") if parts else None


def texts_of(answer: Answer) -> tuple[str, ...]:
    """The texts of all records in an answer that can be read."""
    read = (text_of(record.data) for record in answer.records if isinstance(record, Opaque))
    return tuple(text for text in read if text is not None)


def only_text(answer: Answer, version: str) -> str:
    """
    The one record of a version: an empty text when there is none, or more than one.

    :param version: how a record of interest begins, for instance ``v=STSv1``; a semicolon must follow.
    """
    found = [
        text for text in texts_of(answer) if text.startswith(version) and text[len(version) :].lstrip(" \t")[:1] == ";"
    ]
    return found[0] if len(found) == 1 else ""
