"""The service in a jail: root changed, privileges dropped, and no Python within reach."""

import contextlib
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from smtpclient.mail.envelope import NewMessage
from smtpclient.queue import queuefile
from tests.ports import free_port
from tests.service.installed import environment, message, wait_until
from tests.tls.certificates import authority, issue

USER = "nobody"
PASSWORD = "jailed-Secret"
MAIN_CF = """\
queue_directory = /var/spool/smtpclient
maillog_file = {base}/mail.log
myhostname = client.example
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = [127.0.0.1]:{port}
transport_maps = inline:{{{{idn.test = :münchen.test}}, {{native.test = :[localhost]:{port}}}}}
smtp_host_lookup = native
dns_servers = 127.0.0.1:9
dns_timeout = 1s
smtp_tls_security_level = verify
smtp_tls_CAfile = {base}/ca.pem
smtp_tls_loglevel = 1
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:{base}/passwords
smtp_sasl_tls_security_options = noanonymous
notify_classes = bounce, protocol, resource, software
"""


class _Mailbox:
    """Takes what is for anybody but ``bounce`` and ``defer``."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.logins: set[bytes] = set()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address.startswith("bounce"):
            return "550 5.1.1 no such user"
        if address.startswith("defer"):
            return "450 4.2.0 mailbox busy"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.accepted += envelope.rcpt_tos
        return "250 2.0.0 taken"

    def log_in(self, server: Any, session: Any, envelope: Any, mechanism: str, auth: Any) -> AuthResult:
        """Let in who knows the password."""
        assert isinstance(auth, LoginPassword)
        self.logins.add(auth.login)
        return AuthResult(success=auth.password == PASSWORD.encode())


class JailCase(SynchronousTestCase):
    """A jail, made by the command, and a server outside of it that insists on TLS and on a login."""

    def setUp(self) -> None:
        if os.geteuid():
            raise SkipTest("only root can change root")
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir(parents=True)
        self.jail = self.base / "jail"
        self.mailbox = _Mailbox()
        self.port = self.serve()
        (self.base / "passwords").write_text(f"127.0.0.1 me:{PASSWORD}\nlocalhost me:{PASSWORD}\n")
        (self.base / "passwords").chmod(0o600)
        (self.base / "main.cf").write_text(MAIN_CF.format(base=self.base, port=self.port))
        self.process: subprocess.Popen[bytes] | None = None

    def serve(self) -> int:
        """Run the server; its port."""
        ca = authority()
        server = issue("mx.example", ["localhost"], ca, addresses=["127.0.0.1"])
        (self.base / "ca.pem").write_bytes(ca.pem)
        (self.base / "server.pem").write_bytes(server.pem + server.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.base / "server.pem")
        controller = Controller(
            self.mailbox,
            hostname="127.0.0.1",
            port=free_port(),
            ready_timeout=60,
            tls_context=context,
            require_starttls=True,
            authenticator=self.mailbox.log_in,
            auth_required=True,
        )
        controller.start()
        self.addCleanup(controller.stop)
        return controller.port

    def make_jail(self) -> None:
        """Make it with the command."""
        command = [sys.executable, "-m", "smtpclient", "jail", "-c", str(self.base / "main.cf"), "--user", USER]
        subprocess.run([*command, str(self.jail)], env=environment(), check=True)

    def launch(self, *options: str) -> None:
        """Start the service in the jail."""
        with (self.base / "twistd.log").open("ab") as output:
            jail = ["--chroot", str(self.jail), "--uid", USER, "--gid", "nogroup"]
            twistd = str(Path(sys.executable).parent / "twistd")
            command = [sys.executable, twistd, *options, *jail, "smtpclient", "--config", str(self.base / "main.cf")]
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment(), cwd=self.base
            )

    def start(self, *options: str) -> None:
        """Start it, and wait until it runs."""
        self.launch(*options)
        wait_until(lambda: "started on" in self.log, 120, f"the service runs: {self.output}")

    @property
    def log(self) -> str:
        """The mail log."""
        path = self.base / "mail.log"
        return path.read_text() if path.exists() else ""

    @property
    def output(self) -> str:
        """What twistd printed."""
        return (self.base / "twistd.log").read_text(errors="replace")[-3000:]

    def fill(self, messages: Sequence[NewMessage]) -> None:
        """Put messages into the queue before the start."""
        incoming = self.jail / "var/spool/smtpclient/incoming"
        incoming.mkdir()
        os.chown(incoming, 65534, 65534)
        for number, new in enumerate(messages):
            temporary = incoming / f"new{number}"
            temporary.write_bytes(b"".join(queuefile.build(new, time.time()).blocks()))
            temporary.chmod(0o700)
            os.chown(temporary, 65534, 65534)
            temporary.rename(incoming / f"{number:05X}{temporary.stat().st_ino:X}")

    def files(self, pid: int) -> set[str]:
        """The files that a process has open or mapped, in the host's names."""
        mapped = {
            line.split(maxsplit=5)[5] for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "/" in line
        }
        return {path for path in mapped | self.opened(pid) if path.startswith("/")}

    def opened(self, pid: int) -> set[str]:
        """What a process has open; what it closes meanwhile may be missing."""
        opened = set()
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                opened.add(os.readlink(link))
        return opened


