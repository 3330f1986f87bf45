"""
What twistd calls: options, and the service that they describe.

``makeService`` runs as root, before twistd forks, changes root or drops privileges (and before the log is open), so
configuration, tables and the log file are read here; the queue directory is only touched when the service starts,
under its final identity. Both ``twistd`` and ``twist`` work.
"""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred

from smtpclient import memory
from smtpclient.config.options import Options
from smtpclient.outbound import Outbound
from smtpclient.preload import LatePreload, preload
from smtpclient.queue import descriptors
from smtpclient.queue.spool import SpoolError
from smtpclient.queue.trigger import TriggerError

if TYPE_CHECKING:
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
        memory.end_loading()

    submission: "SubmissionFactory | None" = None

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

    descriptors.raise_limit()
    try:
        outbound = TwistdOutbound(
            options.parameters,
            reactor=reactor,
            bounce=options["bounce-service"],
            defer=options["defer-service"],
            trace=options["trace-service"],
            workers=int(options["workers"]),
        )
        if options["submission"] or options["admin"]:
            _listen(outbound, reactor, options)
    except (OSError, ValueError) as why:
        sys.exit(f"smtpclient: {why}")
    if _shuts_itself_in(options):
        preload()
    else:
        LatePreload(reactor).setServiceParent(outbound)
    return outbound


def _shuts_itself_in(options: Options) -> bool:
    """Whether twistd is about to change root or user, so that nothing can be loaded any more; twist never does."""
    twistd: Mapping[str, object] = options.parent or {}
    return any(twistd.get(name) is not None for name in ("chroot", "uid", "gid"))


def _listen(outbound: TwistdOutbound, reactor: Any, options: Options) -> None:
    """
    Serve at the endpoints that are asked for.

    :raises ValueError: when the description of one makes no sense.
    """
    # Servers for mail and for the web, and what they need of Twisted, are a fifth of all that would be imported.
    from smtpclient import endpoints  # noqa: PLC0415

    if options["submission"]:
        outbound.submission = endpoints.serve_submission(outbound, reactor, options["submission"])
    if options["admin"]:
        endpoints.serve_admin(outbound, reactor, options["admin"])
