"""
Name servers of the real world for tests: unbound(8), which validates, in front of nsd(8), which knows two zones.

``signed.test`` is signed and ``plain.test`` is not; what is in them the test says.
"""

import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import dns.dnssec
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from smtpclient.dns.answer import Status
from smtpclient.dns.resolver import A, Resolver
from tests.ports import free_port

NSD = shutil.which("nsd") or shutil.which("nsd", path="/usr/sbin")
UNBOUND = shutil.which("unbound") or shutil.which("unbound", path="/usr/sbin")

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


def sign(zone: dns.zone.Zone) -> str:
    """
    Sign a zone.

    :return: the DS record of its key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    public = dns.dnssec.make_dnskey(key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, flags=257)
    dns.dnssec.sign_zone(zone, keys=[(key, public)], add_dnskey=True, dnskey_ttl=300, lifetime=86400)
    assert zone.origin is not None
    return f"{zone.origin} DS {dns.dnssec.make_ds(zone.origin, public, 'SHA256').to_text()}"


class NameServersCase(TestCase):
    """A test with both servers."""

    if not (NSD and UNBOUND):
        skip = "nsd and unbound are not both installed"

    async def serve(self, write_zones: Callable[[Path], str]) -> tuple[Resolver, Resolver]:
        """
        Run both servers until the test is over.

        :param write_zones: writes the zones into a folder, each in a file of its name, and gives the DS record of the
            signed one. Each zone must have an address for the name ``ns``.
        :return: a resolver that asks the authoritative server, and one that asks the validating one.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        anchor = write_zones(folder)
        nsd, unbound = free_port(), free_port()
        (folder / "nsd.conf").write_text(NSD_CONF.format(folder=folder, port=nsd))
        (folder / "unbound.conf").write_text(UNBOUND_CONF.format(folder=folder, port=unbound, nsd=nsd, anchor=anchor))
        self._begin([str(NSD), "-d", "-c", str(folder / "nsd.conf")])
        self._begin([str(UNBOUND), "-d", "-c", str(folder / "unbound.conf")])
        return await self._resolver(nsd), await self._resolver(unbound)

    def _begin(self, command: list[str]) -> None:
        """Run a server until the test is over."""
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

    async def _resolver(self, port: int) -> Resolver:
        """A resolver that asks at a port, once somebody answers there."""
        end = time.monotonic() + 100
        while time.monotonic() < end:
            resolver = Resolver.for_servers(cast(IReactorFDSet, reactor), random.SystemRandom(), [f"127.0.0.1:{port}"])
            if (await resolver.lookup("ns.signed.test", A)).status is Status.FOUND:
                return resolver
            await deferLater(reactor, 0.05, lambda: None)
        raise AssertionError(f"no name server came up at port {port}")
