"""Tests of the strict reading of DNS messages."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.dns import message
from smtpclient.dns.message import MalformedReply, ResourceRecord
from tests.dns.scripted_server import cname, reply, soa

QUERY = message.encode_query(0x1234, "a.test", dns.MX)
POINTER = b"\xc0\x0c"  # to the question's name


def raw(record: bytes, answers: int = 1, flags: int = 0x8180) -> bytes:
    """A reply to ``QUERY`` with hand-made answers."""
    return struct.pack("!6H", 0x1234, flags, 1, answers, 0, 0) + QUERY[12:] + record


def record(record_type: int, data: bytes, owner: bytes = POINTER, record_class: int = 1, ttl: int = 300) -> bytes:
    """One record by hand."""
    return owner + struct.pack("!HHIH", record_type, record_class, ttl, len(data)) + data


class Queries(SynchronousTestCase):
    def test_query(self) -> None:
        """A query asks one question, for recursion and for the AD bit."""
        read = dns.Message()
        read.fromStr(QUERY)
        self.assertEqual(
            (read.id, read.recDes, read.authenticData, read.queries),
            (0x1234, 1, 1, [dns.Query(b"a.test", dns.MX, dns.IN)]),
        )

    def test_names(self) -> None:
        """Every name is written as Twisted writes it."""
        names = ["a", "mx.example.org", "xn--bcher-kva.example", "_25._tcp.mx.test", "a" * 63 + ".test"]
        written = {name: message.encode_query(7, name, dns.AAAA) for name in names}
        expected = {}
        for name in names:
            query = dns.Message(id=7, recDes=1, authenticData=1)
            query.addQuery(name.encode("ascii"), dns.AAAA, dns.IN)
            expected[name] = query.toStr()
        self.assertEqual(written, expected)


class Belonging(SynchronousTestCase):
    def test_own_answer(self) -> None:
        """The answer to the query belongs to it, in whatever case the name comes back."""
        good = reply(QUERY)
        self.assertTrue(message.belongs(QUERY, good))
        self.assertTrue(message.belongs(QUERY, good.replace(b"\1a\4test", b"\1A\4tEsT")))

    def test_foreign(self) -> None:
        """Another id, name or type, a query, another opcode, two questions, a fragment: none of them belongs."""
        good = reply(QUERY)
        foreign = {
            "id": b"\xff\xff" + good[2:],
            "name": reply(message.encode_query(0x1234, "b.test", dns.MX)),
            "type": reply(message.encode_query(0x1234, "a.test", dns.A)),
            "query": QUERY,
            "opcode": good[:2] + bytes([good[2] | 0x28]) + good[3:],
            "questions": good[:4] + b"\0\2" + good[6:],
            "short": good[:11],
            "cut in the question": good[:-1],
            "nothing": b"",
        }
        self.assertEqual(
            {why: message.belongs(QUERY, data) for why, data in foreign.items()}, dict.fromkeys(foreign, False)
        )

    def test_no_question(self) -> None:
        """A server that could not read the question may refuse without it, but not answer."""
        header = {rcode: struct.pack("!6H", 0x1234, 0x8180 | rcode, 0, 0, 0, 0) for rcode in (0, 1, 2, 3, 5)}
        self.assertEqual(
            {rcode: message.belongs(QUERY, data) for rcode, data in header.items()},
            {0: False, 1: True, 2: True, 3: False, 5: True},
        )


class Reading(SynchronousTestCase):
    def test_records(self) -> None:
        """Addresses come as text, aliases and exchangers as names in lower case, the rest as bytes."""
        data = reply(
            QUERY,
            dns.Record_MX(10, "MX1.a.Test"),
            dns.Record_MX(0, ""),
            dns.Record_A("192.0.2.1"),
            dns.Record_AAAA("2001:db8::1"),
            cname("X.test", "y.test", 5),
            dns.RRHeader("t.test", 52, ttl=7, payload=dns.UnknownRecord(b"\3\1\1abc")),
        )
        read = message.read_reply(data)
        self.assertEqual(
            read.records,
            (
                ResourceRecord("a.test", dns.MX, 300, (10, "mx1.a.test")),
                ResourceRecord("a.test", dns.MX, 300, (0, "")),
                ResourceRecord("a.test", dns.A, 300, "192.0.2.1"),
                ResourceRecord("a.test", dns.AAAA, 300, "2001:db8::1"),
                ResourceRecord("x.test", dns.CNAME, 5, "y.test"),
                ResourceRecord("t.test", 52, 7, b"\3\1\1abc"),
            ),
        )
        self.assertEqual((read.rcode_name, read.truncated, read.authentic, read.lame), ("NOERROR", False, False, False))

    def test_flags(self) -> None:
        """The AD bit, truncation and response codes are told."""
        self.assertTrue(message.read_reply(reply(QUERY, authenticData=1)).authentic)
        self.assertTrue(message.read_reply(reply(QUERY, trunc=1)).truncated)
        self.assertEqual(message.read_reply(reply(QUERY, rcode=2)).rcode_name, "SERVFAIL")
        self.assertEqual(message.read_reply(reply(QUERY, rcode=9)).rcode_name, "RCODE9")

    def test_lame(self) -> None:
        """An empty answer of a server that neither recurses nor knows the zone is lame; with AA it is an answer."""
        self.assertTrue(message.read_reply(reply(QUERY, recAv=0)).lame)
        self.assertFalse(message.read_reply(reply(QUERY, recAv=0, auth=1)).lame)

    def test_negative_ttl(self) -> None:
        """Absence may be remembered for the smaller of the SOA's TTL and its MINIMUM; without SOA not at all."""
        got = [
            message.read_reply(reply(QUERY, authority=auth)).negative_ttl
            for auth in ([soa(60, 300)], [soa(900, 300)], [])
        ]
        self.assertEqual(got, [60, 300, 0])

    def test_negative_ttl_beside_other_records(self) -> None:
        """Other records in the authority section change nothing."""
        ns = dns.RRHeader("test", dns.NS, ttl=1, payload=dns.Record_NS("ns.test"))
        self.assertEqual(message.read_reply(reply(QUERY, authority=[ns, soa(60)])).negative_ttl, 60)

    def test_unprintable_names(self) -> None:
        """Bytes that are no plain characters, dots inside labels among them, come escaped."""
        hostile = b"\7a.b\0\r\n \4TEST\0"
        read = message.read_reply(raw(record(dns.MX, b"\0\5" + hostile)))
        self.assertEqual(read.records[0].data, (5, "a\\046b\\000\\013\\010\\032.test"))

    def test_other_class(self) -> None:
        """Records of another class are not seen."""
        self.assertEqual(message.read_reply(raw(record(dns.A, b"\0\0\0\0\0", record_class=3))).records, ())

    def test_ttl_with_top_bit(self) -> None:
        """A TTL with the top bit set counts as zero (RFC 2181 section 8)."""
        self.assertEqual(message.read_reply(raw(record(dns.A, b"\1\2\3\4", ttl=0x80000000))).records[0].ttl, 0)


