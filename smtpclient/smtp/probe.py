"""
A mail transaction that sends nothing: would the server take mail for these recipients?

``sendmail -bv`` and Postfix's verify(8) ask that with a message that is marked as a probe. :class:`ProbeTransaction` is
a :class:`~smtpclient.smtp.transaction.Transaction` that ends behind RCPT; what the server says to that is the verdict.
The next message, or the end of the session, begins with RSET.

Promises: neither DATA nor BDAT is ever said, so that there is nothing to be delivered by mistake.
"""

from smtpclient.smtp import verdict
from smtpclient.smtp.reply import Reply
from smtpclient.smtp.transaction import Transaction


class ProbeTransaction(Transaction):
    """The envelope of a message, and nothing behind it."""

    def open(self) -> bytes:
        """It never goes out behind another message."""
        return b""

    def _send_envelope(self, lines: bytes) -> None:
        self._channel.command(lines)

    def _accept(self, index: int, reply: Reply) -> None:
        self.verdicts[index] = verdict.accepted(reply)

    async def _transfer(self) -> bool:
        self.needs_reset = True
        return True
