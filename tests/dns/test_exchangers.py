"""
Tests of the walk from a destination to addresses.

The zones and the words of the failures are those that Postfix 3.7's smtp(8) was seen to give for them.
"""

import random
from collections.abc import Mapping, Sequence
from typing import cast

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorThreads
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.destination import Destination, parse
from smtpclient.dns.answer import Address, Answer, Exchange, Record, Status
from smtpclient.dns.exchangers import ExchangerLookup, Exchangers, ExchangerSettings
from smtpclient.dns.native import NativeLookupError
from smtpclient.dns.own_addresses import OwnAddresses
from smtpclient.dns.resolver import AAAA, MX, A
from smtpclient.interfaces import IResolver
from smtpclient.mail.outcome import Disposition
from smtpclient.observe.maillog import MailLog

SERVFAIL = Status.RETRY
Zone = Mapping[tuple[str, int], Sequence[str] | Status]


def records(record_type: int, texts: Sequence[str]) -> tuple[Record, ...]:
    """Records from texts as a zone file has them."""
    if record_type == MX:
        pairs = (text.split() for text in texts)
        return tuple(Exchange(int(preference), host.rstrip(".")) for preference, host in pairs)
    return tuple(Address(text) for text in texts)


@implementer(IResolver)
class ZoneResolver:
    """
    Answers from a dict; a name that is nowhere in it does not exist.

    :ivar asked: what was looked up, in order.
    """

    def __init__(self, zone: Zone, secure: bool = False) -> None:
        self.zone = zone
        self.secure = secure
        self.asked: list[tuple[str, int]] = []

    async def lookup(self, name: str, record_type: int) -> Answer:
        """What the dict says."""
        self.asked.append((name, record_type))
        found = self.zone.get((name, record_type))
        if isinstance(found, Status):
            return Answer(name, record_type, found, canonical=name)
        if found is None:
            known = any(name == key[0] for key in self.zone)
            return Answer(name, record_type, Status.NO_DATA if known else Status.NO_NAME, canonical=name)
        return Answer(name, record_type, Status.FOUND, records(record_type, found), name, 60, self.secure)


class Hosts:
    """Stands for the C library."""

    def __init__(self, hosts: Mapping[str, tuple[str, ...] | NativeLookupError]) -> None:
        self.hosts = hosts

    async def addresses(self, host: str) -> tuple[str, ...]:
        """What the dict says."""
        found = self.hosts.get(host, NativeLookupError("Name or service not known", False, True))
        if isinstance(found, NativeLookupError):
            raise found
        return found


class LookupCase(SynchronousTestCase):
    """Finds exchangers in a zone, with these settings."""

    def setUp(self) -> None:
        """Nothing is ours, nothing is in /etc/hosts."""
        self.own: tuple[str, ...] = ()
        self.hosts: dict[str, tuple[str, ...] | NativeLookupError] = {}
        self.warnings: list[str] = []

    def lookup(self, resolver: object, **settings: object) -> ExchangerLookup:
        """A lookup by IPv4 unless the settings say otherwise."""
        native = Hosts(self.hosts)
        return ExchangerLookup(
            resolver,
            ExchangerSettings(**{"families": ("ipv4",), **settings}),
            random.Random(5),
            native,
            OwnAddresses(self.own, (), lambda: 0.0, native),
            self.warnings.append,
        )

    def find(self, zone: Zone, next_hop: str = "d.test", **settings: object) -> Exchangers:
        """What a next hop comes to."""
        self.resolver = ZoneResolver(zone)
        return self.successResultOf(self.lookup(self.resolver, **settings).find(parse(next_hop, 25)))

    def order(self, found: Exchangers) -> list[str]:
        """The addresses, in the form of the log's ``relay=``."""
        self.assertIsNone(found.failure)
        return [f"{e.host}[{e.address}]:{e.port}" for e in found.addresses]

    def fate(self, found: Exchangers) -> tuple[str, str, str]:
        """Why there are none."""
        self.assertEqual(found.addresses, ())
        failure = found.failure
        return failure.disposition.value, failure.status, failure.reason


