"""
What twistd calls: options, and the service that they describe.

``makeService`` runs as root, before twistd forks, changes root or drops privileges (and before the log is open), so
configuration, tables and the log file are read here; the queue directory is only touched when the service starts,
under its final identity. Both ``twistd`` and ``twist`` work.
"""

import sys
from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IProtocolFactory

from smtpclient.config.options import Options
from smtpclient.observe import page
from smtpclient.observe.metrics import Metrics
from smtpclient.outbound import Outbound
from smtpclient.queue.spool import SpoolError
from smtpclient.queue.trigger import TriggerError
from smtpclient.submission.acceptance import Acceptor
from smtpclient.submission.access import permit_networks
from smtpclient.submission.server import SubmissionFactory


class TwistdOutbound(Outbound):
    """An :class:`Outbound` whose operator looks at a terminal or a log, not at a traceback."""

    def startService(self) -> None:
        """
        Begin, or say why not and end the program.

        :raises SystemExit: when the queue directory cannot be used.
        """
        for warning in self.parameters.warnings:
            self.maillog.warning("master", warning)
        try:
            super().startService()
        except (SpoolError, TriggerError, OSError) as why:
            self.maillog.error("master", f"cannot start: {why}")
            sys.exit(f"smtpclient: cannot start: {why}")
        self.maillog.info("master", f"started on {self.spool.directory}")

    submission: SubmissionFactory | None = None

    def stopService(self) -> "Deferred[None]":
        """Say so, and end; clients that have sent a message get their reply first."""
        self.maillog.info("master", "stopping")
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
        if self.submission is not None:
            await self.submission.drain()
        await super().stopService()


def makeService(options: Options) -> IService:
    """
    Make the service.

    :raises SystemExit: when a report service or an endpoint makes no sense, or the log file cannot be opened.
    """
    from twisted.internet import reactor  # noqa: PLC0415 -- twistd has chosen it by now

    try:
        outbound = TwistdOutbound(
            options.parameters,
            reactor=reactor,
            bounce=options["bounce-service"],
            defer=options["defer-service"],
            trace=options["trace-service"],
        )
        if options["submission"]:
            outbound.submission = _submission(outbound, reactor)
            _listen(outbound, reactor, options["submission"], outbound.submission)
        if options["admin"]:
            scheduler = outbound.scheduler
            metrics = Metrics(lambda: len(scheduler), scheduler.destinations)
            outbound.outcomes.subscribe(metrics.count)
            _listen(outbound, reactor, options["admin"], page.site(metrics, scheduler.destinations))
    except (OSError, ValueError) as why:
        sys.exit(f"smtpclient: {why}")
    return outbound


def _listen(outbound: Outbound, reactor: Any, endpoint: str, factory: IProtocolFactory) -> None:
    """
    Serve at an endpoint for as long as the service runs.

    :raises ValueError: when the endpoint's description makes no sense.
    """
    try:
        service = StreamServerEndpointService(serverFromString(reactor, endpoint), factory)
    except (ValueError, TypeError) as why:
        raise ValueError(f"endpoint {endpoint!r}: {why}") from why
    # A port that cannot be had stops the start; without this it would only be logged.
    service._raiseSynchronously = True
    service.setServiceParent(outbound)


def _submission(outbound: Outbound, reactor: Any) -> SubmissionFactory:
    acceptor = Acceptor(outbound.enqueue, outbound.rules, reactor)
    policy = permit_networks(outbound.parameters.words("mynetworks"))
    return SubmissionFactory(acceptor, policy, reactor, maillog=outbound.maillog)
