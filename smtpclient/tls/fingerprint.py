"""
Digests of certificates and of public keys, as ``smtp_tls_fingerprint_cert_match`` has them.

A fingerprint is a digest in hexadecimal with or without colons, in any case. As in Postfix, it may be that of the
whole certificate or that of the key in it (SubjectPublicKeyInfo), and one that matches will do.
"""

import hashlib
import re
from collections.abc import Iterable

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

_VERSION = 0xA0  # the tag of the version, which certificates of the first version lack
_HEXADECIMAL = re.compile(r"(?:[0-9a-f]{2})+")


def public_key_info(certificate: Certificate) -> bytes:
    """
    The certificate's SubjectPublicKeyInfo, byte by byte as it stands there (RFC 5280 section 4.1).

    It is not read and written again: that could change it (there are several ways to write a point of a curve), and
    a key of a kind that nobody here knows has a digest all the same.

    :raises ValueError: when the certificate is none.
    """
    _, at, _ = _element(certificate.tbs_certificate_bytes, 0)
    data = certificate.tbs_certificate_bytes
    fields_before_key = 5  # serial number, signature, issuer, validity, subject
    if data[at] == _VERSION:
        fields_before_key += 1
    for _ in range(fields_before_key):
        _, _, at = _element(data, at)
    begin, _, end = _element(data, at)
    return data[begin:end]


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """Where an element of DER begins, where its content does, and where it ends."""
    try:
        size, content = data[at + 1], at + 2
        if size & 0x80:
            octets = size & 0x7F
            size, content = int.from_bytes(data[content : content + octets], "big"), content + octets
    except IndexError:
        raise ValueError("a certificate that ends early") from None
    if content + size > len(data):
        raise ValueError("a certificate that ends early")
    return at, content, content + size


def normalize(text: str, digest: str) -> str:
    """
    A fingerprint in its one spelling.

    :param digest: the name of the hash function.
    :raises ValueError: when it is none, or none of this function.
    """
    bare = text.strip().replace(":", "").lower()
    size = new(digest).digest_size
    if not _HEXADECIMAL.fullmatch(bare) or len(bare) != 2 * size:
        raise ValueError(f'"{text}" is no {digest} fingerprint: expected {size} pairs of hexadecimal digits')
    return bare


def new(digest: str) -> "hashlib._Hash":
    """
    A fresh hash.

    :raises ValueError: when there is no such function, or its digests have no size of their own.
    """
    found = hashlib.new(digest.strip().lower())
    if not found.digest_size:
        raise ValueError(f"{digest} digests have no fixed size")
    return found


def matches(certificate: Certificate, fingerprints: Iterable[str], digest: str) -> bool:
    """Whether one of the fingerprints, in their one spelling, is the certificate's or its key's."""
    wanted = set(fingerprints)
    return not wanted.isdisjoint(of(certificate, digest))


def of(certificate: Certificate, digest: str) -> tuple[str, str]:
    """The fingerprints of a certificate and of its key."""
    whole, key = new(digest), new(digest)
    whole.update(certificate.public_bytes(Encoding.DER))
    key.update(public_key_info(certificate))
    return whole.hexdigest(), key.hexdigest()
