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
from smtpclient.smtp import command, verdict
from smtpclient.smtp.channel import SessionOver
from smtpclient.smtp.content import WireEncoder
from smtpclient.smtp.transaction import Transaction, is_over, read_block
from smtpclient.smtp.verdict import Stage


class ChunkedTransaction(Transaction):
    """One message to some recipients over one session, in chunks: the same opening, and no DATA after it."""

    _chunks: "_Chunks"
    _is_under_way = False  # the chunk in hand, which is the whole message, has gone out with the envelope

    async def _dialogue(self, mail: bytes, rcpts: list[tuple[int, bytes]]) -> bool:
        """The transaction itself; true when the session can carry another one."""
        reader = self._open()
        try:
            self._chunks = _Chunks(reader, WireEncoder(self._settings.line_length_limit, dots=False))
            await self._chunks.advance()
            return await super()._dialogue(mail, rcpts)
        except SessionOver:
            if self._is_under_way:
                self.stage = Stage.DOT
            raise
        finally:
            reader.close()

    def _send_envelope(self, lines: bytes) -> None:
        self._channel.command(lines)
        if self._chunks.is_last:
            self._send_chunk()
            self._is_under_way = True

    async def _transfer(self) -> bool:
        if self._accepted:
            await self._message_in_chunks()
            return True
        self.needs_reset = True
        if self._is_under_way:
            await self._channel.reply(self._settings.data_done)
        return True

    async def _message_in_chunks(self) -> None:
        """Send what has not been sent, and hear what becomes of it."""
        while True:
            if not self._is_under_way:
                self._send_chunk()
            is_last = self._chunks.is_last
            self.stage = Stage.DOT if is_last else Stage.BDAT
            reply = await self._channel.reply(self._settings.data_done if is_last else self._settings.data_xfer)
            if reply.category != 2:
                self.needs_reset = True
                self._fail_rest(verdict.said(self._peer, reply, self.stage))
                return
            if is_last:
                self._fail_rest(verdict.sent(reply))
                return
            await self._chunks.advance()

    def _send_chunk(self) -> None:
        self._channel.command(command.bdat(len(self._chunks.current), last=self._chunks.is_last))
        self._channel.write(self._chunks.current)


class _Chunks:
    """
    A message's content cut into chunks.

    :ivar current: the chunk in hand, as it goes over the wire.
    :ivar is_last: nothing follows it.
    """

    def __init__(self, reader: IContentReader, encoder: WireEncoder) -> None:
        self._reader = reader
        self._encoder = encoder
        self.current = b""
        self.is_last = False

    async def advance(self) -> None:
        """
        Take the next chunk in hand: a block of content, and the next one too where that is nothing.

        :raises UnreadableContent: when the file cannot be read.
        """
        block = await read_block(self._reader)
        following = await read_block(self._reader) if block and not is_over(self._reader) else b""
        self.current = self._encoder.feed(block) + self._encoder.feed(following)
        self.is_last = not following
        if self.is_last:
            self.current += self._encoder.finish()
