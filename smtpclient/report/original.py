"""
What a report returns of the message that it is about.

Promises: no more than ``bounce_size_limit`` of a message is kept in memory, and no more than :data:`HEADER_LIMIT` of a
header; where the whole message would be too long, the header alone is returned, never a part of the body.

Does not: change a byte of what it returns.

Known limits: with ``bounce_size_limit = 0`` a whole message of any size is held in memory while its report is made.
"""

import re
from dataclasses import dataclass

from smtpclient.interfaces import IMessageContent

HEADER_LIMIT = 102400
"""Bytes of a header that are returned; Postfix's ``header_size_limit`` is the precedent."""

MOST_REFERENCES = 20

_HEADER_LINE = re.compile(rb"[ \t]|[!-9;-~]+[ \t]*:")
_MESSAGE_ID = re.compile(rb"<[!-;=?-~]{1,236}>")
_FIELD = rb"(?im)^%b[ \t]*:((?:[^\n]*)(?:\n[ \t][^\n]*)*)"
_ID_FIELD = re.compile(_FIELD % b"message-id")
_REFERENCES_FIELD = re.compile(_FIELD % b"references")


@dataclass(frozen=True, slots=True)
class Original:
    """
    The message that a report is about.

    :param data: the header, or header and body; lines end in LF.
    :param whole: whether the body is there.
    :param message_id: its Message-ID with angle brackets, or empty when it has none that is well formed.
    :param references: the message ids in its References, oldest first.
    """

    data: bytes
    whole: bool
    message_id: str = ""
    references: tuple[str, ...] = ()


def header_length(data: bytes) -> int:
    """
    How many bytes of a content are its header, without the blank line behind it.

    The header ends at the first line that cannot be one of it, so that the body of a malformed message stays private.
    """
    end = 0
    while end < len(data) and _HEADER_LINE.match(data, end):
        line_end = data.find(b"\n", end)
        end = line_end + 1 if line_end >= 0 else len(data)
    return end


def from_bytes(data: bytes, whole: bool) -> Original:
    """
    Take what is to be returned out of the content, or out of its beginning.

    :param data: at least the header; where the header itself is longer than may be kept, whole lines of it.
    :param whole: whether the body is to be returned and ``data`` is everything.
    """
    header = data[: header_length(data)]
    ids = _MESSAGE_ID.findall(found[1]) if (found := _ID_FIELD.search(header)) else []
    earlier = _MESSAGE_ID.findall(found[1]) if (found := _REFERENCES_FIELD.search(header)) else []
    if len(earlier) > MOST_REFERENCES:
        earlier = [earlier[0], *earlier[1 - MOST_REFERENCES :]]
    returned = data if whole else header
    return Original(
        data=returned if returned.endswith(b"\n") or not returned else returned + b"\n",
        whole=whole,
        message_id=ids[0].decode("ascii") if ids else "",
        references=tuple(each.decode("ascii") for each in earlier),
    )


async def read_original(content: IMessageContent, whole: bool, limit: int) -> Original:
    """
    Read what is to be returned.

    :param whole: whether the body is wanted.
    :param limit: bytes; a longer content is returned as its header alone. 0: no limit.
    :raises Exception: whatever the content raises when it cannot be read.
    """
    data = bytearray()
    reader = content.open()
    try:
        while block := await reader.next_block():
            data += block
            whole = whole and (not limit or len(data) <= limit)
            if not whole and _header_is_complete(data):
                break
    finally:
        reader.close()
    if whole:
        return from_bytes(bytes(data), whole=True)
    kept = bytes(data[:HEADER_LIMIT])
    return from_bytes(kept if len(data) <= HEADER_LIMIT else kept[: kept.rfind(b"\n") + 1], whole=False)


def _header_is_complete(data: bytearray) -> bool:
    """Whether reading on would add nothing to the header that is returned; a block may end within a line."""
    lines = bytes(data[: data.rfind(b"\n") + 1])
    return len(data) > HEADER_LIMIT or header_length(lines) < len(lines)
