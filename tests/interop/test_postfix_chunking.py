"""BDAT as Postfix's smtpd(8) understands it."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.command.direct import at_once
from smtpclient.mail.envelope import NewMessage, Recipient
from smtpclient.queue import queuefile
from smtpclient.queue.content import SpoolContent
from tests.interop.private_postfix import LOOPBACK, accepting
from tests.queue.disk import DirectFiles
from tests.service.installed import Service, wait_until

BODIES = {
    "small": b"hello\n.\n..dots\nend\n",
    "large": b"".join(b"line %06d of a longer message\n" % number for number in range(40_000)),
    "long": b"x" * 5000 + b"\n",
}


class ChunkingTests(SynchronousTestCase):
    """The installed service relays to a private Postfix that takes mail and keeps it."""

    def test_content_arrives_whole(self) -> None:
        """Small, large and long-lined messages arrive over BDAT as they would over DATA."""
        postfix, port = accepting(self)
        base = Path(self.mktemp()).absolute()
        base.mkdir(parents=True)
        service = Service(base, port, smtp_use_bdat="yes", smtp_tls_security_level="none", debug_peer_list=LOOPBACK)
        self.addCleanup(service.stop)
        service.fill(
            NewMessage("me@client.example", [Recipient(f"{name}@there.test")], b"X-Name: %s\n\n" % name.encode() + body)
            for name, body in BODIES.items()
        )
        service.start()
        wait_until(lambda: not service.queued(), 180, f"all is delivered: {service.log_lines()[-5:]}")
        self.assertEqual(3, sum("BDAT" in line and "LAST" in line for line in service.log_lines()))
        folded = {name: body.replace(b"x" * 5000, b"\n ".join(_pieces(b"x" * 5000))) for name, body in BODIES.items()}
        self.assertEqual(folded, dict(_kept(Path(postfix.queue) / "incoming")))


def _pieces(line: bytes) -> list[bytes]:
    """A line as ``smtp_line_length_limit`` folds it: 998 bytes, then 997 behind a blank."""
    return [line[:998], *(line[start : start + 997] for start in range(998, len(line), 997))]


def _kept(folder: Path) -> list[tuple[str, bytes]]:
    """The bodies of the messages that Postfix keeps, by the names in their headers."""
    found = []
    for path in folder.iterdir():
        with path.open("rb") as file:
            message = queuefile.read_message(DirectFiles(), file.fileno(), str(path), path.name)
        reader = SpoolContent(DirectFiles(), str(path), message.envelope.content_offset).open()
        text = b""
        while block := at_once(reader.next_block()):
            text += block
        reader.close()
        header, _, body = text.partition(b"\n\n")
        found.append((header.rpartition(b"X-Name: ")[2].decode().partition("\n")[0], body))
    return found
