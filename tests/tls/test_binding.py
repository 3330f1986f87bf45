"""What a login is bound to in a TLS session: both ends compute the same."""

import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from OpenSSL import SSL, crypto
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls.binding import channel_binding
from tests.tls.certificates import issue
from tests.tls.memory_handshake import shake


def connect(version: int, function: hashes.HashAlgorithm | None) -> tuple[SSL.Connection, SSL.Connection, bytes]:
    """Client, server, and the server's certificate; the handshake is over."""
    # Without a function the certificate's key is one that signs without.
    made = issue("mx.example", key=None if function else ed25519.Ed25519PrivateKey.generate(), function=function)
    contexts = [SSL.Context(SSL.TLS_METHOD) for _ in range(2)]
    for context in contexts:
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
    contexts[1].use_privatekey(crypto.PKey.from_cryptography_key(made.key))
    contexts[1].use_certificate(crypto.X509.from_cryptography(made.certificate))
    client, server = (SSL.Connection(context, None) for context in contexts)
    shake(client, server)
    return client, server, made.der


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
