"""Tests of the way from a recipient to its transport and next hop."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.config.tables import Tables
from smtpclient.delivery.routing import Route, Routing, RoutingSettings
from smtpclient.observe.maillog import MailLog


class RoutingCase(SynchronousTestCase):
    def setUp(self) -> None:
        """What the operator is told."""
        self.warnings: list[str] = []

    def routing(self, own: tuple[str, ...] = (), **values: str) -> Routing:
        """Routing by these parameters, on mail.example.com."""
        parameters = Parameters.from_values({"myhostname": "mail.example.com", "recipient_delimiter": "+-", **values})
        return Routing(RoutingSettings.from_parameters(parameters), self.warnings.append, own.__contains__)

    def routes(self, *recipients: str, sender: str = "s@example.com", **values: str) -> dict[str, str]:
        """The route of each recipient, as ``transport:nexthop``."""
        routing = self.routing(**values)
        found = {recipient: routing.route(recipient, sender) for recipient in recipients}
        return {recipient: f"{route.transport}:{route.next_hop}" for recipient, route in found.items()}

    def check(self, wanted: dict[str, str], **values: str) -> None:
        """Compare the routes of all these recipients."""
        self.assertEqual(self.routes(*wanted, **values), wanted)


class Classes(RoutingCase):
    def test_default(self) -> None:
        """Without any setting mail goes by SMTP to the recipient's domain, in lower case."""
        self.check(
            {
                "u@Example.ORG": "smtp:example.org",
                "u@example.org.": "smtp:example.org",
                "u@Bücher.example": "smtp:bücher.example",
                "u@[192.0.2.1]": "smtp:[192.0.2.1]",
                "u@[IPv6:2001:DB8::1]": "smtp:[ipv6:2001:db8::1]",
                "a@b@c.test": "smtp:c.test",
            }
        )

    def test_no_domain(self) -> None:
        """A recipient without domain is one of ``myorigin``."""
        self.check({"u": "smtp:example.org", "u@": "smtp:example.org"}, myorigin="example.org")

    def test_bad_addresses(self) -> None:
        """What is no domain cannot be delivered to, ever."""
        bad = (
            "u@a..b",
            "u@-x.test",
            "u@192.0.2.1",
            "u@a b",
            "u@a..",
            "u@[x]",
            "u@[192.0.2.1",
            "u@[2001:db8::1]",
            "u@[ipv6:192.0.2.1]",
            "u@\udcff",
        )
        self.check(dict.fromkeys(bad, "error:5.1.3 bad address syntax") | {"": "error:5.1.3 null recipient address"})

    def test_relayhost(self) -> None:
        """The relayhost takes the mail for all domains but our own."""
        self.check(
            {"u@a.test": "smtp:[relay.example.net]:587", "u@here.test": "error:5.1.1 nobody here"},
            relayhost="[Relay.example.net]:587",
            mydestination="here.test",
            local_transport="error:5.1.1 nobody here",
        )

    def test_default_transport(self) -> None:
        """A default transport may have a next hop of its own, which wins over the relayhost."""
        self.check({"u@a.test": "lmtp:unix:/run/LMTP"}, default_transport="lmtp:unix:/run/LMTP", relayhost="[r.test]")
        self.check({"u@a.test": "relay:r.test"}, default_transport="relay:", relayhost="r.test")

    def test_relay_domains(self) -> None:
        """``relay_domains`` and the domains below take ``relay_transport``; ``!`` makes an exception."""
        self.check(
            {
                "u@a.test": "relay:a.test",
                "u@x.a.test": "relay:x.a.test",
                "u@no.a.test": "smtp:no.a.test",
                "u@ba.test": "smtp:ba.test",
            },
            relay_domains="!no.a.test, A.test",
        )

    def test_mydestination_without_transport(self) -> None:
        """Mail for this machine waits, with what to do about it, when nothing here takes it."""
        text = (
            "retry:4.3.5 mail for here.test is for this machine; "
            "set local_transport or take here.test out of mydestination"
        )
        self.check({"u@Here.test": text, "u@sub.here.test": "smtp:sub.here.test"}, mydestination="!x.test here.test")
        self.assertEqual(self.warnings, [])

    def test_own_address(self) -> None:
        """``user@[address]`` with an address of this machine is for this machine."""
        routing = self.routing(own=("192.0.2.1", "2001:db8::1"), local_transport="discard:")
        got = [
            routing.route(f"u@{literal}", "").transport
            for literal in ("[192.0.2.1]", "[IPv6:2001:db8::1]", "[192.0.2.2]")
        ]
        self.assertEqual(got, ["discard", "discard", "smtp"])

    def test_transport_map_for_mydestination(self) -> None:
        """A transport table may send mail for our own domains elsewhere."""
        self.check(
            {"u@here.test": "smtp:[inside.test]"},
            mydestination="here.test",
            transport_maps="inline:{here.test=smtp:[inside.test]}",
        )

    def test_unknown_transport(self) -> None:
        """Mail for a transport that is not here waits; the operator is told once."""
        self.check(
            dict.fromkeys(("u@a.test", "u@b.test"), "retry:4.3.0 mail transport unavailable"),
            default_transport="uucp:x",
        )
        self.assertEqual(
            self.warnings,
            ["mail transport 'uucp': unknown; mail for it waits. Known: discard, error, lmtp, relay, retry, smtp"],
        )


