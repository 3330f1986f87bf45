"""Explanations come from the functions that deliver, and say what delivery would do."""

import dataclasses
import json
from collections.abc import Mapping
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.config.tables import Tables
from smtpclient.delivery.credentials import CredentialLookup, CredentialSettings
from smtpclient.delivery.explainer import Explainer
from smtpclient.delivery.explanation import Explanation, Fate, Probe, TlsExplanation, as_json, fate_of_sites, worst
from smtpclient.delivery.login import Logins, LoginSettings
from smtpclient.delivery.means import WalkSettings
from smtpclient.delivery.routing import Routing
from smtpclient.dns.exchangers import LookupFailure
from smtpclient.mail.outcome import Disposition
from smtpclient.smtp.sasl import SaslPolicy
from tests.delivery.memory_network import World, short
from tests.smtp.scripted_server import Script

DOMAIN = "the recipient's domain"
SECRET = "hunter2-Secret!"
NOT_FOUND = LookupFailure(Disposition.BOUNCED, "5.4.4", "Host or domain name not found", not_found=True)


class ExplainerCase(SynchronousTestCase):
    """A world, and what is explained of it."""

    maxDiff = None

    def explain(
        self,
        world: World,
        recipient: str = "u@example.org",
        *,
        contact: bool = False,
        sender: str = "",
        **parameters: str,
    ) -> Explanation:
        """The explanation of one recipient."""
        routing = Routing.from_parameters(Parameters.from_values(parameters), world.means.maillog)
        explainer = Explainer(world.means, routing, contact=contact)
        return world.run(explainer.explain(recipient, sender))

    def with_login(self, world: World, table: str = f"static:me:{SECRET}", **policy: Any) -> World:
        """The world, with a login for its servers."""
        lookup = CredentialLookup(CredentialSettings(True, Tables(table), True))
        settings = LoginSettings(SaslPolicy(*[frozenset({"noanonymous"})] * 3, **policy))
        logins = Logins(lookup, settings, world.means.maillog, Random(1))
        world.means = dataclasses.replace(world.means, logins=logins)
        return world


class Routes(ExplainerCase):
    """Which parameter or table won."""

    def test_sources(self) -> None:
        """Transport and next hop each have their source, with the key of a table."""
        cases: Mapping[str, tuple[dict[str, str], tuple[str, str, str, str]]] = {
            "default": ({}, ("smtp", "default_transport", "example.org", DOMAIN)),
            "relayhost": ({"relayhost": "[r.test]"}, ("smtp", "default_transport", "[r.test]", "relayhost")),
            "relay domain": (
                {"relay_domains": "example.org"},
                ("relay", "relay_transport", "example.org", DOMAIN),
            ),
            "domain": (
                {"transport_maps": "inline:{example.org=relay:[t.test]}", "relayhost": "[r.test]"},
                ("relay", "transport_maps: example.org", "[t.test]", "transport_maps: example.org"),
            ),
            "address": (
                {"transport_maps": "inline:{u@example.org=:[t.test]}"},
                ("smtp", "default_transport", "[t.test]", "transport_maps: u@example.org"),
            ),
            "transport only": (
                {"transport_maps": "inline:{*=relay:}", "relayhost": "[r.test]"},
                ("relay", "transport_maps: *", "example.org", DOMAIN),
            ),
            "sender": (
                {
                    "sender_dependent_relayhost_maps": "inline:{@me.test=[s.test]}",
                    "sender_dependent_default_transport_maps": "inline:{a@me.test=relay}",
                },
                ("relay", "sender_dependent_default_transport_maps", "[s.test]", "sender_dependent_relayhost_maps"),
            ),
            "explicit": (
                {"default_transport": "smtp:[d.test]"},
                ("smtp", "default_transport", "[d.test]", "default_transport"),
            ),
        }
        told = {}
        for name, (parameters, _) in cases.items():
            world = World({})
            for site in ("[r.test]", "[t.test]", "[s.test]", "[d.test]"):
                world.fail(site.strip("[]"), NOT_FOUND)
            e = self.explain(world, sender="a@me.test", **parameters)
            told[name] = (e.transport, e.transport_from, e.next_hop, e.next_hop_from)
        self.assertEqual(told, {name: wanted for name, (_, wanted) in cases.items()})

    def test_transports_that_contact_nobody(self) -> None:
        """``error`` and ``retry`` say what they do with mail."""
        told = {}
        for entry in ("error:5.7.1 go away", "retry:closed", "discard:"):
            e = self.explain(World({}), transport_maps=f"inline:{{{{example.org={entry}}}}}")
            told[entry] = (e.fate, e.refusal, e.sites)
        self.assertEqual(
            told,
            {
                "error:5.7.1 go away": (Fate.BOUNCED, "5.7.1 go away", ()),
                "retry:closed": (Fate.DEFERRED, "4.0.0 closed", ()),
                "discard:": (Fate.SENT, "2.0.0 example.org", ()),
            },
        )

    def test_lmtp(self) -> None:
        """The server behind a UNIX socket is this machine, and the next hop is told as it was written."""
        world = World({})
        settings = WalkSettings(lmtp=True, own_name="me.example")
        object.__setattr__(world.means, "lmtp", dataclasses.replace(world.means, settings=settings))
        e = self.explain(world, transport_maps="inline:{example.org=lmtp:unix:/run/LMTP}")
        [site] = e.sites
        [host] = site.hosts
        self.assertEqual((e.transport, e.next_hop), ("lmtp", "unix:/run/LMTP"))
        self.assertEqual((host.host, host.address, host.port), ("me.example", "/run/LMTP", 0))

    def test_bad_address(self) -> None:
        """What is no address would be returned."""
        self.assertEqual(self.explain(World({}), "u@exa mple").fate, Fate.BOUNCED)


