"""smtp_tls_policy_maps."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.tables import Tables
from smtpclient.tls import policy_map
from smtpclient.tls.level import Level
from smtpclient.tls.policy import FROM_MAP, PolicyProblem, Requirement


def read(text: str) -> Requirement:
    """What an entry says."""
    return policy_map.read(text, lambda sentence: None)


class Entries(SynchronousTestCase):
    def test_every_attribute(self) -> None:
        """A level, and every attribute that goes with it."""
        text = (
            "secure match=example.org:.example.net match=mx.test protocols=>=TLSv1.3 ciphers=high exclude=kRSA:MD5 "
            "servername=mx.test tafile=/a tafile=/b connection_reuse=yes"
        )
        self.assertEqual(
            read(text),
            Requirement(
                Level.SECURE,
                FROM_MAP,
                ("example.org", ".example.net", "mx.test"),
                ">=TLSv1.3",
                "high",
                ("kRSA", "MD5"),
                "mx.test",
                ("/a", "/b"),
                True,
            ),
        )

    def test_fingerprints_hold_colons(self) -> None:
        """Fingerprints are separated by bars."""
        self.assertEqual(read("fingerprint match=AA:BB|CC:DD match=EE:FF").match, ("AA:BB", "CC:DD", "EE:FF"))

    def test_level_alone(self) -> None:
        """Everything else is left to the defaults; words may be in capitals, and separated by commas."""
        self.assertEqual(read("Encrypt"), Requirement(Level.ENCRYPT, FROM_MAP))
        self.assertEqual(read("may, Protocols=TLSv1.2").protocols, "TLSv1.2")

    def test_faults(self) -> None:
        """What cannot be read is refused, with what is wrong."""
        rows = {
            "": "empty policy",
            "very-secure": "invalid security level",
            "may match=example.org": 'attribute "match" is invalid at security level "may"',
            "encrypt match=example.org": 'attribute "match" is invalid at security level "encrypt"',
            "dane tafile=/a": 'attribute "tafile" is invalid at security level "dane"',
            "secure colour=blue": 'invalid attribute "colour"',
            "secure match=": 'attribute "match" needs a value',
            "secure match": 'attribute "match" needs a value',
            "secure ciphers=high ciphers=low": 'attribute "ciphers" is specified more than once',
            "may connection_reuse=perhaps": "expected yes or no",
        }
        found = {}
        for text, words in rows.items():
            why = str(self.assertRaises(ValueError, read, text))
            found[text] = words if words in why else why
        self.assertEqual(found, rows)

    def test_none_ignores_attributes(self) -> None:
        """Attributes beside none are ignored, and that is said."""
        said: list[str] = []
        self.assertEqual(policy_map.read("none match=x ciphers=high", said.append), Requirement(Level.NONE, FROM_MAP))
        self.assertEqual(said, [f'ignoring attribute "{name}" with TLS disabled' for name in ("match", "ciphers")])


class Keys(SynchronousTestCase):
    def find(self, next_hop: str, table: str) -> Level | None:
        """The level of a next hop."""
        found = policy_map.find(Tables(table), next_hop, lambda sentence: None)
        return found.level if found else None

    def test_as_written(self) -> None:
        """The key is the next hop as it is written, in any case."""
        table = (
            "inline:{{[mx.test]:587 = encrypt}, {[mx.test] = may}, {example.org = secure}, {example.net:587 = verify}}"
        )
        wanted = {
            "[mx.test]:587": Level.ENCRYPT,
            "[mx.test]": Level.MAY,
            "[MX.test]": Level.MAY,
            "Example.org": Level.SECURE,
            "example.org:587": None,
            "[example.org]": None,
            "example.net": None,
            "example.net:587": Level.VERIFY,
            "mx.test": None,
        }
        self.assertEqual({next_hop: self.find(next_hop, table) for next_hop in wanted}, wanted)

    def test_parents(self) -> None:
        """A parent stands as .parent; the closest entry counts; names in brackets have no parents."""
        table = "inline:{{.org = may}, {.example.org = encrypt}, {a.example.org = none}}"
        wanted = {
            "a.example.org": Level.NONE,
            "b.example.org": Level.ENCRYPT,
            "c.b.example.org": Level.ENCRYPT,
            "example.org": Level.MAY,
            "org": None,
            "[b.example.org]": None,
            "b.example.org:25": None,
        }
        self.assertEqual({next_hop: self.find(next_hop, table) for next_hop in wanted}, wanted)

    def test_fault(self) -> None:
        """An entry that cannot be read names the table and the key."""
        problem = self.assertRaises(PolicyProblem, self.find, "example.org", "inline:{{example.org = splendid}}")
        self.assertEqual(problem.reason, "client TLS configuration problem")
        self.assertIn(
            'smtp_tls_policy_maps, next-hop destination "example.org": invalid security level', problem.detail
        )

    def test_warning(self) -> None:
        """A warning names the table and the key, too."""
        said: list[str] = []
        policy_map.find(Tables("inline:{{example.org = none match=x}}"), "example.org", said.append)
        self.assertEqual(
            said,
            ['smtp_tls_policy_maps, next-hop destination "example.org": ignoring attribute "match" with TLS disabled'],
        )
