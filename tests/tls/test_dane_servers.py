"""
DANE in the real world: signed zones in nsd(8), unbound(8) that validates them, and mail servers with real certificates.

Everything between the request and the wire is the product's own: MX lookup, addresses, TLSA records, handshake.
"""

from pathlib import Path
from typing import Any

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.zone

from smtpclient.dns.resolver import Resolver
from smtpclient.tls.tlsa import TlsaRecord
from tests.dns.name_servers import NameServersCase, sign
from tests.ports import free_port
from tests.tls.certificates import authority, issue
from tests.tls.tls_world import OLD, Behaviour, TlsWorld, short

CA = authority("nobody's CA")


class Site:
    """
    A domain with one mail server.

    :param tlsa: its records.
    :param signed: the zone.
    :param bogus: the signature of its TLSA records is spoilt.
    :param alias: the MX record names an alias of the host.
    """

    def __init__(
        self,
        server: Behaviour,
        *tlsa: TlsaRecord,
        signed: bool = True,
        bogus: bool = False,
        alias: bool = False,
    ) -> None:
        self.server = server
        self.tlsa = tlsa
        self.zone = "signed.test" if signed else "plain.test"
        self.bogus = bogus
        self.alias = alias


def sites() -> dict[str, Site]:
    """One for each thing that DANE may meet."""
    own = issue("whatever")
    other = issue("whatever")
    old = issue("whatever", days=(-9, -1))

    def below(name: str) -> Any:
        return issue("", [name], CA)

    return {
        "ee": Site(Behaviour(own), own.tlsa(3, 1, 1)),
        "ee-whole": Site(Behaviour(own), own.tlsa(3, 0, 0)),
        "ee-expired": Site(Behaviour(old), old.tlsa(3, 1, 2)),
        "ee-other": Site(Behaviour(own), other.tlsa(3, 1, 1)),
        "ee-plain": Site(Behaviour(own, starttls=False), own.tlsa(3, 1, 1)),
        "ee-broken": Site(Behaviour(own, after="close"), own.tlsa(3, 1, 1)),
        "ta": Site(Behaviour(below("mx.ta.signed.test")), CA.tlsa(2, 0, 1)),
        "ta-domain": Site(Behaviour(below("ta-domain.signed.test")), CA.tlsa(2, 1, 2)),
        "ta-name": Site(Behaviour(below("elsewhere.test")), CA.tlsa(2, 0, 1)),
        "ta-other": Site(Behaviour(below("mx.ta-other.signed.test")), other.tlsa(2, 0, 1)),
        "rollover": Site(Behaviour(own), other.tlsa(3, 1, 1), own.tlsa(3, 1, 1)),
        "pkix": Site(Behaviour(own), other.tlsa(1, 1, 1)),
        "pkix-plain": Site(Behaviour(own, starttls=False), other.tlsa(1, 1, 1)),
        "odd": Site(Behaviour(own), TlsaRecord(3, 1, 9, bytes(32))),
        "none": Site(Behaviour(own)),
        "none-plain": Site(Behaviour(own, starttls=False)),
        "bogus": Site(Behaviour(own), own.tlsa(3, 1, 1), bogus=True),
        "alias": Site(Behaviour(own), own.tlsa(3, 1, 1), alias=True),
        "alias-other": Site(Behaviour(own), other.tlsa(3, 1, 1), alias=True),
        "plain": Site(Behaviour(own), other.tlsa(3, 1, 1), signed=False),
    }


def records(all_sites: dict[str, Site], zone: str) -> str:
    """The zone file, but for TLSA records."""
    lines = ["$TTL 300", "@ SOA ns root 1 3600 600 86400 45", "@ NS ns", "ns A 127.0.0.1"]
    for number, (name, site) in enumerate(all_sites.items(), 1):
        if site.zone == zone:
            lines += [f"{name} MX 10 mx.{name}", f"{'host' if site.alias else 'mx'}.{name} A 127.0.1.{number}"]
            lines += [f"mx.{name} CNAME host.{name}"] if site.alias else []
    return "\n".join(lines) + "\n"


def write_zones(folder: Path, all_sites: dict[str, Site], port: int) -> str:
    """
    Write both zones.

    :return: the DS record of the signed one.
    """
    ds = ""
    for apex in ("signed.test", "plain.test"):
        origin = dns.name.from_text(apex)
        zone = dns.zone.from_text(records(all_sites, apex), origin, relativize=False)
        for name, site in all_sites.items():
            if site.zone == apex and site.tlsa:
                owner = f"_{port}._tcp.{'host' if site.alias else 'mx'}.{name}.{apex}."
                rdataset = zone.find_rdataset(owner, dns.rdatatype.TLSA, create=True)
                for record in site.tlsa:
                    wire = bytes([record.usage, record.selector, record.matching]) + record.data
                    rdataset.add(dns.rdata.GenericRdata(dns.rdataclass.IN, dns.rdatatype.TLSA, wire), 300)
        if apex == "signed.test":
            ds = sign(zone)
            for name, site in all_sites.items():
                if site.bogus:
                    spoil(zone, dns.name.from_text(f"_{port}._tcp.mx.{name}.{apex}."))
        zone.to_file(str(folder / apex), relativize=False)
    return ds


