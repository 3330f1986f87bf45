"""Parameters: the table, what a configuration makes of it, and what is refused."""

import os
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.kinds import Kind
from smtpclient.config.parameters import ROWS, TRANSPORT_SUFFIXES, ConfigurationError, Parameters, row_named


def parameters(values: dict[str, str] | None = None, machine: str = "mail.example.com", **more: str) -> Parameters:
    """A configuration on a machine of that name."""
    return Parameters.from_values({**(values or {}), **more}, machine_name=lambda: machine)


def problems(**values: str) -> tuple[str, ...]:
    """What is wrong with settings, or nothing."""
    try:
        parameters(values)
    except ConfigurationError as error:
        return error.problems
    return ()


class TableTests(SynchronousTestCase):
    """The table itself."""

    def test_every_default_is_valid(self) -> None:
        """The table's own defaults pass the table's own checks, without a warning."""
        self.assertEqual(parameters().warnings, ())

    def test_every_sentence_is_one(self) -> None:
        """Each row has a sentence that begins with a capital and ends with a full stop, and a section."""
        wrong = [
            row.name for row in ROWS.values() if row.help != row.help.strip() or row.help[-1:] != "." or not row.section
        ]
        self.assertEqual(wrong, [])

    def test_every_expansion_is_complete(self) -> None:
        """No default refers to a name that has no value."""
        read = parameters()
        self.assertEqual([name for name in ROWS if "$" in read.expanded(name)], [])

    def test_what_is_not_honoured_accepts_its_default(self) -> None:
        """A row that nothing acts on either takes only its default and the like, or belongs to such a row."""
        for row in ROWS.values():
            if row.under:
                self.assertFalse(row.honoured or ROWS[row.under].honoured, row.name)
            elif not row.honoured and "$" not in row.default:
                self.assertIn(row.default, [*row.only, f"{row.only[0]}s"], row.name)

    def test_every_value_is_readable_by_its_kind(self) -> None:
        """Each row has an accessor, and the others refuse it."""
        read = parameters()
        by_kind = {
            "boolean": {Kind.BOOLEAN},
            "integer": {Kind.INTEGER, Kind.SIZE, Kind.PORT},
            "size": {Kind.INTEGER, Kind.SIZE, Kind.PORT},
            "seconds": {Kind.TIME},
            "text": {Kind.STRING, Kind.DOMAIN, Kind.PORT},
            "words": {Kind.LIST, Kind.PATTERNS},
            "tables": {Kind.TABLES},
        }
        for row in (row for row in ROWS.values() if not row.under):
            for accessor, kinds in by_kind.items():
                if row.kind in kinds:
                    self.assertIsNot(getattr(read, accessor)(row.name), None)
                else:
                    self.assertRaises(TypeError, getattr(read, accessor), row.name)

    def test_where_the_seed_and_postfix_differ_the_seed_counts(self) -> None:
        """No error behind the greeting moves on, every address is tried, greetings with an error skip no server."""
        read = parameters()
        self.assertEqual(
            (
                read.integer("smtp_mx_session_limit"),
                read.integer("smtp_mx_address_limit"),
                read.boolean("smtp_skip_4xx_greeting"),
                read.boolean("smtp_skip_5xx_greeting"),
                read.words("smtp_pix_workarounds"),
                read.words("mydestination"),
            ),
            (1, 0, False, False, (), ()),
        )

    def test_defaults_of_postfix(self) -> None:
        """The rest is as Postfix has it."""
        read = parameters()
        self.assertEqual(
            [read.seconds(name) for name in ("queue_run_delay", "minimal_backoff_time", "maximal_backoff_time",
                                             "maximal_queue_lifetime", "smtp_data_done_timeout", "delay_warning_time")],
            [300.0, 300.0, 4000.0, 432000.0, 600.0, 0.0],
        )  # fmt: skip
        self.assertEqual((read.integer("smtp_tcp_port"), read.text("smtp_tcp_port")), (25, "smtp"))
        self.assertEqual(read.words("hash_queue_names"), ("deferred", "defer"))
        self.assertFalse(read.tables("transport_maps"))