class Malformed(SynchronousTestCase):
    def complaint(self, data: bytes) -> str:
        """The words in which a message is refused."""
        return str(self.assertRaises(MalformedReply, message.read_reply, data))

    def test_faults(self) -> None:
        """Whatever contradicts itself is refused as a whole, and the fault named."""
        faults = {
            "message cut short": raw(POINTER + b"\0\1"),
            "record cut short": raw(record(dns.A, b"\1\2\3\4")[:-1]),
            "address of 5 bytes": raw(record(dns.A, b"\1\2\3\4\5")),
            "address of 4 bytes": raw(record(dns.AAAA, b"\1\2\3\4")),
            "record does not fill its length": raw(record(dns.CNAME, POINTER + b"x")),
            "name cut short": raw(record(dns.CNAME, b"\5ab")),
            "compression loop in a name": raw(record(dns.CNAME, b"\xc0" + bytes([len(raw(b"")) + 12]))),
            "label of an unknown kind": raw(record(dns.CNAME, b"\x80")),
            "name longer than 255 bytes": raw(record(dns.CNAME, (b"\x3f" + b"x" * 63) * 4 + b"\0")),
            "2000 records": raw(b"", answers=2000),
        }
        self.assertEqual({self.complaint(data): data for data in faults.values()}, faults)

    def test_mx_without_preference(self) -> None:
        """An MX record of no length is refused."""
        self.assertEqual(self.complaint(raw(record(dns.MX, b""))), "message cut short")

    def test_pointers_without_end(self) -> None:
        """A message that is nothing but pointers to pointers is given up early."""
        start = len(raw(b"")) + 12
        chain = b"".join(struct.pack("!H", 0xC000 | (start + 2 * i - 2 if i else 12)) for i in range(7901))
        owner = struct.pack("!H", 0xC000 | (start + 2 * 7900))
        data = raw(record(16, chain) + record(16, b"", owner) * 900, answers=901)
        self.assertEqual(self.complaint(data), "names take too long to read")

    @settings(max_examples=500, deadline=None, derandomize=True)
    @given(st.binary(max_size=600))
    def test_any_bytes(self, data: bytes) -> None:
        """Any bytes behind a good header and question are read or refused."""
        for flags in (0x8180, 0x8183):
            whole = struct.pack("!6H", 0x1234, flags, 1, 3, 2, 1) + QUERY[12:] + data
            self.assertTrue(message.belongs(QUERY, whole))
            try:
                message.read_reply(whole)
            except MalformedReply:
                continue

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.binary(min_size=12, max_size=200), st.integers(0, 199), st.integers(0, 255))
    def test_any_message(self, noise: bytes, at: int, value: int) -> None:
        """Any message at all, and any good message with one byte changed, is read or refused."""
        good = bytearray(reply(QUERY, dns.Record_MX(1, "mx.a.test"), cname("a.test", "b.test"), authority=[soa(5)]))
        good[at % len(good)] = value
        for data in (noise, bytes(good)):
            message.belongs(QUERY, data)
            try:
                message.read_reply(data)
            except MalformedReply:
                continue
