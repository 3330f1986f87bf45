"""
SASLprep (RFC 4013): names and passwords in the one form that both sides compute with.

Unassigned code points are let through, as RFC 3454 section 7 wants of what is a query.
"""

import stringprep
import unicodedata

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """
    The prepared form.

    :raises ValueError: when the text holds what RFC 4013 forbids; the text itself is not in the words.
    """
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if any(prohibited(character) for character in prepared for prohibited in _PROHIBITED):
        raise ValueError("a character that SASLprep (RFC 4013) forbids")
    if any(stringprep.in_table_d1(character) for character in prepared):
        ends = prepared[0], prepared[-1]
        mixed = any(stringprep.in_table_d2(character) for character in prepared)
        if mixed or not all(stringprep.in_table_d1(character) for character in ends):
            raise ValueError("a mixture of directions that SASLprep (RFC 4013) forbids")
    return prepared
