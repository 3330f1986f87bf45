"""
The resolver and name servers of the real world: unbound(8), which validates, in front of nsd(8), which knows two
zones, one of them signed.
"""

import random
import shutil
import socket
import subprocess
from pathlib import Path
from typing import cast

import dns.dnssec
import dns.name
import dns.rdata
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from smtpclient.dns.answer import Address, Answer, Exchange, Opaque, Status
from smtpclient.dns.resolver import AAAA, MX, TLSA, A, Resolver

NSD = shutil.which("nsd") or shutil.which("nsd", path="/usr/sbin")
UNBOUND = shutil.which("unbound") or shutil.which("unbound", path="/usr/sbin")

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

NSD_CONF = """\
server:
  ip-address: 127.0.0.1
  port: {port}
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/nsd.pid"
  zonelistfile: "{folder}/zone.list"
  xfrdfile: "{folder}/xfrd.state"
  logfile: "{folder}/nsd.log"
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: signed.test
  zonefile: signed.test
zone:
  name: plain.test
  zonefile: plain.test
"""

UNBOUND_CONF = """\
server:
  interface: 127.0.0.1
  port: {port}
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  logfile: "{folder}/unbound.log"
  use-syslog: no
  do-daemonize: no
  do-not-query-localhost: no
  do-ip6: no
  trust-anchor: "{anchor}"
  domain-insecure: plain.test
  local-zone: "test." nodefault
  module-config: "validator iterator"
remote-control:
  control-enable: no
stub-zone:
  name: signed.test
  stub-addr: 127.0.0.1@{nsd}
stub-zone:
  name: plain.test
  stub-addr: 127.0.0.1@{nsd}
"""


def free_port() -> int:
    """A port that nobody uses over UDP or TCP, now."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def write_zones(folder: Path) -> str:
    """
    Write both zones.

    :return: the DS record of the signed one.
    """
    (folder / "plain.test").write_text("$ORIGIN plain.test.\n" + ZONE)
    origin = dns.name.from_text("signed.test.")
    zone = dns.zone.from_text(ZONE, origin, relativize=False)
    key = ec.generate_private_key(ec.SECP256R1())
    public = dns.dnssec.make_dnskey(key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, flags=257)
    dns.dnssec.sign_zone(zone, keys=[(key, public)], add_dnskey=True, dnskey_ttl=300, lifetime=86400)
    zone.to_file(str(folder / "signed.test"), relativize=False)
    return f"signed.test. DS {dns.dnssec.make_ds(origin, public, 'SHA256').to_text()}"


class RealServers(TestCase):
    if not (NSD and UNBOUND):
        skip = "nsd and unbound are not both installed"

    async def setUp(self) -> None:
        """Both servers, running, and a resolver for each."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        anchor = write_zones(folder)
        nsd, unbound = free_port(), free_port()
        (folder / "nsd.conf").write_text(NSD_CONF.format(folder=folder, port=nsd))
        (folder / "unbound.conf").write_text(UNBOUND_CONF.format(folder=folder, port=unbound, nsd=nsd, anchor=anchor))
        self.begin([str(NSD), "-d", "-c", str(folder / "nsd.conf")])
        self.begin([str(UNBOUND), "-d", "-c", str(folder / "unbound.conf")])
        self.authority = await self.resolver(nsd)
        self.recursor = await self.resolver(unbound)

    def begin(self, command: list[str]) -> None:
        """Run a server until the test is over."""
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

    async def resolver(self, port: int) -> Resolver:
        """A resolver that asks at a port, once somebody answers there."""
        for _ in range(200):
            resolver = Resolver.for_servers(cast(IReactorFDSet, reactor), random.SystemRandom(), [f"127.0.0.1:{port}"])
            if (await resolver.lookup("ns.signed.test", A)).status is Status.FOUND:
                return resolver
            await deferLater(reactor, 0.05, lambda: None)
        raise AssertionError(f"no name server came up at port {port}")

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