class Found(LookupCase):
    def test_fake(self) -> None:
        """The resolver of these tests is what the product asks for."""
        self.assertTrue(verifyObject(IResolver, ZoneResolver({})))

    def test_preference(self) -> None:
        """Hosts are tried by preference, not in the order of the answer; each is looked up once."""
        found = self.find(
            {
                ("d.test", MX): ["30 a.test", "10 b.test", "20 c.test"],
                ("a.test", A): ["192.0.2.1"],
                ("b.test", A): ["192.0.2.2"],
                ("c.test", A): ["192.0.2.3"],
            }
        )
        self.assertEqual(self.order(found), ["b.test[192.0.2.2]:25", "c.test[192.0.2.3]:25", "a.test[192.0.2.1]:25"])
        self.assertEqual([e.preference for e in found.addresses], [10, 20, 30])
        self.assertEqual(self.resolver.asked, [("d.test", MX), ("b.test", A), ("c.test", A), ("a.test", A)])

    def test_equal(self) -> None:
        """Equal hosts, and the addresses of one host, are tried in every order."""
        zone = {
            ("d.test", MX): ["1 a.test", "1 b.test"],
            ("a.test", A): ["192.0.2.1", "192.0.2.2"],
            ("b.test", A): ["192.0.2.3"],
        }
        lookup = self.lookup(ZoneResolver(zone))
        orders = {
            tuple(e.address for e in self.successResultOf(lookup.find(parse("d.test", 25))).addresses)
            for _ in range(100)
        }
        self.assertEqual(len(orders), 6)

    def test_not_shuffled(self) -> None:
        """``smtp_randomize_addresses = no`` keeps the order of the answer."""
        zone = {
            ("d.test", MX): ["1 b.test", "1 a.test"],
            ("a.test", A): ["192.0.2.1"],
            ("b.test", A): ["192.0.2.3", "192.0.2.2"],
        }
        found = self.find(zone, shuffle=False)
        self.assertEqual([e.address for e in found.addresses], ["192.0.2.3", "192.0.2.2", "192.0.2.1"])

    def test_same_host_twice(self) -> None:
        """A host that is listed twice is tried twice."""
        found = self.find({("d.test", MX): ["10 a.test", "20 a.test"], ("a.test", A): ["192.0.2.1"]})
        self.assertEqual(len(found.addresses), 2)

    def test_no_mx(self) -> None:
        """Without MX records the domain is its own exchanger, at preference 0."""
        found = self.find({("d.test", A): ["192.0.2.1"]})
        self.assertEqual((self.order(found), found.addresses[0].preference), (["d.test[192.0.2.1]:25"], 0))

    def test_brackets_and_port(self) -> None:
        """``[host]`` is not looked up for exchangers; a port goes with every address."""
        zone = {("d.test", MX): ["10 a.test"], ("a.test", A): ["192.0.2.1"], ("d.test", A): ["192.0.2.2"]}
        self.assertEqual(self.order(self.find(zone, "[d.test]:2525")), ["d.test[192.0.2.2]:2525"])
        self.assertEqual(self.resolver.asked, [("d.test", A)])
        self.assertEqual(self.order(self.find(zone, "d.test:2525")), ["a.test[192.0.2.1]:2525"])

    def test_literals(self) -> None:
        """Nothing is looked up for an address."""
        got = [
            self.order(self.find({}, hop, families=("ipv4", "ipv6")))
            for hop in ("[192.0.2.1]", "[ipv6:2001:DB8::1]:26")
        ]
        self.assertEqual(got, [["192.0.2.1[192.0.2.1]:25"], ["2001:db8::1[2001:db8::1]:26"]])
        self.assertEqual(self.resolver.asked, [])

    def test_exchanger_is_address(self) -> None:
        """An exchanger that is an address in text stands for itself."""
        found = self.find({("d.test", MX): ["10 192.0.2.1"]})
        self.assertEqual((self.order(found), self.resolver.asked), (["192.0.2.1[192.0.2.1]:25"], [("d.test", MX)]))

    def test_missing_hosts_are_skipped(self) -> None:
        """A host without address is passed over, and what it was is told."""
        found = self.find({("d.test", MX): ["10 ghost.test", "20 b.test"], ("b.test", A): ["192.0.2.1"]})
        self.assertEqual(self.order(found), ["b.test[192.0.2.1]:25"])
        self.assertEqual(
            found.skipped,
            (
                "ghost.test: Host or domain name not found. "
                "Name service error for name=ghost.test type=A: Host not found",
            ),
        )

    def test_families(self) -> None:
        """Both families are looked up where both are used; one that fails does not matter when the other is there."""
        zone = {("d.test", MX): ["10 a.test"], ("a.test", A): SERVFAIL, ("a.test", AAAA): ["2001:db8::1"]}
        found = self.find(zone, families=("ipv4", "ipv6"))
        self.assertEqual(self.order(found), ["a.test[2001:db8::1]:25"])
        self.assertEqual(self.resolver.asked[1:], [("a.test", A), ("a.test", AAAA)])

    def test_address_preference(self) -> None:
        """``smtp_address_preference`` puts a family first."""
        zone = {("a.test", A): ["192.0.2.1", "192.0.2.2"], ("a.test", AAAA): ["2001:db8::1"]}
        found = self.find(zone, "[a.test]", families=("ipv4", "ipv6"), address_preference="ipv6")
        self.assertEqual(found.addresses[0].address, "2001:db8::1")

    def test_address_limit(self) -> None:
        """``smtp_mx_address_limit`` cuts the list, and what is cut off is told."""
        zone = {("d.test", MX): ["1 a.test", "2 b.test"], ("a.test", A): ["192.0.2.1"], ("b.test", A): ["192.0.2.2"]}
        found = self.find(zone, address_limit=1)
        self.assertEqual(self.order(found), ["a.test[192.0.2.1]:25"])
        self.assertEqual(found.skipped, ("beyond the limit of 1 addresses: b.test[192.0.2.2]",))

    def test_bounds(self) -> None:
        """Of thousands of hosts a hundred are looked up, and two hundred addresses kept."""
        many = [f"192.0.2.{n}" for n in range(1, 255)]
        zone: dict[tuple[str, int], Sequence[str]] = {("d.test", MX): [f"{n} h{n}.test" for n in range(900)]}
        zone |= {(f"h{n}.test", A): many for n in range(900)}
        found = self.find(zone)
        self.assertEqual((len(self.resolver.asked), len(found.addresses)), (101, 200))
        self.assertEqual(found.skipped[0], "800 mail exchangers beyond the first 100")
        self.assertLess(len(found.skipped[1]), 1000)

    def test_secure(self) -> None:
        """DNSSEC is told of the list and of each address."""
        zone = {("d.test", MX): ["1 a.test"], ("a.test", A): ["192.0.2.1"]}
        for secure in (True, False):
            found = self.successResultOf(self.lookup(ZoneResolver(zone, secure)).find(parse("d.test", 25)))
            self.assertEqual((found.secure, found.addresses[0].secure), (secure, secure))

    def test_u_labels(self) -> None:
        """A destination in U-labels is looked up in A-labels."""
        found = self.find({("xn--bcher-kva.test", A): ["192.0.2.1"]}, "[bücher.test]")
        self.assertEqual(self.order(found), ["xn--bcher-kva.test[192.0.2.1]:25"])

    def test_cancel(self) -> None:
        """Giving up cancels every lookup under way."""
        waiting: list[Deferred[Answer]] = []

        class Slow(ZoneResolver):
            async def lookup(self, name: str, record_type: int) -> Answer:
                if record_type == MX:
                    return await super().lookup(name, record_type)
                waiting.append(Deferred())
                return await waiting[-1]

        lookup = self.lookup(Slow({("d.test", MX): ["1 a.test", "2 b.test"]}), families=("ipv4", "ipv6"))
        finding = Deferred.fromCoroutine(lookup.find(parse("d.test", 25)))
        self.assertEqual(len(waiting), 4)
        finding.cancel()
        self.failureResultOf(finding, CancelledError)
        self.assertEqual([lookup.called for lookup in waiting], [True] * 4)

    def test_defect(self) -> None:
        """A resolver that raises is not taken for an answer."""

        class Broken(ZoneResolver):
            async def lookup(self, name: str, record_type: int) -> Answer:
                raise RuntimeError("out of order")

        self.failureResultOf(Deferred.fromCoroutine(self.lookup(Broken({})).find(parse("[d.test]", 25))), RuntimeError)


