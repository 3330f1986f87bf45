"""
What twistd calls: options, and the service that they describe.

``makeService`` runs as root, before twistd forks, changes root or drops privileges (and before the log is open), so
configuration, tables and the log file are read here; the queue directory is only touched when the service starts,
under its final identity. Both ``twistd`` and ``twist`` work.
"""

import sys
from typing import Any

from twisted.application.service import IService

from smtpclient.config.options import Options
from smtpclient.outbound import Outbound
from smtpclient.queue.spool import SpoolError
from smtpclient.queue.trigger import TriggerError


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

    def stopService(self) -> Any:
        """Say so, and end."""
        self.maillog.info("master", "stopping")
        return super().stopService()


def makeService(options: Options) -> IService:
    """
    Make the service.

    :raises SystemExit: when a named report service does not exist, or the log file cannot be opened.
    """
    from twisted.internet import reactor  # noqa: PLC0415 -- twistd has chosen it by now

    try:
        return TwistdOutbound(
            options.parameters,
            reactor=reactor,
            bounce=options["bounce-service"],
            defer=options["defer-service"],
            trace=options["trace-service"],
        )
    except (OSError, ValueError) as why:
        sys.exit(f"smtpclient: {why}")