class NameTests(SynchronousTestCase):
    """What the machine is called."""

    def names(self, machine: str, **values: str) -> tuple[str, str]:
        """myhostname and mydomain."""
        read = parameters(values, machine)
        return read.text("myhostname"), read.text("mydomain")

    def test_a_full_name(self) -> None:
        """The domain is what follows the first label."""
        self.assertEqual(self.names("mail.example.com"), ("mail.example.com", "example.com"))

    def test_a_short_name(self) -> None:
        """A machine without a domain gets one."""
        self.assertEqual(self.names("vm"), ("vm.localdomain", "localdomain"))
        self.assertEqual(self.names("vm", mydomain="x.test"), ("vm.x.test", "x.test"))
        self.assertEqual(self.names(""), ("localhost.localdomain", "localdomain"))

    def test_names_that_are_set(self) -> None:
        """The domain follows the name that was set, also when the name is written with a reference."""
        self.assertEqual(self.names("vm", myhostname="a.b.test"), ("a.b.test", "b.test"))
        self.assertEqual(self.names("vm", myhostname="$x.test", x="y.z"), ("y.z.test", "z.test"))
        self.assertEqual(self.names("vm", myhostname="a.$mydomain"), ("a.localdomain", "localdomain"))

    def test_a_circle(self) -> None:
        """A name that refers to itself is a fault and nothing worse."""
        self.assertIn("it refers to itself", problems(myhostname="$myhostname")[0])

    def test_the_machines_own_name(self) -> None:
        """Without an argument the system is asked."""
        self.assertTrue(Parameters.from_values().text("myhostname"))

    def test_a_machine_with_an_impossible_name(self) -> None:
        """What is wrong is said to come from what is built in."""
        error = self.assertRaises(ConfigurationError, parameters, {}, "a b.test")
        self.assertTrue(error.problems[0].startswith("built-in: myhostname = a b.test: expected a host name"))

    def test_an_origin_in_a_file(self) -> None:
        """myorigin may name a file, as Debian's does."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w", encoding="utf-8") as file:
            file.write("origin.test\n")
        read = parameters(myorigin=path)
        self.assertEqual((read.text("myorigin"), read.raw("myorigin")), ("origin.test", path))


class ValueTests(SynchronousTestCase):
    """What is set, and how it is read."""

    def test_each_kind(self) -> None:
        """Settings are read as what they are."""
        read = parameters(
            queue_run_delay="2m",
            hopcount_limit="7",
            message_size_limit="0",
            smtp_tcp_port="2525",
            smtp_always_send_ehlo="NO",
            relayhost=" [relay.test]:26 ",
            notify_classes="bounce,delay",
            transport_maps="inline:{a=b}",
        )
        self.assertEqual(
            (
                read.seconds("queue_run_delay"),
                read.integer("hopcount_limit"),
                read.size("message_size_limit"),
                read.integer("smtp_tcp_port"),
                read.boolean("smtp_always_send_ehlo"),
                read.text("relayhost"),
                read.words("notify_classes"),
                read.tables("transport_maps").lookup("a"),
            ),
            (120.0, 7, 0, 2525, False, "[relay.test]:26", ("bounce", "delay"), "b"),
        )

    def test_a_time_counts_in_its_own_unit(self) -> None:
        """Bare numbers count as Postfix counts them, parameter by parameter."""
        read = parameters(maximal_queue_lifetime="2", delay_warning_time="4", smtp_helo_timeout="5")
        names = ("maximal_queue_lifetime", "delay_warning_time", "smtp_helo_timeout")
        self.assertEqual([read.seconds(name) for name in names], [172800.0, 14400.0, 5.0])

    def test_references(self) -> None:
        """A value may refer to others, to names of the operator's own, and to defaults."""
        read = parameters(relayhost="[$my_relay]:$smtp_tcp_port", my_relay="r.$mydomain")
        self.assertEqual(read.text("relayhost"), "[r.example.com]:smtp")
        self.assertEqual(read.expanded("relayhost"), "[r.example.com]:smtp")
        self.assertEqual(read.raw("relayhost"), "[$my_relay]:$smtp_tcp_port")

    def test_the_older_name(self) -> None:
        """fallback_relay still works, and the newer name counts more."""
        read = parameters(fallback_relay="[a.test], [b.test]:26")
        self.assertEqual(read.words("smtp_fallback_relay"), ("[a.test]", "[b.test]:26"))
        newer = parameters(fallback_relay="[a.test]", smtp_fallback_relay="")
        self.assertEqual(newer.words("smtp_fallback_relay"), ())

    def test_what_an_older_name_asks_for(self) -> None:
        """A feature can be asked for under its older name."""
        self.assertTrue(parameters(smtp_per_record_deadline="yes").boolean("smtp_per_request_deadline"))
        self.assertFalse(parameters(smtp_per_record_deadline="no").boolean("smtp_per_request_deadline"))

    def test_unknown_names(self) -> None:
        """Asking for what is no parameter is a KeyError, whatever is asked."""
        read = parameters(smtpd_banner="x", my_name="y", relayhost="$my_name")
        for ask in (read.text, read.raw, read.expanded, read.source, read.seconds, read.tables, row_named):
            for name in ("no_such", "smtpd_banner", "my_name"):
                self.assertRaises(KeyError, ask, name)

    def test_sources(self) -> None:
        """Where a value comes from is known."""
        read = Parameters.from_values({"relayhost": "a", "mail_name": "b"}, sources={"relayhost": "main.cf:3"})
        self.assertEqual(
            [read.source(name) for name in ("relayhost", "mail_name", "myorigin")], ["main.cf:3", "given", "built-in"]
        )

    def test_tables_follow_the_given_clock(self) -> None:
        """A table looks at its file when the clock that was given has gone on."""
        path = os.path.abspath(self.mktemp())
        now = [0.0]
        with open(path, "w", encoding="utf-8") as file:
            file.write("a old\n")
        read = Parameters.from_values({"transport_maps": f"texthash:{path}"}, seconds=lambda: now[0])
        with open(path, "w", encoding="utf-8") as file:
            file.write("a newer\n")
        before = read.tables("transport_maps").lookup("a")
        now[0] = 1.0
        self.assertEqual((before, read.tables("transport_maps").lookup("a")), ("old", "newer"))


