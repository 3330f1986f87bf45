"""Which mechanism is chosen."""

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.smtp.mechanisms.mechanism import Credentials
from smtpclient.smtp.mechanisms.scram import ChannelBinding
from smtpclient.smtp.sasl import PROPERTIES, NoMechanism, Protection, SaslPolicy, Server, choose, mechanisms

EVERY = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "OAUTHBEARER", "XOAUTH2", "GSSAPI")
CLEAR, TLS = Protection(), Protection(True, binding=ChannelBinding("tls-exporter", b"x"))
VERIFIED = Protection(True, True)
NOTHING = frozenset[str]()


def policy(*options: str, names: tuple[str, ...] = (), **others: Any) -> SaslPolicy:
    """The same options for all sessions, unless said otherwise."""
    wanted = frozenset(options)
    return SaslPolicy(**{"options": wanted, "tls_options": wanted, "verified_options": wanted, **others}, names=names)


class Choice(SynchronousTestCase):
    """From an offer to a mechanism."""

    def chosen(
        self,
        *offered: str,
        rules: SaslPolicy | None = None,
        protection: Protection = CLEAR,
        token: bool = False,
    ) -> str:
        """The name of the mechanism, or why there is none."""
        credentials = Credentials("u", "p", token)
        try:
            mechanism = choose(
                offered, credentials, rules or policy("noanonymous"), protection, Server("h", 25), Random(1)
            )
        except NoMechanism as why:
            return f"none{' left' if why.filtered else ''}: {why}"
        return mechanism.name

    def test_the_best_is_taken(self) -> None:
        """Of those that are left, the one that gives away least."""
        left = list(EVERY)
        order = []
        while (name := self.chosen(*left, protection=TLS)) in left:
            order.append(name)
            left.remove(name)
        self.assertEqual(order, ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"])

    def test_every_option(self) -> None:
        """Each security option excludes what has not got it."""
        admitted = {}
        for option in ("noplaintext", "noactive", "nodictionary", "noanonymous", "mutual_auth"):
            admitted[option] = [
                name
                for name in PROPERTIES
                if self.chosen(name, rules=policy(option), protection=TLS, token="OAUTH" in name) == name
            ]
        scram = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
        self.assertEqual(
            admitted,
            {
                "noplaintext": [*scram, "CRAM-MD5"],
                "noactive": scram,
                "nodictionary": ["OAUTHBEARER", "XOAUTH2"],
                "noanonymous": list(PROPERTIES),
                "mutual_auth": scram,
            },
        )

    def test_options_follow_the_session(self) -> None:
        """Clear text, TLS, and TLS with a verified server have options of their own."""
        rules = policy(options=frozenset({"mutual_auth"}), tls_options=frozenset({"noplaintext"}))
        chosen = [self.chosen("PLAIN", "CRAM-MD5", rules=rules, protection=p) for p in (CLEAR, TLS, VERIFIED)]
        self.assertEqual(chosen[1:], ["CRAM-MD5", "CRAM-MD5"])
        self.assertEqual(
            chosen[0],
            "none: PLAIN: smtp_sasl_security_options has mutual_auth; "
            "CRAM-MD5: smtp_sasl_security_options has mutual_auth",
        )
        strict = policy(verified_options=frozenset({"noplaintext"}), tls_options=NOTHING)
        self.assertEqual(
            [self.chosen("PLAIN", rules=strict, protection=p)[:5] for p in (TLS, VERIFIED)], ["PLAIN", "none:"]
        )

    def test_binding_needs_tls(self) -> None:
        """-PLUS is of no use where there is nothing to bind to."""
        self.assertEqual(
            self.chosen("SCRAM-SHA-256-PLUS"), "none: SCRAM-SHA-256-PLUS: there is no TLS channel to bind to"
        )

    def test_tokens_never_without_tls(self) -> None:
        """A token is not sent in clear text, whatever the options say."""
        words = self.chosen("XOAUTH2", "PLAIN", rules=policy(), token=True)
        self.assertEqual(words, "none: XOAUTH2: a token is sent over TLS only; PLAIN: takes no token")

    def test_tokens_have_mechanisms_of_their_own(self) -> None:
        """A token goes by OAUTHBEARER, else XOAUTH2; a password by neither."""
        chosen = [
            self.chosen(*EVERY, protection=TLS, token=True),
            self.chosen("XOAUTH2", "PLAIN", protection=TLS, token=True),
            self.chosen("XOAUTH2", "LOGIN", protection=TLS),
        ]
        self.assertEqual(chosen, ["OAUTHBEARER", "XOAUTH2", "LOGIN"])

    def test_filter(self) -> None:
        """The first pattern that fits decides; a list that ends without one admits nothing more."""
        wanted = {
            ("plain", "login"): "PLAIN",
            ("!scram-sha-256", "!cram-md5", "static:rest"): "PLAIN",
            ("!plain",): "none left: the filter leaves none",
            ("gssapi",): "none left: the filter leaves none",
            ("static:all",): "SCRAM-SHA-256",
        }
        offered = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256")
        self.assertEqual({n: self.chosen(*offered, rules=policy(names=n)) for n in wanted}, wanted)

    def test_no_offer(self) -> None:
        """An AUTH line without a mechanism."""
        self.assertEqual(self.chosen(), "none left: none was offered")

    def test_unknown_mechanism(self) -> None:
        """What we do not speak is named."""
        self.assertEqual(self.chosen("GSSAPI"), "none: GSSAPI: not known here")

    def test_nonces_differ(self) -> None:
        """Every login has a nonce of its own, without a comma."""
        random = Random(7)
        firsts = {
            choose(("SCRAM-SHA-256",), Credentials("u", "p"), policy(), CLEAR, Server("h", 25), random).start()
            for _ in range(50)
        }
        self.assertEqual(len(firsts), 50)
        self.assertEqual({first.count(b",") for first in firsts if first is not None}, {3})

    def test_names_of_an_offer(self) -> None:
        """Names are read in any case, once each, also from the old form with an equals sign."""
        self.assertEqual(mechanisms("plain LOGIN =cram-md5 Login"), ("PLAIN", "LOGIN", "CRAM-MD5"))
