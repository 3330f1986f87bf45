"""
A mail transaction with BDAT in place of DATA (CHUNKING, RFC 3030): no 354 to wait for, and no dots to stuff.

:class:`ChunkedTransaction` is a :class:`~smtpclient.smtp.transaction.Transaction` for a server that offers CHUNKING,
where ``smtp_use_bdat`` asks for it. With PIPELINING a message that fits into one chunk goes out together with its
envelope: one round trip on a session that stands. A larger one is sent chunk by chunk, each answered before the next,
and only when at least one recipient was accepted.

Promises: a chunk's size is announced as it is sent; a message whose content cannot be read to the end is never ended
with ``LAST``: the connection goes first; once the last chunk has been sent, a connection that ends without the reply to
it leaves doubt, whatever else has not been answered.

Known limits: with PIPELINING a small message is sent even where the server refuses all its recipients; that is what
the round trip costs. LMTP has one reply for each recipient and is spoken with DATA.
"""

from smtpclient.interfaces import IContentReader
from smtpclient.smtp import command, verdict, xforward
from smtpclient.smtp.channel import SessionOver
from smtpclient.smtp.content import WireEncoder
from smtpclient.smtp.transaction import Transaction, read_block
from smtpclient.smtp.verdict import Stage


class ChunkedTransaction(Transaction):
    """One message to some recipients over one session, in chunks."""

    async def _dialogue(self, mail: bytes, rcpts: list[tuple[int, bytes]]) -> bool:
        """The transaction itself; true when the session can carry another one."""
        encoder = WireEncoder(self._settings.line_length_limit, dots=False)
        reader = self._open()
        try:
            chunk, last = await _next_chunk(reader, encoder)
            pipelined = self._capabilities.pipelining
            origin = xforward.commands(self._envelope, self._capabilities) if self._settings.send_xforward else []
            if pipelined:
                self._channel.command(b"".join(origin) + mail + b"".join(line for _, line in rcpts))
                if last:
                    self._send(chunk, last=True)
            await self._origin([] if pipelined else origin, len(origin))
            is_under_way = pipelined and last
            try:
                if await self._mail(None if pipelined else mail) or pipelined:
                    for index, line in rcpts:
                        await self._rcpt(index, None if pipelined else line)
                if self._accepted:
                    return await self._chunks(reader, encoder, chunk, last=last, is_under_way=is_under_way)
                self.needs_reset = True
                if is_under_way:
                    await self._channel.reply(self._settings.data_done)
                return True
            except SessionOver:
                if is_under_way:
                    self.stage = Stage.DOT
                raise
        finally:
            reader.close()

    async def _chunks(
        self, reader: IContentReader, encoder: WireEncoder, chunk: bytes, *, last: bool, is_under_way: bool
    ) -> bool:
        """Send what has not been sent, and hear what becomes of it."""
        while True:
            if not is_under_way:
                self._send(chunk, last=last)
            is_under_way = False
            self.stage = Stage.DOT if last else Stage.BDAT
            reply = await self._channel.reply(self._settings.data_done if last else self._settings.data_xfer)
            if reply.category != 2:
                self.needs_reset = True
                self._fail_rest(verdict.said(self._peer, reply, self.stage))
                return True
            if last:
                self._fail_rest(verdict.sent(reply))
                return True
            chunk, last = await _next_chunk(reader, encoder)

    def _send(self, chunk: bytes, *, last: bool) -> None:
        self._channel.command(command.bdat(len(chunk), last=last))
        self._channel.write(chunk)


async def _next_chunk(reader: IContentReader, encoder: WireEncoder) -> tuple[bytes, bool]:
    """The next chunk, and whether it is the last: a block of content, and the next one too where that is nothing."""
    block = await read_block(reader)
    following = await read_block(reader) if block else b""
    chunk = encoder.feed(block) + encoder.feed(following)
    if not following:
        return chunk + encoder.finish(), True
    return chunk, False
