"""
Digests of certificates and of public keys, as ``smtp_tls_fingerprint_cert_match`` has them.

A fingerprint is a digest in hexadecimal with or without colons, in any case. As in Postfix, it may be that of the
whole certificate or that of the key in it (SubjectPublicKeyInfo), and one that matches will do.
"""

import hashlib
import re
from collections.abc import Iterable

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Certificate

_HEXADECIMAL = re.compile(r"(?:[0-9a-f]{2})+")


def public_key_info(certificate: Certificate) -> bytes:
    """The certificate's SubjectPublicKeyInfo, as it stands in the certificate."""
    # Not public_key(): a key of a kind that this library cannot use has a digest all the same.
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


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
