"""The resolver and name servers of the real world."""

from pathlib import Path

import dns.zone

from smtpclient.dns.answer import Address, Answer, Exchange, Opaque, Status
from smtpclient.dns.resolver import AAAA, MX, TLSA, A
from tests.dns.name_servers import NameServersCase, sign

ZONE = """\
$TTL 300
@ SOA ns root 1 3600 600 86400 45
@ NS ns
ns A 127.0.0.1
@ MX 20 mx2
@ MX 10 mx1
mx1 A 192.0.2.1
mx1 A 192.0.2.2
mx1 AAAA 2001:db8::1
mx2 A 192.0.2.3
alias CNAME mx1
nullmx MX 0 .
_25._tcp.mx1 TLSA 3 1 1 0102030405060708091011121314151617181920212223242526272829303132
""" + "".join(f"many MX {n} a-mail-exchanger-with-a-long-name-{n}.elsewhere.example.\n" for n in range(40))


def write_zones(folder: Path) -> str:
    """
    Write both zones.

    :return: the DS record of the signed one.
    """
    (folder / "plain.test").write_text("$ORIGIN plain.test.\n" + ZONE)
    zone = dns.zone.from_text(ZONE, "signed.test.", relativize=False)
    ds = sign(zone)
    zone.to_file(str(folder / "signed.test"), relativize=False)
    return ds


class RealServers(NameServersCase):
    async def setUp(self) -> None:
        """Both servers, running, and a resolver for each."""
        self.authority, self.recursor = await self.serve(write_zones)

    async def lookup(self, name: str, record_type: int) -> Answer:
        """The answer of the recursive server, after the authoritative one has said the same."""
        answer = await self.recursor.lookup(name, record_type)
        other = await self.authority.lookup(name, record_type)
        self.assertEqual((answer.status, set(answer.records)), (other.status, set(other.records)))
        self.assertFalse(other.secure)
        return answer

    async def test_what_mail_needs(self) -> None:
        """Exchangers, addresses, aliases, TLSA records, the null MX and the absence of all are found and validated."""
        tlsa = b"\3\1\1" + bytes.fromhex("0102030405060708091011121314151617181920212223242526272829303132")
        wanted = {
            ("signed.test", MX): (Status.FOUND, {Exchange(10, "mx1.signed.test"), Exchange(20, "mx2.signed.test")}),
            ("mx1.signed.test", A): (Status.FOUND, {Address("192.0.2.1"), Address("192.0.2.2")}),
            ("mx1.signed.test", AAAA): (Status.FOUND, {Address("2001:db8::1")}),
            ("alias.signed.test", AAAA): (Status.FOUND, {Address("2001:db8::1")}),
            ("_25._tcp.mx1.signed.test", TLSA): (Status.FOUND, {Opaque(tlsa)}),
            ("nullmx.signed.test", MX): (Status.FOUND, {Exchange(0, "")}),
            ("mx2.signed.test", AAAA): (Status.NO_DATA, set()),
            ("nobody.signed.test", MX): (Status.NO_NAME, set()),
        }
        got = {key: await self.lookup(*key) for key in wanted}
        self.assertEqual({key: (answer.status, set(answer.records)) for key, answer in got.items()}, wanted)
        self.assertEqual({key for key, answer in got.items() if not answer.secure}, set())
        self.assertEqual(got["alias.signed.test", AAAA].canonical, "mx1.signed.test")
        self.assertLessEqual(got["nobody.signed.test", MX].ttl, 45)
        self.assertGreater(got["nobody.signed.test", MX].ttl, 0)

    async def test_not_signed(self) -> None:
        """What nobody signed is found, and not secure."""
        answer = await self.lookup("mx1.plain.test", A)
        self.assertEqual((answer.status, answer.secure), (Status.FOUND, False))

    async def test_large(self) -> None:
        """An answer that does not fit into a datagram is found whole."""
        answer = await self.lookup("many.plain.test", MX)
        self.assertEqual(len(answer.records), 40)

    async def test_not_my_zone(self) -> None:
        """An authoritative server refuses what is not its own: that is a reason to try again, and no absence."""
        answer = await self.authority.lookup("example.com", MX)
        self.assertEqual(answer.status, Status.RETRY)
        self.assertIn("REFUSED", answer.detail)