NOT_FOUND = "Host or domain name not found. Name service error for name="


class NotFound(LookupCase):
    def fates(self, rows: Mapping[str, Zone], **settings: object) -> dict[str, tuple[str, str, str]]:
        """The failure of each zone."""
        return {name: self.fate(self.find(zone, **settings)) for name, zone in rows.items()}

    def test_domain(self) -> None:
        """What a domain without servers comes to."""
        rows: dict[str, Zone] = {
            "no such domain": {},
            "no data": {("d.test", 16): []},
            "servfail": {("d.test", MX): SERVFAIL, ("d.test", A): ["192.0.2.1"]},
            "null mx": {("d.test", MX): ["0 ."], ("d.test", A): ["192.0.2.1"]},
            "null mx and another": {("d.test", MX): ["0 .", "10 a.test"], ("a.test", A): ["192.0.2.1"]},
            "bad names": {("d.test", MX): Status.MALFORMED},
        }
        self.assertEqual(
            self.fates(rows),
            {
                "no such domain": ("bounced", "5.4.4", NOT_FOUND + "d.test type=A: Host not found"),
                "no data": (
                    "bounced",
                    "5.4.4",
                    NOT_FOUND + "d.test type=A: Host found but no data record of requested type",
                ),
                "servfail": ("deferred", "4.4.3", NOT_FOUND + "d.test type=MX: Host not found, try again"),
                "null mx": ("bounced", "5.1.0", "Domain d.test does not accept mail (nullMX)"),
                "null mx and another": ("bounced", "5.1.0", "Domain d.test does not accept mail (nullMX)"),
                "bad names": (
                    "bounced",
                    "5.4.4",
                    "Name service error for name=d.test type=MX: Malformed or unexpected name server reply",
                ),
            },
        )

    def test_hosts(self) -> None:
        """One lookup that may work later makes the whole temporary; the words are those of the last."""
        mx = {("d.test", MX): ["10 a.test", "20 b.test"]}
        rows: dict[str, Zone] = {
            "both gone": mx,
            "gone, servfail": {**mx, ("b.test", A): SERVFAIL},
            "servfail, gone": {**mx, ("a.test", A): SERVFAIL},
            "gone, other family": {**mx, ("b.test", AAAA): ["2001:db8::1"]},
            "gone, malformed": {**mx, ("b.test", A): Status.MALFORMED},
            "domain has an address": {**mx, ("d.test", A): ["192.0.2.1"]},
        }
        self.assertEqual(
            self.fates(rows),
            {
                "both gone": ("bounced", "5.4.4", NOT_FOUND + "b.test type=A: Host not found"),
                "gone, servfail": ("deferred", "4.4.3", NOT_FOUND + "b.test type=A: Host not found, try again"),
                "servfail, gone": ("deferred", "4.4.4", NOT_FOUND + "b.test type=A: Host not found"),
                "gone, other family": (
                    "bounced",
                    "5.4.4",
                    NOT_FOUND + "b.test type=A: Host found but no data record of requested type",
                ),
                "gone, malformed": (
                    "bounced",
                    "5.4.4",
                    "Name service error for name=b.test type=A: Malformed or unexpected name server reply",
                ),
                "domain has an address": ("bounced", "5.4.4", NOT_FOUND + "b.test type=A: Host not found"),
            },
        )
        self.assertEqual(set(self.warnings), {"no MX host for d.test has a valid address record"})

    def test_two_families(self) -> None:
        """Of the failures of two families the graver counts; of equals, that of IPv6."""
        host = ("d.test", A), ("d.test", AAAA)
        rows: dict[str, Zone] = {
            "gone": {},
            "servfail, gone": {host[0]: SERVFAIL, host[1]: Status.NO_DATA},
            "gone, servfail": {host[0]: Status.NO_DATA, host[1]: SERVFAIL},
        }
        self.assertEqual(
            self.fates(rows, next_hop="[d.test]", families=("ipv4", "ipv6")),
            {
                "gone": ("bounced", "5.4.4", NOT_FOUND + "d.test type=AAAA: Host not found"),
                "servfail, gone": ("deferred", "4.4.3", NOT_FOUND + "d.test type=A: Host not found, try again"),
                "gone, servfail": ("deferred", "4.4.3", NOT_FOUND + "d.test type=AAAA: Host not found, try again"),
            },
        )

    def test_defer_if_no_address(self) -> None:
        """``smtp_defer_if_no_mx_address_found = yes`` defers what would be returned, in the same words."""
        found = self.find({("d.test", MX): ["10 ghost.test"]}, defer_if_no_address=True)
        self.assertEqual(self.fate(found), ("deferred", "4.4.4", NOT_FOUND + "ghost.test type=A: Host not found"))

    def test_ignore_mx_lookup_error(self) -> None:
        """``ignore_mx_lookup_error = yes`` takes the domain itself when the MX lookup fails."""
        found = self.find({("d.test", MX): SERVFAIL, ("d.test", A): ["192.0.2.1"]}, ignore_mx_lookup_error=True)
        self.assertEqual(self.order(found), ["d.test[192.0.2.1]:25"])
        self.assertEqual(found.skipped, (NOT_FOUND + "d.test type=MX: Host not found, try again",))
        found = self.find({("d.test", MX): SERVFAIL, ("d.test", A): SERVFAIL}, ignore_mx_lookup_error=True)
        self.assertEqual(
            self.fate(found), ("deferred", "4.4.3", NOT_FOUND + "d.test type=A: Host not found, try again")
        )

    def test_literal_of_other_family(self) -> None:
        """An address of a family that is not used is no destination."""
        found = self.find({}, "[ipv6:2001:db8::1]")
        self.assertEqual(
            self.fate(found), ("bounced", "5.4.4", "Name service error for 2001:db8::1: invalid host or domain name")
        )

    def test_no_name(self) -> None:
        """A destination that was made without :func:`parse` and is no name is not asked for."""
        lookup = self.lookup(ZoneResolver({}))
        found = self.successResultOf(lookup.find(Destination("a..b", 25, use_mx=True, literal=False)))
        self.assertEqual(
            self.fate(found), ("bounced", "5.4.4", "Name service error for a..b: invalid host or domain name")
        )

    def test_not_found(self) -> None:
        """Failures say whether the DNS is sure that nothing is there."""
        zones: list[Zone] = [{}, {("d.test", MX): SERVFAIL}, {("d.test", MX): ["0 ."]}, {("d.test", MX): ["1 a.test"]}]
        self.assertEqual([self.find(zone).failure.not_found for zone in zones], [True, False, False, True])