def spoil(zone: dns.zone.Zone, owner: dns.name.Name) -> None:
    """Change one bit of the signature of the TLSA records."""
    signatures = zone.find_rdataset(owner, dns.rdatatype.RRSIG, dns.rdatatype.TLSA)
    changed = [each.replace(signature=each.signature[:-1] + bytes([each.signature[-1] ^ 1])) for each in signatures]
    signatures.clear()
    for each in changed:
        signatures.add(each)


class DaneServers(NameServersCase):
    timeout = 120

    async def setUp(self) -> None:
        """Name servers, and a resolver for each."""
        self.sites = sites()
        self.port = free_port()
        self.authority, self.validating = await self.serve(lambda folder: write_zones(folder, self.sites, self.port))

    async def deliver_to_all(self, resolver: Resolver, level: str, names: list[str]) -> dict[str, str]:
        """What becomes of old messages to these sites: how they were delivered, or the status."""
        values = {
            "smtp_tls_security_level": level,
            "smtp_dns_support_level": "dnssec",
            "inet_protocols": "ipv4",
        }
        servers = [site.server for site in self.sites.values()]
        world = TlsWorld(self, *servers, values=values, resolver=resolver, port=self.port)
        found = {}
        for name in names:
            site = self.sites[name]
            before = len(world.delivered)
            outcome = await world.deliver(age=OLD, next_hop=f"{name}.{site.zone}:{self.port}")
            delivered = world.delivered
            found[name] = delivered[-1][1] if len(delivered) > before else short(outcome)
            if delivered and len(delivered) > before:
                sni = next(s.sni for sessions in world.sessions for s in sessions if s.delivered)
                for sessions in world.sessions:
                    sessions.clear()
                found[name] += " " + sni if sni else ""
        await world.agent.close()
        return found

    async def test_dane(self) -> None:
        """What becomes of mail to each site, and which name was asked for."""
        wanted = {
            "ee": "tls mx.ee.signed.test",
            "ee-whole": "tls mx.ee-whole.signed.test",
            "ee-expired": "tls mx.ee-expired.signed.test",
            "ee-other": "deferred 4.7.5",
            "ee-plain": "deferred 4.7.4",
            "ee-broken": "deferred 4.7.5",
            "ta": "tls mx.ta.signed.test",
            "ta-domain": "tls mx.ta-domain.signed.test",
            "ta-name": "deferred 4.7.5",
            "ta-other": "deferred 4.7.5",
            "rollover": "tls mx.rollover.signed.test",
            "pkix": "tls",
            "pkix-plain": "deferred 4.7.4",
            "odd": "tls mx.odd.signed.test",
            "none": "tls",
            "none-plain": "clear",
            "bogus": "deferred 4.7.5",
            "alias": "tls host.alias.signed.test",
            "alias-other": "deferred 4.7.5",
            "plain": "tls",
        }
        self.assertEqual(await self.deliver_to_all(self.validating, "dane", list(self.sites)), wanted)

    async def test_dane_only(self) -> None:
        """Without records that somebody vouches for, dane-only contacts nobody."""
        wanted = {
            "ee": "tls mx.ee.signed.test",
            "ee-other": "deferred 4.7.5",
            "pkix": "deferred 4.7.5",
            "odd": "deferred 4.7.5",
            "none": "deferred 4.7.5",
            "bogus": "deferred 4.7.5",
            "plain": "deferred 4.7.5",
        }
        self.assertEqual(await self.deliver_to_all(self.validating, "dane-only", list(wanted)), wanted)

    async def test_answers_without_ad(self) -> None:
        """What no validating resolver has vouched for is no DANE: dane delivers as if there were none."""
        found = await self.deliver_to_all(self.authority, "dane", ["ee", "ee-other", "none-plain"])
        self.assertEqual(found, {"ee": "tls", "ee-other": "tls", "none-plain": "clear"})

    async def test_answers_without_ad_are_nothing_for_dane_only(self) -> None:
        """And dane-only contacts nobody."""
        found = await self.deliver_to_all(self.authority, "dane-only", ["ee", "ee-other", "none-plain"])
        self.assertEqual(set(found.values()), {"deferred 4.7.5"})
