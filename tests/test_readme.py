"""
What the README shows: the program in it works as it stands.
"""

import os
import re
import sys
import textwrap
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from demo.world import World

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = re.compile(r"\.\. code-block:: python\n\n((?: {4}.*\n|\n)+)")
MAIN_CF = """\
queue_directory = {folder}/spool
maillog_file = {folder}/maillog
myhostname = relay.lilies.example
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
dns_servers = {world.dns_address}
smtp_tcp_port = {world.smtp_port}
"""


class Readme(TestCase):
    """Programs in README.rst, run in the private world of ``make run``."""

    async def test_embedding(self) -> None:
        """The program that embeds the service says what its words promise, and the message arrives."""
        (example,) = EXAMPLE.findall((ROOT / "README.rst").read_text(encoding="utf-8"))
        folder = Path(self.mktemp()).resolve()
        (folder / "spool").mkdir(parents=True)
        world = World(cast(Any, reactor), cast(Any, reactor), folder / "arrived")
        world.open()
        self.addCleanup(world.close)
        (folder / "main.cf").write_text(MAIN_CF.format(folder=folder, world=world))
        (folder / "example.py").write_text(textwrap.dedent(example))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        words = [str(folder / "example.py")]
        out, err, code = await getProcessOutputAndValue(sys.executable, words, env=environment, path=str(folder))
        self.assertEqual((code, err), (0, b""))
        self.assertRegex(out.decode(), r"^\w+ is on disk\nbob@roses\.example: sent \(250 Delivery in progress\)\n$")
        (letter,) = (folder / "arrived" / "roses").iterdir()
        header, _, body = letter.read_text().partition("\n\n")
        self.assertIn("\nSubject: Seeds\n", header)
        self.assertEqual(body, "The seeds have come.\n")