class Native(LookupCase):
    def test_disabled_dns(self) -> None:
        """Without DNS a domain is its own exchanger, and the machine knows its address."""
        self.hosts["d.test"] = ("192.0.2.1", "2001:db8::1")
        found = self.find({("d.test", MX): ["1 a.test"]}, use_mx=False, host_lookups=("native",))
        self.assertEqual((self.order(found), self.resolver.asked), (["d.test[192.0.2.1]:25"], []))

    def test_after_dns(self) -> None:
        """Where both ways are wanted, the machine is asked for hosts that the DNS does not have."""
        self.hosts.update({"a.test": ("192.0.2.1",), "b.test": ("192.0.2.2",), "c.test": ("192.0.2.3",)})
        zone = {
            ("d.test", MX): ["10 a.test", "20 b.test", "30 c.test"],
            ("a.test", A): ["192.0.2.9"],
            ("c.test", A): SERVFAIL,
        }
        found = self.find(zone, host_lookups=("dns", "native"))
        self.assertEqual(self.order(found), ["a.test[192.0.2.9]:25", "b.test[192.0.2.2]:25"])

    def test_failures(self) -> None:
        """What the C library's failures come to."""
        rows = {
            "gone": NativeLookupError("Name or service not known", False, True),
            "again": NativeLookupError("Temporary failure in name resolution", True, True),
            "memory": NativeLookupError("Memory allocation failure", True, False),
            "failed": NativeLookupError("Non-recoverable failure in name resolution", False, False),
            "other family": ("2001:db8::1",),
        }
        got = {}
        for why, outcome in rows.items():
            self.hosts["d.test"] = outcome
            got[why] = self.fate(self.find({}, "[d.test]", host_lookups=("native",)))
        words = "unable to look up host d.test: "
        self.assertEqual(
            got,
            {
                "gone": ("bounced", "5.4.4", words + "Name or service not known"),
                "again": ("deferred", "4.4.4", words + "Temporary failure in name resolution"),
                "memory": ("deferred", "4.3.0", words + "Memory allocation failure"),
                "failed": ("bounced", "5.3.0", words + "Non-recoverable failure in name resolution"),
                "other family": ("bounced", "5.4.4", "d.test: host not found"),
            },
        )


