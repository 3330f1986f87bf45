"""
All code that the service may ever need, loaded before it changes root or user, or else once it has run for a while.

twistd makes the service first, as root and outside of the jail; then come ``--chroot``, ``--uid`` and ``--gid``.
After that nothing can be imported any more: the interpreter's library is out of reach. A service that keeps root and
user has no need of a third of the code, and delivers before it loads that. It does load it then, piece by piece
(:class:`LatePreload`), for an upgrade of the package beneath a running service must not mix two versions of it.

A program that is put together already, and will never be more than it is, has its modules: it only needs what libraries
load later (:func:`preload_libraries`). Below Postfix that is half of the time of a start.

Promises: when :func:`preload` returns, every module of the product is loaded, and so is what the standard library and
Twisted only load when something happens for the first time: codecs, the tables of IDNA, name service modules of the C
library, the zone of local time, and OpenSSL's trust store.

Does not: load plugins of third parties beyond the services that were chosen; what these load later must lie in the
jail.

Known limits: an upgrade within the first minute of a service that keeps root and user may be mixed with what it has
loaded.
"""

import codecs
import importlib
import os
import pkgutil
import pwd
import socket
import time
from collections.abc import Iterable, Iterator

import idna
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import CooperativeTask, Cooperator, TaskStopped
from twisted.logger import Logger
from twisted.python.failure import Failure

import smtpclient

DELAY = 60.0
"""How long a service that can load code at any time delivers before it loads the rest, seconds."""

_PAUSE = 0.01  # seconds between two modules

#: Programs of their own; the service has no use for them.
_PROGRAMS = ("smtpclient.__main__", "smtpclient.command")

#: Codecs that are looked up by name when the first text of their kind comes along.
_CODECS = ("ascii", "utf-8", "latin-1", "idna", "punycode", "utf-8-sig", "utf-16", "base64", "quopri", "us-ascii")

#: Modules that what we build on imports inside of functions.
_LATER = (
    "email.charset",
    "email.message",
    "encodings.idna",
    "idna.uts46data",
    "linecache",
    "service_identity.pyopenssl",
    "stringprep",
    "traceback",
    "twisted.internet._signals",
    "twisted.internet._sslverify",
    "twisted.internet.endpoints",
    "twisted.internet.process",
    "twisted.internet.threads",
    "twisted.logger._json",
    "twisted.protocols.tls",
    "twisted.python._tzhelper",
    "twisted.python.reflect",
)


def preload() -> None:
    """Load everything; a part that is not installed is passed over."""
    for _ in pieces():
        pass
    _call_the_c_library()


def preload_libraries() -> None:
    """Load what libraries would load later, for a program that has imported all of the product that it will use."""
    for _ in _of_libraries():
        pass
    _call_the_c_library()


def pieces() -> Iterator[None]:
    """Load all code, about a module with each step."""
    yield from _load(modules())
    yield from _of_libraries()


def _load(names: Iterable[str]) -> Iterator[None]:
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("smtpclient"):
                raise
        yield


def _of_libraries() -> Iterator[None]:
    yield from _load(_LATER)
    for name in _CODECS:
        codecs.lookup(name)
    idna.encode("bücher.example", uts46=True)


class LatePreload(Service):
    """
    Loads everything while the service runs, after :data:`DELAY` and between its work.

    :param clock: when that is.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._loading: CooperativeTask[Iterator[None]] | None = None

    def startService(self) -> None:
        """Begin to wait."""
        super().startService()
        self._timer = self._clock.callLater(DELAY, self._begin)

    def _begin(self) -> None:
        self._timer = None
        # Each piece alone: some of them take 20 ms.
        cooperator = Cooperator(lambda: lambda: True, lambda step: self._clock.callLater(_PAUSE, step))
        self._loading = cooperator.cooperate(pieces())
        self._loading.whenDone().addBoth(self._ended)

    def _ended(self, result: object) -> None:
        self._loading = None
        if isinstance(result, Failure) and not result.check(TaskStopped):
            self._log.failure("code cannot be loaded: the service should be started again", result)

    def stopService(self) -> None:
        """Load no more."""
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._loading is not None:
            self._loading.stop()


def modules() -> Iterator[str]:
    """The names of all modules of the product but its programs."""
    for found in pkgutil.walk_packages(smtpclient.__path__, "smtpclient."):
        if not found.name.startswith(_PROGRAMS):
            yield found.name


def _call_the_c_library() -> None:
    """Have the C library read and load what it reads and loads at first use."""
    time.tzset()
    time.localtime()
    try:
        pwd.getpwuid(os.getuid())
        os.getgrouplist("root", 0)
        socket.getaddrinfo("localhost", None, 0, socket.SOCK_STREAM)
    except (KeyError, OSError):
        return
