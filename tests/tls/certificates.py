"""
Authorities and certificates for tests, made in memory in a moment; and the TLSA records that speak of them.
"""

import datetime
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from smtpclient.tls.tlsa import TlsaRecord

DAY = datetime.timedelta(days=1)
SHA256 = hashes.SHA256()
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True)
class Issued:
    """A certificate, its key, and who issued it; None: itself."""

    certificate: x509.Certificate
    key: Any
    issuer: "Issued | None" = None

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        """The private key, not encrypted."""
        return bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    @property
    def key_info(self) -> bytes:
        """SubjectPublicKeyInfo."""
        return bytes(
            self.key.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """This certificate and those above it."""
        return (self.certificate, *(self.issuer.chain if self.issuer else ()))

    def tlsa(self, usage: int, selector: int, matching: int) -> TlsaRecord:
        """The record that speaks of this certificate."""
        data = self.key_info if selector else self.der
        if matching:
            data = {1: hashlib.sha256, 2: hashlib.sha512}[matching](data).digest()
        return TlsaRecord(usage, selector, matching, data)


def issue(
    common_name: str = "",
    names: Sequence[str] = (),
    issuer: Issued | None = None,
    *,
    authority: bool = False,
    days: tuple[int, int] = (-1, 30),
    purposes: Sequence[x509.ObjectIdentifier] = (),
    key: Any = None,
    addresses: Sequence[str] = (),
    function: hashes.HashAlgorithm | None = SHA256,
) -> Issued:
    """
    Make a certificate.

    :param names: DNS subject alternative names.
    :param issuer: None: signed by itself.
    :param days: from when to when it is valid, counted from today.
    :param function: what is signed with; None: the issuer's key is one that signs without.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
    )
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
    alternative: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternative += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative), not common_name)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
    return Issued(builder.sign(issuer.key if issuer else key, function), key, issuer)


def authority(name: str = "Test CA", issuer: Issued | None = None) -> Issued:
    """An authority."""
    return issue(name, issuer=issuer, authority=True)
