"""OpenSSL contexts."""

from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls.certificate import Presented
from smtpclient.tls.context import Connecting, ContextProblem, Contexts
from smtpclient.tls.credentials import LOOK_AGAIN, CredentialFiles, Credentials
from smtpclient.tls.level import Level
from smtpclient.tls.policy import Requirement, TlsPolicy
from smtpclient.tls.settings import TlsSettings
from tests.tls.certificates import Issued, authority, issue
from tests.tls.memory_handshake import shake
from tests.tls.tls_world import Behaviour

ROOT = authority("root")
MIDDLE = authority("middle", ROOT)
LEAF = issue("", ["mx.example"], MIDDLE)


def connect(connecting: Connecting, identity: Issued | None) -> tuple[SSL.Connection, SSL.Connection]:
    """The client's and the server's end of a connection, after the handshake."""
    client = connecting.clientConnectionForTLS(None)  # type: ignore[arg-type]
    server = SSL.Connection(Behaviour(identity).context(), None)
    shake(client, server)
    return client, server


class ContextCase(SynchronousTestCase):
    def setUp(self) -> None:
        """A file of authorities."""
        self.path = Path(self.mktemp())
        self.path.write_bytes(ROOT.pem)
        self.clock = Clock()
        self.settings = TlsSettings()

    def contexts(self, depth: int = 0, **files: Any) -> Contexts:
        """Contexts with these files."""
        files = files or {"ca_file": str(self.path)}
        return Contexts(Credentials(CredentialFiles(**files), self.clock.seconds), depth)

    def policy(self, level: Level = Level.ENCRYPT, **changes: Any) -> TlsPolicy:
        """A policy at a level."""
        return self.settings.policy(Requirement(level, **changes), level, "example.org", "mx.example.org")

    def presented(self, contexts: Contexts, identity: Issued | None) -> Presented:
        """What a server with this certificate shows."""
        connecting = contexts.connecting(self.policy())
        client, _ = connect(connecting, identity)
        return connecting.presented(client)


class Handshakes(ContextCase):
    def test_trusted(self) -> None:
        """The chain comes as it was sent, and without fault."""
        self.assertEqual(self.presented(self.contexts(), LEAF), Presented(LEAF.chain))

    def test_faults(self) -> None:
        """What is wrong is recorded, and does not end the handshake."""
        rows = {
            issue("x"): "self-signed certificate",
            issue("x", issuer=ROOT, days=(-9, -1)): "certificate has expired",
            issue("x", issuer=ROOT, days=(1, 9)): "certificate is not yet valid",
            issue("x", issuer=authority("unknown")): "self-signed certificate in certificate chain (CN=unknown)",
        }
        found = {identity: self.presented(self.contexts(), identity).fault for identity in rows}
        self.assertEqual(found, rows)

    def test_nobody_trusted(self) -> None:
        """Without authorities nobody is trusted, the system's neither."""
        self.assertNotEqual(
            self.presented(Contexts(Credentials(CredentialFiles(), self.clock.seconds)), LEAF).fault, ""
        )

    def test_anonymous(self) -> None:
        """A server without a certificate presents none."""
        self.assertEqual(self.presented(self.contexts(), None), Presented())

    def test_depth(self) -> None:
        """A chain longer than smtp_tls_scert_verifydepth is at fault; 0 sets no limit."""
        lowest = issue("x", issuer=authority("third", authority("second", MIDDLE)))
        faults = [self.presented(self.contexts(depth), lowest).fault for depth in (0, 9, 1)]
        self.assertEqual(faults[:2], ["", ""])
        self.assertNotEqual(faults[2], "")

    def test_an_intermediate_is_no_anchor(self) -> None:
        """An authority that is not a root does not vouch for anybody in a CAfile."""
        self.path.write_bytes(MIDDLE.pem)
        self.assertNotEqual(self.presented(self.contexts(), LEAF).fault, "")

    def test_sni(self) -> None:
        """The name of the policy is asked for."""
        for name in ("mx.example.org", ""):
            connecting = self.contexts().connecting(self.policy(servername=name))
            self.assertEqual((connect(connecting, LEAF)[1].get_servername() or b"").decode(), name)

    def test_our_certificate(self) -> None:
        """Our certificate has its chain with it."""
        client = issue("client.example", issuer=MIDDLE)
        chain = Path(self.mktemp())
        chain.write_bytes(client.key_pem + client.pem + MIDDLE.pem)
        connection, _ = connect(self.contexts(chains=(str(chain),)).connecting(self.policy()), LEAF)
        certificate = connection.get_certificate()
        assert certificate is not None
        self.assertEqual(certificate.get_subject().CN, "client.example")


class Keeping(ContextCase):
    def test_one_for_each_policy(self) -> None:
        """Policies that differ in what is checked share a context; those of other versions or ciphers do not."""
        contexts = self.contexts()

        def context(level: Level, **changes: Any) -> SSL.Context:
            return contexts.connecting(self.policy(level, **changes)).context

        self.assertIs(context(Level.VERIFY), context(Level.SECURE, match=("x.test",)))
        self.assertIsNot(context(Level.VERIFY), context(Level.ENCRYPT))
        self.assertIsNot(context(Level.VERIFY), context(Level.VERIFY, protocols=">=TLSv1.3"))

    def test_not_without_end(self) -> None:
        """However many policies there are, few contexts are kept."""
        contexts = self.contexts()
        for number in range(150):
            contexts.prepare(self.policy(exclude=(f"cipher{number}",)))
        self.assertLessEqual(len(contexts._contexts), 100)

    def test_changed_files(self) -> None:
        """Files that change make new contexts."""
        contexts = self.contexts()
        before = contexts.connecting(self.policy()).context
        self.path.write_bytes(ROOT.pem + MIDDLE.pem)
        self.clock.advance(LOOK_AGAIN)
        self.assertIsNot(contexts.connecting(self.policy()).context, before)

    def test_prepare(self) -> None:
        """A context made early is the one that is used; what stands in the way is said later."""
        contexts = self.contexts()
        contexts.prepare(self.policy())
        [context] = contexts._contexts.values()
        self.assertIs(contexts.connecting(self.policy()).context, context)
        contexts.prepare(self.policy(protocols="TLSv9"))
        self.contexts(ca_file="/nonexistent").prepare(self.policy())


class Problems(ContextCase):
    def test_policy(self) -> None:
        """A policy with a problem has no context."""
        why = self.assertRaises(ContextProblem, self.contexts().connecting, self.policy(protocols="TLSv9"))
        self.assertIn("TLSv9", str(why))

    def test_files(self) -> None:
        """With files that cannot be read TLS may be used, and where it is required it is not begun."""
        contexts = self.contexts(ca_file="/nonexistent")
        self.assertIsNotNone(contexts.connecting(self.policy(Level.MAY)))
        for level in (Level.ENCRYPT, Level.VERIFY, Level.SECURE):
            self.assertRaises(ContextProblem, contexts.connecting, self.policy(level))

    def test_openssl(self) -> None:
        """What OpenSSL refuses is said in words."""
        policy = TlsPolicy(Level.ENCRYPT, versions=(0x0303,), ciphers="no-such-cipher")
        why = self.assertRaises(ContextProblem, self.contexts().connecting, policy)
        self.assertIn("OpenSSL takes neither", str(why))