class Servers(ExplainerCase):
    """What is found in the DNS, and the order of it."""

    def test_order_and_nobody_contacted(self) -> None:
        """The servers are those of delivery, in its order, and none of them hears of it."""
        world = World({"a": Script(), "b": Script()})
        e = self.explain(world)
        hosts = [(host.host, host.preference, host.tls.level) for host in e.sites[0].hosts]
        self.assertEqual(hosts, [("mx-a.example", 10, "none"), ("mx-b.example", 20, "none")])
        self.assertEqual((world.attempts, e.fate), ("", Fate.SENT))

    def test_failures(self) -> None:
        """Where there is no server, the fate and the words are those of delivery."""
        told = {}
        for site, parameters in (("example.org", {}), ("relay.test", {"relayhost": "relay.test"})):
            world = World({}, walk=WalkSettings(relayhost=parameters.get("relayhost", "")))
            world.fail(site, NOT_FOUND)
            e = self.explain(world, **parameters)
            told[site] = (e.fate, e.sites[0].failure)
            delivered = world.deliver(next_hop=site)
            self.assertEqual(short(delivered)[0].split()[0], e.fate.value)
        words = "Host or domain name not found"
        self.assertEqual(told, {"example.org": (Fate.BOUNCED, words), "relay.test": (Fate.DEFERRED, words)})

    def test_next_hop_that_makes_no_sense(self) -> None:
        """A next hop that cannot be read is the operator's mistake: mail waits."""
        e = self.explain(World({}), relayhost="[1.2.3.4]:no-such-port")
        self.assertEqual((e.fate, e.sites[0].hosts), (Fate.DEFERRED, ()))
        self.assertIn("next hop", e.sites[0].failure)

    def test_fallback_relays(self) -> None:
        """Fallback relays come after the destination, unless that leads back to us."""
        told = {}
        for found_self in (False, True):
            world = World({}, walk=WalkSettings(fallback_relays=("fall.test",)))
            world.place("fall.test", {"a": Script()})
            world.fail("example.org", NOT_FOUND, found_self=found_self)
            e = self.explain(world)
            told[found_self] = ([(site.next_hop, site.fallback) for site in e.sites], e.fate)
        self.assertEqual(
            told,
            {
                False: ([("example.org", False), ("fall.test", True)], Fate.SENT),
                True: ([("example.org", False)], Fate.BOUNCED),
            },
        )


class LoginsExplained(ExplainerCase):
    """As whom."""

    def test_name_and_key(self) -> None:
        """The name and what it was found under, and never the password."""
        table = f"inline:{{mx-a.example=me:{SECRET}, @me.test=you:{SECRET}}}"
        world = self.with_login(World({"a": Script()}), table)
        logins = [self.explain(world, sender=sender).sites[0].hosts[0].login for sender in ("", "x@me.test")]
        self.assertEqual(
            [(login.username, login.key, login.token) for login in logins if login],
            [("me", "mx-a.example", False), ("you", "@me.test", False)],
        )
        everything = repr(self.explain(world)) + json.dumps(as_json(self.explain(world)))
        self.assertNotIn(SECRET, everything)