class Loops(LookupCase):
    ZONE = {
        ("d.test", MX): ["10 a.test", "20 self.test", "30 c.test"],
        ("a.test", A): ["192.0.2.1"],
        ("self.test", A): ["192.0.2.2"],
        ("c.test", A): ["192.0.2.3"],
    }
    LOOP = ("bounced", "5.4.6", "mail for d.test loops back to myself")

    def setUp(self) -> None:
        """One address is ours."""
        super().setUp()
        self.own = ("192.0.2.2",)

    def test_middle(self) -> None:
        """Nothing at our own preference or behind it is tried; nor is any fallback."""
        found = self.find(self.ZONE)
        self.assertEqual((self.order(found), found.found_self), (["a.test[192.0.2.1]:25"], True))
        self.assertEqual(found.skipped, ("preference 20 and worse: this machine is one of them",))

    def test_best(self) -> None:
        """When we are the best, or as good as the best, or one of the addresses of the best, mail would loop."""
        rows = [
            {("d.test", MX): ["10 self.test", "20 c.test"]},
            {("d.test", MX): ["10 a.test", "10 self.test"]},
            {("d.test", MX): ["10 both.test"], ("both.test", A): ["192.0.2.1", "192.0.2.2"]},
            {("d.test", MX): ["10 0.0.0.0"]},
        ]
        for row in rows:
            found = self.find({**self.ZONE, **row})
            self.assertEqual((self.fate(found), found.found_self), (self.LOOP, True))
        self.assertEqual(self.fate(self.find({("d.test", A): ["192.0.2.2"]})), self.LOOP)

    def test_brackets(self) -> None:
        """Mail for ``[host]`` that is this machine would loop."""
        found = self.find(self.ZONE, "[self.test]")
        self.assertEqual(self.fate(found), ("bounced", "5.4.6", "mail for self.test loops back to myself"))

    def test_primary_missing(self) -> None:
        """When a better host than we exists, and only has no address, mail waits for it."""
        found = self.find({**self.ZONE, ("d.test", MX): ["10 ghost.test", "20 self.test"]})
        self.assertEqual(self.fate(found), ("deferred", "4.4.4", "unable to find primary relay for d.test"))
        self.assertTrue(found.found_self)

    def test_other_port(self) -> None:
        """At another port than SMTP's, another mail system of this machine may listen; unless we say it is ours."""
        self.assertEqual(len(self.find(self.ZONE, "d.test:2525").addresses), 3)
        self.assertEqual(len(self.find(self.ZONE, "d.test:2525", own_ports=frozenset({2525})).addresses), 1)


