"""The example in ``doc/examples/smtp_front_end.py``, as a reader would run it."""

import os
import signal
import smtplib
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from smtpclient.submission.access import permit_networks
from smtpclient.submission.server import SubmissionFactory
from tests.submission.memory_queue import MemoryQueue, acceptor

EXAMPLE = Path(__file__).resolve().parents[2] / "doc" / "examples" / "smtp_front_end.py"


class FrontEndTests(TestCase):
    """A client, the example, and the next hop."""

    async def test_what_comes_in_goes_out(self) -> None:
        """A message that a client hands to the front end arrives at the next hop, and SIGTERM ends the program."""
        arrived = MemoryQueue()
        next_hop = SubmissionFactory(acceptor(arrived), permit_networks(), reactor)
        port: Any = reactor.listenTCP(0, next_hop, interface="127.0.0.1")
        self.addCleanup(lambda: maybeDeferred(port.stopListening))
        spool = os.path.abspath(self.mktemp())
        os.mkdir(spool)
        words = [spool, f"[127.0.0.1]:{port.getHost().port}", "tcp:0:interface=127.0.0.1"]
        program = subprocess.Popen(
            [sys.executable, str(EXAMPLE), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(program.kill)
        assert program.stdout is not None
        # listening on IPv4Address(type='TCP', host='127.0.0.1', port=40000)
        said = await deferToThread(program.stdout.readline)
        number = int(said.rpartition("port=")[2].rstrip(")\n"))

        def send() -> object:
            with smtplib.SMTP("127.0.0.1", number, timeout=60) as client:
                return client.sendmail("s@x.test", ["a@y.test", "b@y.test"], "Subject: x\r\n\r\nbody\r\n")

        self.assertEqual({}, await deferToThread(send))
        while not arrived.messages:
            await deferLater(reactor, 0.02)
        self.assertEqual([["a@y.test", "b@y.test"]], arrived.recipients)
        self.assertTrue(arrived.contents[0].endswith(b"\n\nbody\n"))
        program.send_signal(signal.SIGTERM)
        output: Deferred[tuple[str, str]] = deferToThread(program.communicate, timeout=60)
        self.assertEqual("", (await output)[1])
        self.assertEqual([], os.listdir(os.path.join(spool, "active")))