class TransportTests(SynchronousTestCase):
    """What each transport has of its own."""

    def test_the_general_setting_is_the_default(self) -> None:
        """A transport of any name has the general value until it gets its own."""
        read = parameters(default_destination_concurrency_limit="7", slow_destination_concurrency_limit="1")
        names = [
            read.for_transport(transport, "destination_concurrency_limit") for transport in ("smtp", "slow", "other")
        ]
        self.assertEqual([read.integer(name) for name in names], [7, 1, 7])

    def test_names(self) -> None:
        """The name is Postfix's; what no transport has of its own is a KeyError."""
        read = parameters()
        self.assertEqual(
            read.for_transport("smtp-slow", "initial_destination_concurrency"),
            "smtp-slow_initial_destination_concurrency",
        )
        self.assertRaises(KeyError, read.for_transport, "smtp", "timeout")

    def test_a_transport_that_was_never_named(self) -> None:
        """Its settings can be read, shown and traced like any other."""
        read = parameters()
        name = "x_destination_rate_delay"
        self.assertEqual(
            (read.seconds(name), read.expanded(name), read.raw(name), read.source(name)),
            (0.0, "0s", "$default_destination_rate_delay", "built-in"),
        )

    def test_the_longest_ending_counts(self) -> None:
        """recipient_limit does not swallow destination_recipient_limit."""
        self.assertEqual(row_named("x_destination_recipient_limit").default, "$default_destination_recipient_limit")

    def test_faults(self) -> None:
        """A transport's own setting is checked like the general one."""
        self.assertEqual(
            problems(slow_destination_concurrency_positive_feedback="fast"),
            (
                "slow_destination_concurrency_positive_feedback = fast: "
                "expected a number, number/number, number/concurrency or number/sqrt_concurrency",
            ),
        )

    def test_what_nothing_acts_on(self) -> None:
        """It is refused for our own transports, and another program's business for the rest."""
        self.assertIn("not supported", problems(smtp_delivery_slot_cost="9")[0])
        self.assertEqual(problems(maildrop_delivery_slot_cost="9"), ())
        self.assertIn("there is no such parameter", problems(_delivery_slot_cost="9")[0])
        self.assertRaises(KeyError, row_named, "maildrop_delivery_slot_cost")

    def test_every_general_setting_is_a_row(self) -> None:
        """The default of each transport setting is a parameter, and our transports have theirs."""
        for suffix, base in TRANSPORT_SUFFIXES.items():
            self.assertEqual([f"${base}"] * 2, [ROWS[f"{name}_{suffix}"].default for name in ("smtp", "relay")])


