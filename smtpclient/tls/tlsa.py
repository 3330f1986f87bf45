"""
TLSA records (RFC 6698), as far as they mean something for SMTP (RFC 7672).

A record has a usage (2: DANE-TA, an authority in the chain; 3: DANE-EE, the server's own certificate; 0 and 1 are
unusable for SMTP, RFC 7672 section 3.1.3), a selector (0: the whole certificate, 1: its key), a matching type
(0: the data itself, 1: SHA-256, 2: SHA-512) and data.

Promises: :func:`read` takes any bytes; a record that means nothing here is kept apart from one that can be checked;
with digests of several strengths for the same usage and selector only the strongest counts (RFC 7671 section 9), so
that a broken hash function does not weaken the others; of a zone that lists hundreds of records only the first
``MOST`` that can be used are looked at, for each costs time.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509 import Certificate, load_der_x509_certificate

from smtpclient.tls.fingerprint import public_key_info

TRUST_ANCHOR, END_ENTITY = 2, 3
CERTIFICATE, KEY = 0, 1
FULL, SHA256, SHA512 = 0, 1, 2

#: How many records of one server are looked at.
MOST = 32

_DIGESTS = {SHA256: hashlib.sha256, SHA512: hashlib.sha512}


@dataclass(frozen=True, slots=True)
class TlsaRecord:
    """One record; its fields are numbers of one byte, whatever they mean."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        shown = self.data[:32].hex() + ("..." if len(self.data) > 32 else "")
        return f"{self.usage} {self.selector} {self.matching} {shown}"

    @property
    def is_supported(self) -> bool:
        """Whether its usage is one for SMTP. Records of others are as good as not there."""
        return self.usage in (TRUST_ANCHOR, END_ENTITY)

    @property
    def is_usable(self) -> bool:
        """Whether a certificate can be compared with it."""
        if not self.is_supported or self.selector not in (CERTIFICATE, KEY):
            return False
        if self.matching in _DIGESTS:
            return len(self.data) == _DIGESTS[self.matching]().digest_size
        return self.matching == FULL and self._is_readable()

    def _is_readable(self) -> bool:
        try:
            if self.selector == CERTIFICATE:
                load_der_x509_certificate(self.data).public_key()
            else:
                load_der_public_key(self.data)
        except Exception:  # any bytes may stand there, and the library has many words for what is wrong
            return False
        return True

    def matches(self, certificate: Certificate) -> bool:
        """Whether this is the certificate, or its key, that the record speaks of."""
        whole = self.selector == CERTIFICATE
        data = certificate.public_bytes(Encoding.DER) if whole else public_key_info(certificate)
        if self.matching in _DIGESTS:
            data = _DIGESTS[self.matching](data).digest()
        return data == self.data


def read(data: bytes) -> TlsaRecord | None:
    """The record in the bytes of a DNS answer; None when it is cut short."""
    if len(data) < 4:
        return None
    return TlsaRecord(data[0], data[1], data[2], data[3:])


def strongest(records: Iterable[TlsaRecord]) -> tuple[TlsaRecord, ...]:
    """
    Leave out what digest agility says not to look at, and what cannot be compared with.

    Whole certificates and keys (matching type 0) always count.
    """
    usable = list(islice((record for record in records if record.is_usable), MOST))
    best: dict[tuple[int, int], int] = {}
    for record in usable:
        kind = (record.usage, record.selector)
        best[kind] = max(best.get(kind, FULL), record.matching)
    return tuple(
        record for record in usable if record.matching == FULL or record.matching == best[record.usage, record.selector]
    )
