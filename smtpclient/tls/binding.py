"""
What a login can be bound to in a TLS session (RFC 5056): so that it is good for this channel and no other.

``tls-exporter`` (RFC 9266) for TLS 1.3, where every session has a secret of its own; ``tls-server-end-point`` (RFC 5929
section 4), the hash of the server's certificate, below that: the other binding of TLS 1.2 depends on an extension that
cannot be asked for here.

Does not: use ``tls-unique``, which TLS 1.3 has not got and which is broken in older versions (RFC 7627).
"""

import hashlib

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from smtpclient.smtp.mechanisms.scram import ChannelBinding

_LABEL = b"EXPORTER-Channel-Binding"
_LENGTH = 32


def channel_binding(connection: SSL.Connection) -> ChannelBinding | None:
    """The binding for a TLS connection whose handshake is over; None where there is nothing to bind to."""
    if connection.get_protocol_version() >= SSL.TLS1_3_VERSION:
        return ChannelBinding("tls-exporter", connection.export_keying_material(_LABEL, _LENGTH, b""))
    digest = _certificate_digest(connection)
    return ChannelBinding("tls-server-end-point", digest) if digest else None


def _certificate_digest(connection: SSL.Connection) -> bytes:
    """The hash of the server's certificate by the function of its own signature, or nothing where there is no such."""
    x509 = connection.get_peer_certificate()
    if x509 is None:
        return b""
    certificate = x509.to_cryptography()
    function = certificate.signature_hash_algorithm
    if function is None:  # Ed25519 and its like sign without one, and RFC 5929 leaves that case open
        return b""
    name = "sha256" if function.name in ("md5", "sha1") else function.name
    return hashlib.new(name, certificate.public_bytes(Encoding.DER)).digest()