class Probing(ExplainerCase):
    """Connecting to servers."""

    def probed(self, script: Script | str, **options: Any) -> tuple[Probe, list[str]]:
        """What the first server shows, and what it was told."""
        world = World({"a": script})
        if options.pop("login", False):
            self.with_login(world, **options)
        [host] = self.explain(world, contact=True).sites[0].hosts
        sessions = world.sessions("a") if not isinstance(script, str) else []
        assert host.probe is not None
        return host.probe, sessions[0].verbs if sessions else []

    def test_no_mail(self) -> None:
        """Greeting, EHLO and QUIT; never MAIL."""
        found, verbs = self.probed(Script(ehlo=["SIZE 1000", "PIPELINING"]))
        self.assertEqual((found.fate, found.reason, verbs), (Fate.SENT, "", ["EHLO", "QUIT"]))
        self.assertEqual(found.extensions, ("SIZE 1000", "PIPELINING"))
        self.assertIn("Out: EHLO me.example", found.dialogue)

    def test_refusals(self) -> None:
        """What stands in the way of mail is told in the words of the log."""
        told = {}
        for name, script in {
            "unreachable": "Connection refused",
            "greeting": Script({"connect": "554 5.7.1 go away"}),
            "busy": Script({"connect": "421 4.3.2 busy"}),
            "lost": Script({"ehlo": "!close"}),
        }.items():
            found, _ = self.probed(script)
            told[name] = f"{found.fate.value}: {found.reason}"
        where = "mx-a.example[192.0.2.1]"
        self.assertEqual(
            told,
            {
                "unreachable": f"deferred: connect to {where}:25: Connection refused",
                "greeting": f"bounced: host {where} refused to talk to me: 554 5.7.1 go away",
                "busy": f"deferred: host {where} refused to talk to me: 421 4.3.2 busy",
                "lost": f"deferred: lost connection with {where} while performing the EHLO handshake",
            },
        )

    def test_login_is_not_done(self) -> None:
        """The mechanism is chosen, and nothing of the login is sent."""
        found, verbs = self.probed(Script(ehlo=["AUTH LOGIN PLAIN"]), login=True)
        self.assertEqual((found.fate, found.login, verbs), (Fate.SENT, "PLAIN", ["EHLO", "QUIT"]))

    def test_login_that_would_not_work(self) -> None:
        """Without a mechanism mail would wait; without AUTH it would go."""
        found, _ = self.probed(Script(ehlo=["AUTH GSSAPI"]), login=True)
        self.assertEqual((found.fate, found.reason), (Fate.DEFERRED, "no mechanism available"))
        self.assertEqual(found.login, "no mechanism of AUTH GSSAPI would be used: GSSAPI: not known here")
        found, _ = self.probed(Script(ehlo=["SIZE"]), login=True)
        self.assertEqual((found.fate, found.login[:24]), (Fate.SENT, "the server offers no AUT"))

    def test_connections_are_closed(self) -> None:
        """No connection is left, whatever the server does."""
        for script in (Script(), Script({"quit": "!hang"}), Script({"ehlo": "550 no", "helo": "550 no"})):
            world = World({"a": script})
            self.explain(world, contact=True)
            world.flush()
            self.assertIsNotNone(world.sessions("a")[0].over)


class Fates(SynchronousTestCase):
    """What it all comes to."""

    def test_worst(self) -> None:
        """Of several addresses the worst fate is that of the command."""
        self.assertEqual(
            [worst(iter(f)) for f in ((), (Fate.SENT,), (Fate.DEFERRED, Fate.SENT), (Fate.BOUNCED, Fate.DEFERRED))],
            [Fate.SENT, Fate.SENT, Fate.DEFERRED, Fate.BOUNCED],
        )

    def test_first_server_that_would_take_it(self) -> None:
        """A server whose policy cannot be met, or that does not answer, leaves it to the next."""
        world = World({"a": Script(), "b": Script(), "c": Script()})
        case = ExplainerCase()
        [site] = case.explain(world).sites
        barred = dataclasses.replace(site.hosts[0], tls=TlsExplanation("", problem="no"))
        silent = dataclasses.replace(site.hosts[1], probe=Probe(Fate.DEFERRED))
        refusing = dataclasses.replace(site.hosts[2], probe=Probe(Fate.BOUNCED))
        fates = [
            fate_of_sites((dataclasses.replace(site, hosts=hosts),))
            for hosts in ((barred, silent), (barred, silent, refusing), (barred, site.hosts[1]), ())
        ]
        self.assertEqual(fates, [Fate.DEFERRED, Fate.BOUNCED, Fate.SENT, Fate.DEFERRED])
