"""
Security levels: how much TLS mail to a server needs. The words are those of ``smtp_tls_security_level``.

=============  ========  ==========================================================================================
level          required  what is checked
=============  ========  ==========================================================================================
none           no        TLS is not used
may            no        nothing; a server without STARTTLS gets its mail in clear text
encrypt        yes       nothing
fingerprint    yes       the digest of the server's certificate or of its key
dane           yes       the server's TLSA records; where it has none, the level is ``may``
dane-only      yes       the same; where it has none, it gets no mail
verify         yes       a trusted authority, and by default the host's name from the MX record
secure         yes       a trusted authority, and by default the name of the next hop
=============  ========  ==========================================================================================
"""

import enum


class Level(enum.IntEnum):
    """The levels; a higher one is not weaker than a lower one."""

    NONE = 0
    MAY = 1
    ENCRYPT = 2
    FINGERPRINT = 3
    DANE = 4
    DANE_ONLY = 5
    VERIFY = 6
    SECURE = 7

    @property
    def word(self) -> str:
        """As a parameter has it."""
        return self.name.lower().replace("_", "-")

    @property
    def required(self) -> bool:
        """Whether mail waits rather than goes in clear text."""
        return self >= Level.ENCRYPT

    @property
    def authenticates(self) -> bool:
        """Whether the server must show who it is."""
        return self >= Level.FINGERPRINT

    @property
    def is_dane(self) -> bool:
        """Whether TLSA records decide."""
        return self in (Level.DANE, Level.DANE_ONLY)


def parse(word: str) -> Level:
    """
    The level that a word means, in any case.

    :raises ValueError: when it means none; says which words do.
    """
    for level in Level:
        if level.word == word.strip().lower():
            return level
    words = ", ".join(level.word for level in Level)
    raise ValueError(f'invalid security level "{word}": expected one of {words}')