class RefusalTests(SynchronousTestCase):
    """What stops the start."""

    def test_all_problems_come_at_once(self) -> None:
        """Every faulty setting is named, with source, name, value and what was expected."""
        values = {"queue_run_delay": "soon", "smtp_bind_address": "x", "transport_maps": "ldap:x, inline:{}"}
        error = self.assertRaises(
            ConfigurationError, Parameters.from_values, values, sources={"queue_run_delay": "main.cf:7"}
        )
        self.assertEqual(len(error.problems), 4)
        self.assertEqual(str(error), "\n".join(error.problems))
        self.assertIn("smtp_bind_address = x: expected an IPv4 address", error.problems)
        self.assertTrue(any(text.startswith("main.cf:7: queue_run_delay = soon: ") for text in error.problems))

    def test_a_default_that_refers_to_a_fault_has_none_of_its_own(self) -> None:
        """A faulty general setting is named once, not for every transport."""
        self.assertEqual(len(problems(default_destination_concurrency_limit="many")), 1)

    def test_what_is_not_supported(self) -> None:
        """A setting that nothing acts on takes only what asks for nothing, and says so."""
        accepted = {"best_mx_transport": "", "smtp_dns_reply_filter": "", "smtp_cname_overrides_servername": "No",
                    "default_transport_rate_delay": "0h", "in_flow_delay": "1"}  # fmt: skip
        self.assertEqual(problems(**accepted), ())
        refused = {"best_mx_transport": "smtp", "smtp_dns_reply_filter": "regexp:/no/such",
                   "smtp_cname_overrides_servername": "yes", "default_transport_rate_delay": "1s",
                   "in_flow_delay": "2s", "tls_high_cipherlist": "HIGH"}  # fmt: skip
        self.assertEqual(
            {name: len(problems(**{name: value})) for name, value in refused.items()}, dict.fromkeys(refused, 1)
        )
        self.assertEqual(
            problems(in_flow_delay="2s"),
            ("in_flow_delay = 2s: this is not supported: only 1s or 0 is accepted; change or remove the setting",),
        )
        self.assertIn("only an empty value is accepted", problems(best_mx_transport="smtp")[0])

    def test_how_without_whether(self) -> None:
        """How a feature would work may be set in any way, as long as nothing can switch it on."""
        under = {row.name: "any thing {" for row in ROWS.values() if row.under}
        self.assertTrue(under)
        self.assertEqual(problems(**under), ())

    def test_a_value_that_is_none(self) -> None:
        """A faulty value of a setting that nothing acts on is a fault of its kind."""
        self.assertEqual(
            problems(in_flow_delay="x")[0].partition(" (")[0],
            "in_flow_delay = x: expected a time: a number and one of s, m, h, d, w",
        )

    def test_slips_of_the_pen(self) -> None:
        """A name that was meant to be ours is refused, with what was meant."""
        self.assertEqual(
            problems(smtp_conect_timeout="3s"),
            ("smtp_conect_timeout = 3s: there is no such parameter; did you mean smtp_connect_timeout?",),
        )
        self.assertEqual(problems(smtp_frobnicate="x"), ("smtp_frobnicate = x: there is no such parameter",))

    def test_other_programs(self) -> None:
        """Their settings are ignored without a word."""
        read = parameters(smtpd_banner="$x", virtual_alias_maps="hash:/etc/virtual", mynetworks="10.0.0.0/8")
        self.assertEqual(read.warnings, ())

    def test_a_long_or_odd_value_is_shown_short(self) -> None:
        """A message stays one line of bounded length."""
        (problem,) = problems(relayhost="x\ny" * 1000)
        self.assertTrue(len(problem) < 400 and problem.isprintable())

    def test_an_unfinished_reference(self) -> None:
        """A value that cannot be expanded is a fault of that value."""
        self.assertEqual(
            problems(relayhost="${mydomain"),
            ('relayhost = ${mydomain: the bracket { is never closed: "{mydomain"',),
        )


