"""
What the documents show: the programs in them work as they stand.
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

from demo.world import ROSES, World

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


class Examples(TestCase):
    """The programs that documents show, run in the private world of ``make run``."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        (self.folder / "spool").mkdir(parents=True)
        self.world = World(cast(Any, reactor), cast(Any, reactor), self.folder / "arrived")
        self.world.open()
        self.addCleanup(self.world.close)

    async def run_program(self, *words: str | Path) -> str:
        """What a program says that does what it should."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        arguments = [str(word) for word in words]
        out, err, code = await getProcessOutputAndValue(
            sys.executable, arguments, env=environment, path=str(self.folder)
        )
        self.assertEqual((code, err), (0, b""))
        return str(out, "utf-8")

    def arrived(self) -> tuple[str, str]:
        """Header and body of the one message that has arrived."""
        (letter,) = (self.folder / "arrived" / "roses").iterdir()
        header, _, body = letter.read_text().partition("\n\n")
        return header, body

    async def test_readme(self) -> None:
        """The program in the README that embeds the service says that the message was sent, and it arrives."""
        (example,) = EXAMPLE.findall((ROOT / "README.rst").read_text(encoding="utf-8"))
        (self.folder / "main.cf").write_text(MAIN_CF.format(folder=self.folder, world=self.world))
        (self.folder / "example.py").write_text(textwrap.dedent(example))
        said = await self.run_program("example.py")
        self.assertRegex(said, r"^\w+ is on disk\nbob@roses\.example: sent \(250 Delivery in progress\)\n$")
        header, body = self.arrived()
        self.assertIn("\nSubject: Seeds\n", header)
        self.assertEqual(body, "The seeds have come.\n")

    async def test_submit_from_python(self) -> None:
        """The program of doc/embedding.rst tells every outcome, and the message arrives."""
        program = ROOT / "doc" / "examples" / "submit_from_python.py"
        next_hop = f"[{ROSES}]:{self.world.smtp_port}"
        said = await self.run_program(program, self.folder / "spool", next_hop, "a@lilies.example", "bob@roses.example")
        queue_id = said.split()[2]
        self.assertEqual(
            said,
            f"queued as {queue_id}\n{queue_id} bob@roses.example: sent (250 Delivery in progress)\n",
        )
        self.assertEqual(self.arrived()[1], "Hello from Python.\n")