class TransportMaps(RoutingCase):
    TABLE = (
        "inline:{{full+ext@a.test=smtp:full}, {full@a.test=smtp:bare}, {a.test=smtp:domain}, {.a.test=smtp:below},"
        ' {.b.a.test=smtp:lower}, {*=smtp:star}, {john smith@q.test=smtp:unquoted}, {"quo ted"@q.test=smtp:quoted}}'
    )

    def test_order(self) -> None:
        """The whole address, without its extension, the domain, its parents from the nearest on, and the star."""
        self.check(
            {
                "full+ext@a.test": "smtp:full",
                "Full+other@A.test": "smtp:bare",
                "full-x+y@a.test": "smtp:bare",
                "full@a.test": "smtp:bare",
                "else@a.test": "smtp:domain",
                "+ext@a.test": "smtp:domain",
                "full@x.a.test": "smtp:below",
                "full@x.b.a.test": "smtp:lower",
                "u@b.a.test": "smtp:below",
                "u@ba.test": "smtp:star",
                "u@[192.0.2.1]": "smtp:star",
                "quo ted@q.test": "smtp:quoted",
                "john smith@q.test": "smtp:unquoted",
            },
            transport_maps=self.TABLE,
        )

    def test_no_delimiter(self) -> None:
        """Without ``recipient_delimiter`` an address has no extension."""
        self.check({"full+other@a.test": "smtp:domain"}, transport_maps=self.TABLE, recipient_delimiter="")

    def test_values(self) -> None:
        """What the forms of an entry make of transport and next hop."""
        table = (
            "inline:{{both.test=lmtp:[H.test]:24}, {transport.test=relay:}, {bare.test=relay}, {hop.test=:[h.test]:26},"
            " {noop.test=:}, {error.test=error:5.7.1 we do not: write there}, {noerror.test=error:},"
            " {noretry.test=retry}, {retry.test=retry:4.3.2 closed}, {discard.test=discard:},"
            " {unknown.test=maildrop:x}}"
        )
        self.check(
            {
                "u@both.test": "lmtp:[H.test]:24",
                "u@Transport.test": "relay:transport.test",
                "u@bare.test": "relay:bare.test",
                "u@hop.test": "smtp:[h.test]:26",
                "u@noop.test": "smtp:relay.net",
                "u@other.test": "smtp:relay.net",
                "u@error.test": "error:5.7.1 we do not: write there",
                "u@noerror.test": "error:Address is undeliverable",
                "u@noretry.test": "retry:Address is undeliverable",
                "u@retry.test": "retry:4.3.2 closed",
                "u@discard.test": "discard:discard.test",
                "u@unknown.test": "retry:4.3.0 mail transport unavailable",
            },
            transport_maps=table,
            relayhost="relay.net",
        )

    def test_patterns_see_whole_addresses(self) -> None:
        """A table of regular expressions is asked for the whole address only."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("/^u@a\\.test$/ smtp:whole\n/^a\\.test$/ smtp:part\n/^\\*$/ smtp:star\n")
        self.check({"u@a.test": "smtp:whole", "v@a.test": "smtp:a.test"}, transport_maps=f"regexp:{path}")

    def test_static(self) -> None:
        """A static table answers for everybody."""
        self.check({"u@a.test": "smtp:[gate.test]"}, transport_maps="static:smtp:[gate.test]")

    def test_a_route_is_remembered_for_its_domain_only(self) -> None:
        """Whoever has an entry of their own has their own route, whoever of the domain was asked for before."""
        routing = self.routing(transport_maps=self.TABLE)
        asked = ("full@a.test", "x@a.test", "full+ext@a.test", "y@A.test", "full@a.test", "x@[192.0.2.1]", "x@b.test")
        self.assertEqual(
            [routing.route(recipient, "s@example.com").next_hop for recipient in asked],
            ["bare", "domain", "full", "domain", "bare", "star", "star"],
        )

    def test_a_user_here_is_not_taken_for_a_domain(self) -> None:
        """An address without a domain is one of ``myorigin``, also where a domain of its name is remembered."""
        routing = self.routing()
        asked = ("x@site.test", "site.test", "x@site.test", "x@SITE.test.", "x@", "x@site.test")
        self.assertEqual(
            [routing.route(recipient, "").next_hop for recipient in asked],
            ["site.test", "mail.example.com", "site.test", "site.test", "mail.example.com", "site.test"],
        )

    def test_a_remembered_route_follows_its_table(self) -> None:
        """A change of the file is a change of the route."""
        path = self.mktemp()

        def write(text: str) -> None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

        write("a.test smtp:old\n")
        tables = Tables(f"texthash:{path}")
        routing = Routing(RoutingSettings("example.com", transport_maps=tables), self.warnings.append)
        self.assertEqual(routing.route("x@a.test", "").next_hop, "old")
        write("a.test smtp:another\n")
        tables.refresh()
        self.assertEqual(routing.route("x@a.test", "").next_hop, "another")

    def test_an_entry_for_a_user_is_followed_when_it_comes(self) -> None:
        """Although until then nobody needed to be asked about users of the domain."""
        path = self.mktemp()

        def write(text: str) -> None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

        write("a.test smtp:old\n")
        clock = Clock()
        tables = Tables(f"texthash:{path}", clock.seconds)
        routing = Routing(RoutingSettings("example.com", transport_maps=tables), self.warnings.append)
        routing.route("x@a.test", "")
        write("a.test smtp:another\nx@a.test smtp:own\n")
        clock.advance(1)
        asked = ("x@a.test", "y@a.test", "x@a.test")
        self.assertEqual([routing.route(one, "").next_hop for one in asked], ["own", "another", "own"])

    def test_tables_without_users_are_asked_once_for_each_domain(self) -> None:
        """However many users it has."""
        asked: list[str] = []

        class Counting(Tables):
            def lookup(self, key: str, *, partial: bool = False) -> str | None:
                asked.append(key)
                return super().lookup(key, partial=partial)

        tables = Counting("inline:{a.test=smtp:gate}")
        routing = Routing(RoutingSettings("example.com", transport_maps=tables), self.warnings.append)
        routes = {routing.route(f"u{number}@a.test", "").next_hop for number in range(5)}
        self.assertEqual((routes, asked), ({"gate"}, ["u0@a.test", "u0@a.test", "a.test"]))

    def test_failing_table(self) -> None:
        """A table that fails costs a delay; the operator is told."""

        class Broken(Tables):
            def __bool__(self) -> bool:
                return True

            def lookup(self, key: str, *, partial: bool = False) -> str | None:
                raise OSError("database is down")

        routing = Routing(RoutingSettings("example.com", transport_maps=Broken()), self.warnings.append)
        got = [routing.route(f"u@{domain}", "") for domain in ("a.test", "b.test")]
        self.assertEqual(got, [Route("retry", "4.3.0 address resolver failure")] * 2)
        self.assertEqual(
            self.warnings, ["transport_maps or another table by which mail is routed: lookup failure: database is down"]
        )


class BySender(RoutingCase):
    RELAYS = (
        "inline:{{s@example.com=[personal.test]}, {@example.com=[domain.test]}, {<>=[null.test]},"
        " {dunno@example.com=DUNNO}, {local=[local.test]}}"
    )

    def next_hop(self, sender: str, **values: str) -> str:
        """The route of mail from a sender to somewhere."""
        return self.routes("u@a.test", sender=sender, **values)["u@a.test"]

    def test_relayhost(self) -> None:
        """A sender has a relayhost by address, by domain, or as nobody; else the common one."""
        senders = (
            "s@example.com",
            "S+x@Example.com",
            "t@example.com",
            "",
            "dunno@example.com",
            "x@else.test",
            "local@mail.example.com",
            "local@x.test",
        )
        got = {
            s: self.next_hop(s, sender_dependent_relayhost_maps=self.RELAYS, relayhost="[all.test]") for s in senders
        }
        self.assertEqual(
            got,
            {
                "s@example.com": "smtp:[personal.test]",
                "S+x@Example.com": "smtp:[personal.test]",
                "t@example.com": "smtp:[domain.test]",
                "": "smtp:[null.test]",
                "dunno@example.com": "smtp:[all.test]",
                "x@else.test": "smtp:[all.test]",
                "local@mail.example.com": "smtp:[local.test]",
                "local@x.test": "smtp:[all.test]",
            },
        )

    def test_transport(self) -> None:
        """A sender's transport replaces the default one, with or without a next hop."""
        table = "inline:{{a@example.com=relay:}, {b@example.com=relay:[b.test]}, {c@example.com=dunno}}"
        got = [
            self.next_hop(f"{s}@example.com", sender_dependent_default_transport_maps=table, relayhost="[all.test]")
            for s in "abcd"
        ]
        self.assertEqual(got, ["relay:[all.test]", "relay:[b.test]", "smtp:[all.test]", "smtp:[all.test]"])

    def test_transport_maps_win(self) -> None:
        """The recipient's entry in ``transport_maps`` wins over the sender's."""
        got = self.next_hop(
            "s@example.com",
            sender_dependent_relayhost_maps=self.RELAYS,
            transport_maps="inline:{a.test=smtp:[there.test]}",
        )
        self.assertEqual(got, "smtp:[there.test]")

    def test_routes_by_sender_are_not_remembered(self) -> None:
        """Two senders, two ways for one domain."""
        routing = self.routing(sender_dependent_relayhost_maps=self.RELAYS)
        senders = ("s@example.com", "t@example.com", "", "x@elsewhere.test", "s@example.com")
        self.assertEqual(
            [routing.route("u@a.test", sender).next_hop for sender in senders],
            ["[personal.test]", "[domain.test]", "[null.test]", "a.test", "[personal.test]"],
        )

    def test_null_sender_key(self) -> None:
        """The key for the null sender can be chosen."""
        got = self.next_hop(
            "",
            sender_dependent_relayhost_maps="inline:{nobody=[null.test]}",
            empty_address_relayhost_maps_lookup_key="nobody",
        )
        self.assertEqual(got, "smtp:[null.test]")


class InTheLog(RoutingCase):
    def test_from_parameters(self) -> None:
        """Warnings stand in the mail log, in the queue manager's name."""
        maillog = MailLog()
        events: list[tuple[str, str]] = []
        maillog.publisher.addObserver(lambda event: events.append((event["process"], event["mail_text"])))
        routing = Routing.from_parameters(Parameters.from_values({"default_transport": "uucp"}), maillog)
        self.assertEqual(routing.route("u@a.test", "").transport, "retry")
        self.assertEqual(
            [(process, text[:33]) for process, text in events], [("qmgr", "warning: mail transport 'uucp': u")]
        )

    def test_warnings_are_bounded(self) -> None:
        """A table of patterns that makes up transports without end does not fill the memory."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("/^(.*)@/ $1:\n")
        self.routes(*(f"t{n}@a.test" for n in range(1500)), transport_maps=f"regexp:{path}")
        self.assertEqual(len(self.warnings), 1000)
