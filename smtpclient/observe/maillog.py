"""
The mail log: one line per event, in the grammar that every Postfix log reader knows.

A line is an event of ``twisted.logger`` with the keys ``process`` (``smtp``, ``qmgr``, ``bounce``, ...), ``queue_id``
and ``mail_text``, on a publisher of its own: delivery of ten thousand messages a second does not have to pass
through every observer that an application has put on the global one. :class:`MailLogFile` writes them as
``Nov 22 07:35:35 host smtpclient/smtp[pid]: text``, in local time; :class:`ToTwisted` hands them on to Twisted's own
log. A file that is given to :meth:`MailLog.write_to` gets its lines without an event being made for each: where nobody
else listens, an event costs more than the line.

Promises: a line is one line, whatever text a server sent (control characters become ``?``); it has been handed to
the kernel when the call returns; a full disk loses the line, not the mail.

Does not: rotate. ``MailLogFile.reopen`` is for who does.
"""

import os
import re
import syslog
import time
from collections.abc import Callable
from functools import lru_cache

from constantly import NamedConstant
from twisted.logger import ILogObserver, LogEvent, LogLevel, LogPublisher, globalLogPublisher
from zope.interface import implementer

# U+2028 and U+2029 break lines for those who ask str.splitlines().
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SHOWN = bytes(code if 0x20 <= code < 0x7F else ord("?") for code in range(256))
_PRIORITIES = {
    LogLevel.info: syslog.LOG_INFO,
    LogLevel.warn: syslog.LOG_WARNING,
    LogLevel.error: syslog.LOG_ERR,
}
Write = Callable[[str, str, float], None]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def printable(text: str) -> str:
    """The text with everything that could forge or break a line replaced by ``?``."""
    if text.isascii():  # nearly always; letter by letter it takes twice as long
        return text.encode("ascii").translate(_SHOWN).decode("ascii")
    return text if text.isprintable() else _UNPRINTABLE.sub("?", text)


def _nowhere(_process: str, _line: str, _moment: float) -> None:
    return


class MailLog:
    """
    Where every part of the system says what it did.

    :param seconds: the clock's reading, seconds since the epoch.
    """

    def __init__(self, seconds: Callable[[], float] = time.time) -> None:
        self._seconds = seconds
        self._write: Write = _nowhere
        self._publisher: LogPublisher | None = None

    @property
    def publisher(self) -> LogPublisher:
        """Where observers get every line as an event; events are made from the first time somebody asks for it."""
        if self._publisher is None:
            self._publisher = LogPublisher()
        return self._publisher

    def write_to(self, write: Write) -> None:
        """Have every line written in this way, besides what observers do: process, line, seconds since the epoch."""
        self._write = write

    def info(self, process: str, text: str, queue_id: str = "", level: NamedConstant = LogLevel.info) -> None:
        """
        Say ``queue_id: text`` in the name of a process.

        :param level: how much it matters, for observers; the lines of a file do not tell.
        """
        line = printable(f"{queue_id}: {text}" if queue_id else text)
        now = self._seconds()
        self._write(process, line, now)
        if self._publisher is not None:
            self._publisher(
                {
                    "log_namespace": "smtpclient." + process,
                    "log_level": level,
                    "log_time": now,
                    "log_format": "{mail_line}",
                    "mail_line": line,
                    "process": process,
                    "queue_id": queue_id,
                    "mail_text": printable(text),
                }
            )

    def warning(self, process: str, text: str, queue_id: str = "") -> None:
        """Say that something wants the operator's eye."""
        self.info(process, "warning: " + text, queue_id, LogLevel.warn)

    def error(self, process: str, text: str, queue_id: str = "") -> None:
        """Say that something did not work and will not without the operator."""
        self.info(process, "error: " + text, queue_id, LogLevel.error)


@implementer(ILogObserver)
class MailLogFile:
    """
    Append events to a file in syslog's form.

    :param path: the file; ``/dev/stdout`` works.
    :param hostname: the machine's name; its first label is written.
    :param syslog_name: the program's name before the process's.
    :raises OSError: when the file cannot be opened.
    """

    def __init__(self, path: str, hostname: str, syslog_name: str = "smtpclient") -> None:
        self._path = path
        self._origin = f"{hostname.partition('.')[0]} {syslog_name}/"
        self._pid = f"[{os.getpid()}]: "
        self._fd = self._open()
        self._head = lru_cache(maxsize=32)(self._new_head)  # the same for many lines of a second

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def reopen(self) -> None:
        """Go on in a new file of the same name, after the old one was moved away."""
        fresh = self._open()
        os.close(self._fd)
        self._fd = fresh

    def after_fork(self) -> None:
        """Take note of a new process id; twistd forks after its log is set up."""
        self._pid = f"[{os.getpid()}]: "
        self._head.cache_clear()

    def close(self) -> None:
        """Give back the file; events after that are lost."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        self.write(event["process"], event["mail_line"], event["log_time"])

    def write(self, process: str, line: str, moment: float) -> None:
        """
        Write one line. A disk that is full loses the line, not the mail.

        :param moment: seconds since the epoch.
        """
        try:
            os.write(self._fd, f"{self._head(process, int(moment))}{line}\n".encode("utf-8", "replace"))
        except OSError:
            return

    def _new_head(self, process: str, second: int) -> str:
        return f"{stamp(second)} {self._origin}{process}{self._pid}"


def stamp(moment: float) -> str:
    """
    The time in front of a line of the log, in English whatever the locale is.

    :param moment: seconds since the epoch.
    """
    now = time.localtime(moment)
    return f"{_MONTHS[now.tm_mon - 1]} {now.tm_mday:2} {now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"


@implementer(ILogObserver)
class ToTwisted:
    """Hand the events on to Twisted's own log, and so to ``twistd --syslog`` with facility mail."""

    def __call__(self, event: LogEvent) -> None:
        """Publish one event globally."""
        priority = _PRIORITIES[event["log_level"]]
        globalLogPublisher(
            event | {"log_system": event["process"], "syslogFacility": syslog.LOG_MAIL, "syslogPriority": priority}
        )