class Settings(SynchronousTestCase):
    def settings(self, **values: str) -> ExchangerSettings:
        """The settings of a configuration."""
        return ExchangerSettings.from_parameters(Parameters.from_values(values))

    def test_defaults(self) -> None:
        """The built-in configuration asks for the built-in settings."""
        self.assertEqual(self.settings(), ExchangerSettings())

    def test_values(self) -> None:
        """Each parameter has its setting."""
        self.assertEqual(
            self.settings(
                inet_protocols="ipv6",
                smtp_host_lookup="native, dns",
                ignore_mx_lookup_error="yes",
                smtp_defer_if_no_mx_address_found="yes",
                smtp_randomize_addresses="no",
                smtp_address_preference="ipv4",
                smtp_balance_inet_protocols="no",
                smtp_mx_address_limit="7",
            ),
            ExchangerSettings(
                families=("ipv6",),
                host_lookups=("dns", "native"),
                ignore_mx_lookup_error=True,
                defer_if_no_address=True,
                shuffle=False,
                address_preference="ipv4",
                balance=False,
                address_limit=7,
            ),
        )

    def test_dns_support(self) -> None:
        """``smtp_dns_support_level`` overrules ``disable_dns_lookups``; without DNS hosts are looked up natively."""
        rows = [
            self.settings(disable_dns_lookups="yes"),
            self.settings(disable_dns_lookups="yes", smtp_dns_support_level="enabled"),
            self.settings(smtp_dns_support_level="disabled"),
            self.settings(smtp_dns_support_level="dnssec"),
        ]
        self.assertEqual(
            [(s.use_mx, s.host_lookups) for s in rows],
            [(False, ("native",)), (True, ("dns",)), (False, ("native",)), (True, ("dns",))],
        )

    def test_from_parameters(self) -> None:
        """A configuration gives a lookup that knows its own addresses and tells the operator in the mail log."""
        maillog = MailLog()
        lines: list[str] = []
        maillog.publisher.addObserver(lambda event: lines.append(event["mail_line"]))
        lookup = ExchangerLookup.from_parameters(
            Parameters.from_values({"inet_interfaces": "192.0.2.2", "inet_protocols": "ipv4"}),
            ZoneResolver({("d.test", MX): ["1 ghost.test"], ("self.test", A): ["192.0.2.2"]}),
            cast(IReactorThreads, reactor),
            random.Random(),
            maillog,
        )
        fates = [self.successResultOf(lookup.find(parse(hop, 25))).failure for hop in ("d.test", "self.test")]
        self.assertEqual([fate.status for fate in fates], ["5.4.4", "5.4.6"])
        self.assertEqual([fate.disposition for fate in fates], [Disposition.BOUNCED] * 2)
        self.assertEqual(lines, ["warning: no MX host for d.test has a valid address record"])