class WarningTests(SynchronousTestCase):
    """What does not stop the start."""

    def test_unknown_names(self) -> None:
        """A name that nothing refers to is warned of."""
        self.assertEqual(
            parameters(colour="red").warnings,
            ("colour = red: there is no such parameter, and no value refers to it; ignored",),
        )

    def test_references_to_nothing(self) -> None:
        """A reference to a name that nobody set is warned of where it stands."""
        self.assertEqual(
            parameters(relayhost="$my_relay").warnings,
            ("relayhost = $my_relay: $my_relay is not set anywhere and counts as empty",),
        )

    def test_waits_in_the_wrong_order(self) -> None:
        """A shortest wait above the longest is warned of."""
        (warning,) = parameters(minimal_backoff_time="2h").warnings
        self.assertIn("minimal_backoff_time is longer than maximal_backoff_time", warning)
        self.assertTrue(parameters(maximal_backoff_time="1s").warnings[0].startswith("maximal_backoff_time = 1s"))

    def test_an_indexed_table(self) -> None:
        """That an index plays no part is said."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w", encoding="utf-8"):
            pass
        self.assertIn("is read from the text", parameters(transport_maps=f"hash:{path}").warnings[0])

    def test_given_warnings_come_first(self) -> None:
        """The reader's own warnings are kept."""
        read = Parameters.from_values({"colour": "red"}, warnings=["main.cf:1: x"])
        self.assertEqual((len(read.warnings), read.warnings[0]), (2, "main.cf:1: x"))


class DumpTests(SynchronousTestCase):
    """Parameters as lines of a file."""

    def setUp(self) -> None:
        """A configuration with a setting of each sort."""
        self.read = parameters(
            relayhost="$x", x="[r.test]", queue_run_delay="300s", slow_destination_rate_delay="1s", smtpd_banner="hi"
        )

    def test_all(self) -> None:
        """Every parameter is listed, unexpanded, in the order of the alphabet."""
        lines = self.read.dump()
        self.assertEqual(len(lines), len(ROWS) + 1)
        self.assertEqual([line.split(" =")[0] for line in lines], sorted([*ROWS, "slow_destination_rate_delay"]))
        self.assertIn("relayhost = $x", lines)
        self.assertIn("mydestination =", lines)
        self.assertIn("myhostname = mail.example.com", lines)

    def test_what_was_set(self) -> None:
        """What was set is listed, even to its default."""
        self.assertEqual(
            self.read.dump(non_default_only=True),
            ("queue_run_delay = 300s", "relayhost = $x", "slow_destination_rate_delay = 1s"),
        )

    def test_defaults(self) -> None:
        """What is built in is listed, whatever was set."""
        self.assertEqual(
            self.read.dump(["relayhost", "slow_destination_rate_delay", "mydomain"], defaults_only=True),
            (
                "relayhost =",
                "slow_destination_rate_delay = $default_destination_rate_delay",
                "mydomain = example.com",
            ),
        )

    def test_names(self) -> None:
        """Named parameters come in the order of the names; an unknown one is a KeyError."""
        self.assertEqual(self.read.dump(["syslog_name", "relayhost"]), ("syslog_name = smtpclient", "relayhost = $x"))
        self.assertRaises(KeyError, self.read.dump, ["no_such"])

    def test_it_can_be_read_again(self) -> None:
        """What was dumped gives the same values."""
        values = {name: value.strip() for name, _, value in (line.partition("=") for line in self.read.dump())}
        again = parameters({name.strip(): value for name, value in values.items()}, x="[r.test]")
        self.assertEqual(
            {name: again.expanded(name) for name in ROWS}, {name: self.read.expanded(name) for name in ROWS}
        )


class AnyValueTests(SynchronousTestCase):
    """What holds for whatever is set."""

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.dictionaries(st.sampled_from(sorted(ROWS)) | st.text(max_size=9), st.text(max_size=12), max_size=4))
    def test_values_or_problems(self, values: dict[str, str]) -> None:
        """Settings are values that are as they should be, or a ConfigurationError with a line for each fault."""
        found = problems_of(values)
        self.assertTrue(all(re.fullmatch(r"[^\x00-\x1f\x7f]+", problem) for problem in found))


def problems_of(values: dict[str, str]) -> tuple[str, ...]:
    """What is wrong with settings of any name."""
    try:
        parameters(values)
    except ConfigurationError as error:
        return error.problems
    return ()
