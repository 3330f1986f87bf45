"""
A mail server in a process of its own that writes down what it has accepted.

``python -m tests.service.sink ADDRESS PORT FILE [DELAY]`` listens, prints its port, and appends to the file, for
each message whose final dot it has seen, a line ``TIME RECIPIENT`` for each recipient, before it answers. So what is
in the file is what a client may take for delivered. A recipient whose local part begins with ``bounce`` is refused with
550, with ``defer`` put off with 450. The command ``ALONE`` is answered when no other client is connected any more: what
those had sent, before they ended or were killed, is in the file by then.
"""

import asyncio
import sys
import time
from typing import ClassVar


class Session(asyncio.Protocol):
    """
    One client.

    :cvar open: all of them that are connected.
    """

    open: ClassVar[set["Session"]] = set()

    def __init__(self, record: "Record | None", delay: float) -> None:
        self.record, self.delay = record, delay
        self.buffer = b""
        self.recipients: list[str] = []
        self.in_content = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.open.add(self)
        self.say("220 sink.example ESMTP")

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.discard(self)

    def say(self, line: str) -> None:
        self.transport.write(line.encode() + b"\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            if self.in_content:
                end = self.buffer.find(b"\r\n.\r\n")
                if end < 0:
                    return
                content, self.buffer = self.buffer[2:end], self.buffer[end + 5 :]
                self.in_content = False
                self.accept(content)
                continue
            line, newline, rest = self.buffer.partition(b"\r\n")
            if not newline:
                return
            self.buffer = rest
            self.command(line.decode())

    def accept(self, content: bytes) -> None:
        """Take a message; the reply to its final dot is a yes."""
        if self.record is not None:
            self.record.note(self.recipients)
        self.recipients = []
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self.say, "250 2.0.0 accepted")
        else:
            self.say("250 2.0.0 accepted")

    def refusal(self, address: str) -> str:
        """Why a recipient is not taken, or nothing."""
        if address.startswith("bounce"):
            return "550 5.1.1 no such user"
        return "450 4.2.0 mailbox busy" if address.startswith("defer") else ""

    def say_when_alone(self) -> None:
        """Answer as soon as nobody else is connected."""
        if self.open == {self}:
            self.say("250 2.0.0 nobody else is here")
        else:
            asyncio.get_running_loop().call_later(0.005, self.say_when_alone)

    def command(self, line: str) -> None:
        verb = line[:4].upper()
        if verb == "EHLO":
            self.say("250-sink.example\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n250 8BITMIME")
        elif verb == "RCPT":
            address = line[line.index("<") + 1 : line.rindex(">")]
            refusal = self.refusal(address)
            if not refusal:
                self.recipients.append(address)
            self.say(refusal or "250 2.1.5 ok")
        elif verb == "ALON":
            self.say_when_alone()
        elif verb == "DATA":
            if self.recipients:
                # An empty message's dot follows at once; everything else begins with a header.
                self.in_content, self.buffer = True, b"\r\n" + self.buffer
                self.say("354 go ahead")
            else:
                self.say("554 5.5.1 no recipients")
        elif verb == "QUIT":
            self.say("221 2.0.0 bye")
            self.transport.close()
        else:
            if verb in ("MAIL", "RSET"):
                self.recipients = []
            self.say("250 2.0.0 ok")


class Record:
    """The file of what was accepted."""

    def __init__(self, path: str) -> None:
        # Open for as long as the process lives.
        self.file = open(path, "a", buffering=1)  # noqa: SIM115

    def note(self, recipients: list[str]) -> None:
        self.file.write("".join(f"{time.time():.6f} {address}\n" for address in recipients))


async def serve(address: str, port: int, path: str, delay: float) -> None:
    """Serve until killed."""
    record = Record(path)
    server = await asyncio.get_running_loop().create_server(lambda: Session(record, delay), address, port, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]) if len(sys.argv) > 4 else 0.0))
