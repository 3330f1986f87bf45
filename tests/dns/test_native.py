"""Tests of host lookups by the C library."""

import socket
from typing import cast

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorThreads
from twisted.trial.unittest import TestCase

from smtpclient.dns.native import NativeLookup, NativeLookupError

THREADS = cast(IReactorThreads, reactor)


class NativeLookupTests(TestCase):
    def lookup(self, error: Exception | None = None, *found: tuple[int, str]) -> NativeLookup:
        """A lookup whose C library fails, or finds these."""

        def getaddrinfo(*arguments: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
            if error is not None:
                raise error
            return [(family, 1, 6, "", (address, 0)) for family, address in found]

        return NativeLookup(THREADS, THREADS.getThreadPool(), getaddrinfo)

    async def test_localhost(self) -> None:
        """The machine knows its own name."""
        found = await NativeLookup(THREADS, THREADS.getThreadPool()).addresses("localhost")
        self.assertTrue({"127.0.0.1", "::1"} & set(found), found)

    async def test_addresses(self) -> None:
        """Addresses of both families, each once, in order, without scopes; other families are not seen."""
        lookup = self.lookup(
            None,
            (socket.AF_INET6, "fe80::1%eth0"),
            (socket.AF_INET, "192.0.2.1"),
            (socket.AF_INET, "192.0.2.1"),
            (socket.AF_UNIX, "x"),
        )
        self.assertEqual(await lookup.addresses("a.test"), ("fe80::1", "192.0.2.1"))

    async def test_failures(self) -> None:
        """A failure says whether it may pass, and whether it means that there is no such host."""
        errors = {
            "none": socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "again": socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
            "memory": socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"),
            "failed": socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure in name resolution"),
            "descriptors": OSError(24, "Too many open files"),
            "name": UnicodeError("label too long"),
        }
        got = {}
        for why, error in errors.items():
            try:
                await self.lookup(error).addresses("a.test")
            except NativeLookupError as failed:
                got[why] = (failed.temporary, failed.not_found)
        self.assertEqual(
            got,
            {
                "none": (False, True),
                "again": (True, True),
                "memory": (True, False),
                "failed": (False, False),
                "descriptors": (True, False),
                "name": (False, False),
            },
        )

    async def test_words(self) -> None:
        """The words are the C library's."""
        error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        with self.assertRaises(NativeLookupError) as caught:
            await self.lookup(error).addresses("a.test")
        self.assertEqual(str(caught.exception), "Name or service not known")
