"""
Certificates and keys in PEM form, in files that may hold other things besides.

Promises: what stands between the blocks is passed over; a block that cannot be read is named with its file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from OpenSSL import crypto

from smtpclient.tls.tlsa import CERTIFICATE, FULL, KEY, TRUST_ANCHOR, TlsaRecord

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.S)


class PemError(ValueError):
    """A file does not hold what it should; the text names it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key, its certificate, and the certificates up to an authority."""

    key: crypto.PKey
    certificate: crypto.X509
    chain: tuple[crypto.X509, ...] = ()


def certificates(path: str, data: bytes) -> list[crypto.X509]:
    """
    All certificates in a file.

    :param path: for messages.
    :raises PemError: when there is none, or one cannot be read.
    """
    found = []
    for kind, block in _blocks(data):
        if kind.endswith(b"CERTIFICATE"):
            try:
                found.append(crypto.load_certificate(crypto.FILETYPE_PEM, block))
            except crypto.Error as why:
                raise PemError(f"{path}: certificate {len(found) + 1} cannot be read: {why}") from None
    if not found:
        raise PemError(f"{path}: no certificate in it")
    return found


def keys(path: str, data: bytes) -> list[crypto.PKey]:
    """
    All private keys in a file.

    :raises PemError: when there is none, or one cannot be read, as when it is encrypted.
    """
    found = []
    for kind, block in _blocks(data):
        if kind.endswith(b"PRIVATE KEY"):
            try:
                # The passphrase keeps OpenSSL from asking for one on the terminal.
                found.append(crypto.load_privatekey(crypto.FILETYPE_PEM, block, b""))
            except crypto.Error:
                raise PemError(f"{path}: the private key cannot be read; it must not be encrypted") from None
    if not found:
        raise PemError(f"{path}: no private key in it")
    return found


def identities(path: str, data: bytes) -> list[Identity]:
    """
    The keys of a chain file, each followed by its certificate and the chain of that.

    :raises PemError: when a key is not followed by its certificate.
    """
    found: list[Identity] = []
    parts = re.split(rb"(?=-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----)", data)
    if any(kind.endswith(b"CERTIFICATE") for kind, _ in _blocks(parts[0])):
        raise PemError(f"{path}: a private key must come before its certificate")
    for part in parts[1:]:
        found.append(identity(path, keys(path, part)[0], certificates(path, part)))
    if not found:
        raise PemError(f"{path}: no private key in it")
    return found


def identity(path: str, key: crypto.PKey, chain: list[crypto.X509]) -> Identity:
    """
    A key with its certificates.

    :raises PemError: when they do not belong together.
    """
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    mine = key.to_cryptography_key().public_key().public_bytes(*form)  # type: ignore[union-attr]
    if mine != chain[0].get_pubkey().to_cryptography_key().public_bytes(*form):  # type: ignore[union-attr]
        raise PemError(f"{path}: the private key is not that of the first certificate")
    return Identity(key, chain[0], tuple(chain[1:]))


def anchors(path: str, data: bytes) -> tuple[TlsaRecord, ...]:
    """
    The authorities in a trust anchor file, certificates and public keys, as TLSA records.

    :raises PemError: when there is none, or one cannot be read.
    """
    found = []
    for kind, block in _blocks(data):
        try:
            if kind.endswith(b"CERTIFICATE"):
                der = x509.load_pem_x509_certificate(block).public_bytes(Encoding.DER)
                found.append(TlsaRecord(TRUST_ANCHOR, CERTIFICATE, FULL, der))
            elif kind.endswith(b"PUBLIC KEY"):
                der = load_pem_public_key(block).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
                found.append(TlsaRecord(TRUST_ANCHOR, KEY, FULL, der))
        except Exception as why:  # the library has many words for what is wrong
            raise PemError(f"{path}: trust anchor {len(found) + 1} cannot be read: {why}") from None
    if not found:
        raise PemError(f"{path}: no certificate and no public key in it")
    return tuple(found)


def _blocks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    for found in _BLOCK.finditer(data):
        yield found[1], found[0]
