"""The files of TLS."""

import os
from pathlib import Path
from typing import Any

from OpenSSL import crypto
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.tls.credentials import LOOK_AGAIN, CredentialFiles, Credentials
from smtpclient.tls.policy import PolicyProblem
from tests.tls.certificates import Issued, authority, issue

CA, OTHER_CA = authority("first"), authority("second")
LEAF = issue("client.example", issuer=CA)


def subjects(credentials: Credentials) -> list[str]:
    """The common names of the authorities that are trusted."""
    return [authority.get_subject().CN for authority in credentials.current().authorities]


def name(issued: Issued) -> str:
    """The name by which OpenSSL finds a certificate in a directory."""
    certificate = crypto.load_certificate(crypto.FILETYPE_PEM, issued.pem)
    return f"{certificate.subject_name_hash():08x}.0"


class Files(SynchronousTestCase):
    def setUp(self) -> None:
        """A folder, a clock, and what was warned of."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.clock = Clock()
        self.said: list[str] = []

    def file(self, file: str, *parts: bytes) -> str:
        """A file with this content."""
        path = self.folder / file
        path.write_bytes(b"".join(parts))
        return str(path)

    def credentials(self, **files: Any) -> Credentials:
        """What these files hold."""
        return Credentials(CredentialFiles(**files), self.clock.seconds, self.said.append)

    def test_parameters(self) -> None:
        """Every parameter that names a file is looked at; chain files put the pairs aside."""
        values = {
            "smtp_tls_CAfile": "/ca",
            "smtp_tls_CApath": "/cas",
            "tls_append_default_CA": "yes",
            "smtp_tls_cert_file": "/rsa",
            "smtp_tls_eccert_file": "/ec",
            "smtp_tls_eckey_file": "/eckey",
            "smtp_tls_trust_anchor_file": "/ta",
        }
        files = CredentialFiles.from_parameters(Parameters.from_values(values))
        self.assertEqual(
            files, CredentialFiles("/ca", "/cas", True, (("/ec", "/eckey"), ("/rsa", "/rsa")), (), ("/ta",))
        )
        files = CredentialFiles.from_parameters(Parameters.from_values({**values, "smtp_tls_chain_files": "/a, /b"}))
        self.assertEqual((files.pairs, files.chains), ((), ("/a", "/b")))

    def test_nothing(self) -> None:
        """Without files nobody is trusted, and nothing is wrong."""
        loaded = self.credentials().current()
        self.assertEqual((loaded.authorities, loaded.identities, loaded.problem, self.said), ((), (), "", []))

    def test_authorities(self) -> None:
        """Those of the file, and those of the directory under their hashes."""
        (self.folder / "cas").mkdir()
        self.file("cas/" + name(OTHER_CA), OTHER_CA.pem)
        self.file("cas/README.pem", b"no certificate")
        credentials = self.credentials(ca_file=self.file("ca", CA.pem), ca_path=str(self.folder / "cas"))
        self.assertEqual(subjects(credentials), ["first", "second"])

    def test_default_authorities(self) -> None:
        """The system's own are added where that is asked for."""
        credentials = self.credentials(ca_file=self.file("ca", CA.pem), default_authorities=True)
        self.assertEqual(subjects(credentials)[0], "first")
        if credentials.current().problem:
            self.assertIn("certification authorities", credentials.current().problem)

    def test_identities(self) -> None:
        """A pair of files, or a chain file, gives a key with its certificates."""
        pair = (self.file("cert", LEAF.pem, CA.pem), self.file("key", LEAF.key_pem))
        chain = self.file("chain", LEAF.key_pem, LEAF.pem)
        counts = [
            [len(identity.chain) for identity in credentials.current().identities]
            for credentials in (self.credentials(pairs=(pair,)), self.credentials(chains=(chain,)))
        ]
        self.assertEqual(counts, [[1], [0]])

    def test_cannot_be_read(self) -> None:
        """A file that is missing, or is something else, is a problem that names it, and is warned of."""
        missing, broken = str(self.folder / "missing"), self.file("broken", b"?")
        rows: list[tuple[dict[str, Any], str]] = [
            ({"ca_file": missing}, f"{missing}: No such file or directory"),
            ({"ca_path": missing}, f"{missing}: No such file or directory"),
            ({"ca_file": broken}, f"{broken}: no certificate in it"),
            ({"chains": (broken,)}, f"{broken}: no private key in it"),
            ({"pairs": ((self.file("cert", LEAF.pem), self.file("key", CA.key_pem)),)}, "is not that of the first"),
        ]
        for files, words in rows:
            problem = self.credentials(**files).current().problem
            self.assertIn(words, problem)
            self.assertEqual(self.said.pop(), problem)

    def test_a_change_is_noticed(self) -> None:
        """A file that has changed is read again, without a restart, at the next look."""
        credentials = self.credentials(ca_file=self.file("ca", CA.pem))
        before = credentials.current()
        self.file("ca", CA.pem, OTHER_CA.pem)
        self.assertIs(credentials.current(), before)
        self.clock.advance(LOOK_AGAIN)
        self.assertEqual(subjects(credentials), ["first", "second"])
        after = credentials.current()
        self.clock.advance(LOOK_AGAIN)
        self.assertIs(credentials.current(), after)

    def test_a_bad_change(self) -> None:
        """What cannot be read any more stays as it was, and that is said once; a repair is noticed."""
        path = self.file("ca", CA.pem)
        credentials = self.credentials(ca_file=path)
        os.unlink(path)
        for _ in range(3):
            self.clock.advance(LOOK_AGAIN)
            self.assertEqual(subjects(credentials), ["first"])
        [said] = self.said
        self.assertTrue(said.endswith("what was read before stays in use"))
        self.file("ca", OTHER_CA.pem)
        self.clock.advance(LOOK_AGAIN)
        self.assertEqual(subjects(credentials), ["second"])

    def test_a_late_file(self) -> None:
        """A file that comes after the start mends what was wrong."""
        credentials = self.credentials(ca_file=str(self.folder / "ca"))
        self.assertNotEqual(credentials.current().problem, "")
        self.file("ca", CA.pem)
        self.clock.advance(LOOK_AGAIN)
        self.assertEqual((credentials.current().problem, subjects(credentials)), ("", ["first"]))

    def test_a_clock_that_goes_back(self) -> None:
        """A clock set back does not keep a change from being noticed."""
        credentials = self.credentials(ca_file=self.file("ca", CA.pem))
        self.file("ca", OTHER_CA.pem)
        self.clock.rightNow -= 1000.0
        self.assertEqual(subjects(credentials), ["second"])

    def test_anchors(self) -> None:
        """Trust anchor files are read when they are needed, again when they change, and kept when they go."""
        path = self.file("ta", CA.pem)
        credentials = self.credentials(anchors=(path,))
        self.assertEqual(credentials.anchors((path,)), (CA.tlsa(2, 0, 0),))
        self.file("ta", CA.pem, OTHER_CA.pem)
        self.assertEqual(credentials.anchors((path,)), (CA.tlsa(2, 0, 0), OTHER_CA.tlsa(2, 0, 0)))
        os.unlink(path)
        self.assertEqual(len(credentials.anchors((path,))), 2)

    def test_anchors_that_cannot_be_read(self) -> None:
        """A trust anchor file that was never there makes mail wait; at the start it is warned of."""
        missing = str(self.folder / "missing")
        credentials = self.credentials(anchors=(missing,))
        self.assertIn(missing, self.said[0])
        problem = self.assertRaises(PolicyProblem, credentials.anchors, (missing,))
        self.assertEqual(problem.reason, "client TLS configuration problem")
        self.assertIn(missing, problem.detail)
