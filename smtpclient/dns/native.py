"""
Host names as this machine knows them: the C library's way, with /etc/hosts and whatever nsswitch.conf(5) names.

It serves ``smtp_host_lookup = native`` and ``disable_dns_lookups = yes``, and the host names that ``inet_interfaces``
and ``proxy_interfaces`` may list.

Promises: the reactor is not held up, for the C library is called in a thread; a failure is an exception that says
whether to try again.

Does not: look up MX records (the C library cannot), remember answers, say whether an answer was validated.

Known limits: a call that was cancelled runs to its end in its thread; the threads are the reactor's, ten by default.
"""

import socket
from collections.abc import Callable

from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

_FAMILIES = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}
_NO_SUCH_HOST = (socket.EAI_AGAIN, socket.EAI_NODATA, socket.EAI_NONAME)
_FOR_NOW = (socket.EAI_AGAIN, socket.EAI_MEMORY, socket.EAI_SYSTEM)


class NativeLookupError(Exception):
    """
    The C library gave no address; the text is its own.

    :param temporary: it may do so later.
    :param not_found: it says that there is no such host, or that it could not find out.
    """

    def __init__(self, words: str, temporary: bool, not_found: bool) -> None:
        super().__init__(words)
        self.temporary = temporary
        self.not_found = not_found


class NativeLookup:
    """
    Looks up hosts by getaddrinfo(3).

    :param reactor: brings the answer back from the thread.
    :param threads: where the C library may block.
    :param getaddrinfo: :func:`socket.getaddrinfo`, or what stands for it.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        threads: ThreadPool,
        getaddrinfo: Callable[..., list[tuple[int, int, int, str, tuple[str, ...]]]] = socket.getaddrinfo,  # type: ignore[assignment]
    ) -> None:
        self._reactor = reactor
        self._threads = threads
        self._getaddrinfo = getaddrinfo

    async def addresses(self, host: str) -> tuple[str, ...]:
        """
        The addresses of a host, IPv4 and IPv6, in the C library's order.

        :param host: a host name in A-labels, or an address.
        :raises NativeLookupError: when there are none.
        """
        try:
            found = await deferToThreadPool(
                self._reactor, self._threads, self._getaddrinfo, host, None, 0, socket.SOCK_STREAM
            )
        except socket.gaierror as error:
            words = error.strerror or str(error)
            raise NativeLookupError(words, error.errno in _FOR_NOW, error.errno in _NO_SUCH_HOST) from None
        except (OSError, UnicodeError) as error:
            raise NativeLookupError(str(error), isinstance(error, OSError), False) from None
        return tuple(dict.fromkeys(entry[4][0].partition("%")[0] for entry in found if entry[0] in _FAMILIES))
