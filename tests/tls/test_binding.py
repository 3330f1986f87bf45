"""What a login is bound to in a TLS session: both ends compute the same."""

import datetime
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls.binding import channel_binding


def certificate(function: hashes.HashAlgorithm | None) -> tuple[x509.Certificate, crypto.PKey]:
    """A self-signed certificate; without a function its key is one that signs without."""
    key = ec.generate_private_key(ec.SECP256R1()) if function else ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.example")])
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(day)
        .not_valid_after(day + datetime.timedelta(3650))
        .sign(key, function)
    )
    return made, crypto.PKey.from_cryptography_key(key)


def connect(version: int, function: hashes.HashAlgorithm | None) -> tuple[SSL.Connection, SSL.Connection, bytes]:
    """Client, server, and the server's certificate; the handshake is over."""
    made, key = certificate(function)
    contexts = [SSL.Context(SSL.TLS_METHOD) for _ in range(2)]
    for context in contexts:
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
    contexts[1].use_privatekey(key)
    contexts[1].use_certificate(crypto.X509.from_cryptography(made))
    client, server = (SSL.Connection(context, None) for context in contexts)
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(10):
        for end, other in ((client, server), (server, client)):
            try:
                end.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(end.bio_read(65536))
            except SSL.WantReadError:
                pass
    return client, server, made.public_bytes(Encoding.DER)


class Binding(SynchronousTestCase):
    """Real handshakes, in memory."""

    def test_tls_1_3(self) -> None:
        """TLS 1.3: the secret of the session, which the server has too, and another session has not."""
        client, server, _ = connect(SSL.TLS1_3_VERSION, hashes.SHA256())
        binding = channel_binding(client)
        assert binding is not None
        self.assertEqual(binding.kind, "tls-exporter")
        self.assertEqual(binding.data, server.export_keying_material(b"EXPORTER-Channel-Binding", 32))
        self.assertNotEqual(binding, channel_binding(connect(SSL.TLS1_3_VERSION, hashes.SHA256())[0]))

    def test_tls_1_2(self) -> None:
        """Below: the server's certificate, by the hash function of its signature, but at least SHA-256."""
        made = {}
        for function, name in ((hashes.SHA256(), "sha256"), (hashes.SHA384(), "sha384")):
            client, _, der = connect(SSL.TLS1_2_VERSION, function)
            binding = channel_binding(client)
            assert binding is not None
            made[name] = (binding.kind, binding.data == hashlib.new(name, der).digest())
        self.assertEqual(made, dict.fromkeys(("sha256", "sha384"), ("tls-server-end-point", True)))

    def test_nothing_to_bind_to(self) -> None:
        """A signature without a hash function gives none (RFC 5929 leaves that open)."""
        client, _, _ = connect(SSL.TLS1_2_VERSION, None)
        self.assertIsNone(channel_binding(client))
