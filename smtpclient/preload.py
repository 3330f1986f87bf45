"""
All code that the service may ever need, loaded before it changes root or user.

twistd makes the service first, as root and outside of the jail; then come ``--chroot``, ``--uid`` and ``--gid``.
After that nothing can be imported any more: the interpreter's library is out of reach. It also keeps an upgrade of
the package beneath a running service from mixing two versions of it.

Promises: when :func:`preload` returns, every module of the product is loaded, and so is what the standard library and
Twisted only load when something happens for the first time: codecs, the tables of IDNA, name service modules of the C
library, the zone of local time, and OpenSSL's trust store.

Does not: load plugins of third parties beyond the services that were chosen; what these load later must lie in the
jail.
"""

import codecs
import importlib
import os
import pkgutil
import pwd
import socket
import time
from collections.abc import Iterator

import idna

import smtpclient

#: Programs of their own; the service has no use for them.
_PROGRAMS = ("smtpclient.__main__", "smtpclient.command")

#: Codecs that are looked up by name when the first text of their kind comes along.
_CODECS = ("ascii", "utf-8", "latin-1", "idna", "punycode", "utf-8-sig", "utf-16", "base64", "quopri", "us-ascii")

#: Modules that are imported inside of functions, here or in what we build on.
_LATER = (
    "email.charset",
    "email.generator",
    "email.headerregistry",
    "email.message",
    "email.mime.multipart",
    "email.mime.text",
    "encodings.idna",
    "idna.uts46data",
    "linecache",
    "service_identity.pyopenssl",
    "stringprep",
    "traceback",
    "twisted.internet._signals",
    "twisted.internet._sslverify",
    "twisted.internet.process",
    "twisted.internet.threads",
    "twisted.logger._json",
    "twisted.protocols.tls",
    "twisted.python._tzhelper",
    "twisted.python.reflect",
    "twisted.web.client",
    "twisted.web.server",
)


def preload() -> None:
    """Load everything; a part that is not installed is passed over."""
    for name in (*modules(), *_LATER):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("smtpclient"):
                raise
    for name in _CODECS:
        codecs.lookup(name)
    idna.encode("bücher.example", uts46=True)
    _call_the_c_library()


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