class Delivering(JailCase):
    """Mail out of the jail."""

    def test_everything_goes_on_as_outside(self) -> None:
        """
        Delivery with TLS and a login, a report, a deferral, names with umlauts, and the end: nothing of it needs a file
        from outside. The jail holds no Python, so whatever is imported late would fail.
        """
        self.make_jail()
        self.fill([message(f"{user}@there.test") for user in ("good", "bounce", "defer")])
        self.start("-n", "--pidfile=")
        process = self.process
        assert process is not None
        pid = process.pid
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        before = self.files(pid)
        self.fill_further()
        wanted = {"good@native.test", "good@there.test", "postmaster@client.example", "sender@client.example"}
        wait_until(lambda: set(self.mailbox.accepted) == wanted, 120, "mail and reports arrive")
        wait_until(lambda: self.log.count("status=deferred") >= 2, 120, "the others were tried")
        self.assertEqual(self.mailbox.logins, {b"me"})
        self.assertIn("Verified TLS connection established to 127.0.0.1[127.0.0.1]", self.log)
        self.assert_confined(pid, before)
        process.send_signal(signal.SIGTERM)
        process.wait(120)
        self.assertIn("stopping", self.log)
        everything = self.log + self.output
        self.assertEqual(re.findall(r"Traceback|\w*Error: .*|unknown encoding|Unhandled", everything), [], everything)
        self.assertNotIn(PASSWORD, everything)

    def fill_further(self) -> None:
        """More mail while it runs, by the folder."""
        incoming = self.jail / "var/spool/smtpclient/incoming"
        for number, domain in enumerate(("idn.test", "native.test")):
            path = incoming / f"n{number}"
            path.write_bytes(b"".join(queuefile.build(message(f"good@{domain}"), time.time()).blocks()))
            os.chown(path, 65534, 65534)
            path.chmod(0o700)
            path.rename(incoming / f"A{number:04X}{path.stat().st_ino:X}")
        self.poke()

    def poke(self) -> None:
        """Tell the service of new mail."""
        command = [sys.executable, "-m", "smtpclient", "queue", "flush"]
        directory = f"queue_directory={self.jail}/var/spool/smtpclient"
        subprocess.run([*command, "-o", directory], env=environment(), check=True)

    def assert_confined(self, pid: int, before: set[str]) -> None:
        """It has the jail's root, the user's identity, and nothing of the outside that it had not from the start."""
        self.assertEqual(os.readlink(f"/proc/{pid}/root"), str(self.jail))
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), str(self.jail))
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        identity = {name: status[name].split() for name in ("Uid", "Gid", "Groups", "CapEff")}
        wanted = {"Uid": ["65534"] * 4, "Gid": ["65534"] * 4, "Groups": ["65534"], "CapEff": ["0" * 16]}
        self.assertEqual(identity, wanted)
        inside = str(self.jail) + "/"
        late = {path for path in self.files(pid) - before if not path.startswith(inside)}
        self.assertEqual(late, set())
        folders = [path for path in self.opened(pid) if os.path.isdir(path)]
        self.assertEqual([path for path in folders if not path.startswith(inside)], [])

    def test_as_a_daemon(self) -> None:
        """twistd becomes a daemon in the jail, too."""
        self.make_jail()
        self.fill([message("good@there.test")])
        self.start("--pidfile", "/twistd.pid", "--logfile", "daemon.log")
        pid = int((self.jail / "twistd.pid").read_text())
        self.addCleanup(_end, pid)
        wait_until(lambda: len(self.mailbox.accepted) == 1, 120, f"mail arrives: {self.log}{self.output}")
        self.assertEqual(os.readlink(f"/proc/{pid}/root"), str(self.jail))

    def test_jail_without_queue_directory(self) -> None:
        """What is missing is told, and the start fails."""
        self.make_jail()
        (self.jail / "var/spool/smtpclient").rmdir()
        self.launch("-n", "--pidfile=")
        assert self.process is not None
        self.assertEqual(self.process.wait(120), 1)
        self.assertIn("smtpclient: cannot start: queue directory /var/spool/smtpclient", self.output)


def _end(pid: int) -> None:
    """End a process that is nobody's child."""
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 120, "the daemon has ended")
