"""
What a request over HTTP needs beside Twisted's client: a body that is in memory, and the causes of a failure.

Does not: connect, or decide whom to trust; whoever makes requests does (``smtpclient.report.url``,
``smtpclient.tls.https_client``).
"""

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer


@implementer(IBodyProducer)
class Body:
    """A request body that is in memory; for one request."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> "Deferred[None]":
        """Write it, whole."""
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is written already."""

    def resumeProducing(self) -> None:
        """It is written already."""

    def stopProducing(self) -> None:
        """It is written already."""


def causes(failure: BaseException) -> list[BaseException]:
    """What went wrong, also where the exception only wraps others, as those of Twisted's HTTP client do."""
    reasons = getattr(failure, "reasons", None)
    if not reasons:
        return [failure]
    return [cause for reason in reasons for cause in causes(reason.value)]
