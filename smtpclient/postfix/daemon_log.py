"""
The log of a daemon below Postfix's master: postlogd(8), or syslog.

Where master names the socket of postlogd(8), ``maillog_file`` is in use, and a line is a datagram there; otherwise
syslog takes it, with the facility mail. Both are opened before the process gives up root or shuts itself in. What
Twisted logs, tracebacks with it, comes along as warnings: descriptors 0 to 2 lead nowhere below master.

Promises: a line is one line; nothing that goes wrong with it disturbs a delivery.

Known limits: a line that is lost (postlogd(8) is gone, its socket is full) is lost.
"""

import os
import socket
import syslog
from contextlib import suppress

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from zope.interface import implementer

from smtpclient.observe.maillog import MailLog, printable, stamp

_RELATIVE = "public/postlog"
_LONGEST = 2000  # bytes of a line; Postfix's own end there, too


class DaemonLog:
    """
    Where the lines of one process go.

    :param tag: the name in front of the process's, for instance ``postfix``.
    :param process: the process's: what it says in the name of others of the house is its own, too.
    :param socket_path: where postlogd(8) listens; empty: syslog.
    :param hostname: the machine's name; its first label is written.
    """

    def __init__(self, tag: str, process: str, socket_path: str, hostname: str) -> None:
        self._name = f"{tag}/{process}"
        self._host = hostname.partition(".")[0]
        self._path = socket_path
        self._socket: socket.socket | None = None
        if socket_path:
            self._connect(socket_path)
        if self._socket is None:
            self._path = ""
            self._open_syslog()

    def rename(self, tag: str, process: str) -> None:
        """Go on under another name, which main.cf and master.cf have for it."""
        self._name = f"{tag}/{process}"
        if not self._path:
            self._open_syslog()

    def write(self, _process: str, line: str, moment: float) -> None:
        """
        Write one line.

        :param moment: seconds since the epoch.
        """
        if not self._path:
            syslog.syslog(_priority(line), line[:_LONGEST])
            return
        head = f"{stamp(moment)} {self._host} {self._name}[{os.getpid()}]: "
        data = f"{head}{line[:_LONGEST]}".encode("utf-8", "replace")
        if not self._send(data):
            # postlogd(8) has gone and come back; the path is as seen from the queue directory, in a jail or not.
            self._connect(_RELATIVE)
            self._send(data)

    def _send(self, data: bytes) -> bool:
        try:
            return self._socket is not None and self._socket.send(data) == len(data)
        except BlockingIOError:
            return True  # it is there, and has too much to do
        except OSError:
            return False

    def _connect(self, path: str) -> None:
        fresh = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            fresh.connect(path)
            fresh.settimeout(1.0)
        except OSError:
            fresh.close()
            return
        if self._socket is not None:
            self._socket.close()
        self._socket = fresh

    def _open_syslog(self) -> None:
        with suppress(OSError):
            syslog.openlog(self._name, syslog.LOG_PID | syslog.LOG_NDELAY, syslog.LOG_MAIL)


def _priority(line: str) -> int:
    if line.startswith("warning: "):
        return syslog.LOG_WARNING
    return syslog.LOG_ERR if line.startswith(("error: ", "fatal: ")) else syslog.LOG_INFO


@implementer(ILogObserver)
class FromTwisted:
    """What Twisted logs from the level warn on, line by line, as warnings of the mail log."""

    def __init__(self, maillog: MailLog, process: str) -> None:
        self._maillog = maillog
        self._process = process

    def __call__(self, event: LogEvent) -> None:
        """Pass on one event."""
        level = event.get("log_level", LogLevel.info)
        if level < LogLevel.warn:
            return
        text = formatEvent(event) or "an event without words"
        failure = event.get("log_failure")
        if failure is not None and failure.check(OSError):
            # What the system says needs no traceback, and comes in numbers when something does not answer.
            text += f": {failure.value}"
        elif failure is not None:
            with suppress(Exception):  # a traceback that cannot be shown is no reason for another
                text += "\n" + failure.getTraceback()
        for line in text.splitlines():
            if line.strip():
                self._maillog.warning(self._process, printable(line))
