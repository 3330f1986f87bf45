"""
The addresses of one host, or why there are none.

The words of a failure and its enhanced status code are those of Postfix 3.7's smtp(8), for senders and programs know
them; the reason quotes the name that was asked last, which behind an alias is not the host's own.

Promises: an IP address in place of a host name stands for itself, in the address families that are used; addresses
come IPv4 first, in the order of the answer, whichever answer comes first.

Does not: order or choose (``smtpclient.dns.order``), look for mail exchangers (``smtpclient.dns.exchangers``).
"""

from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from smtpclient.dns.answer import Address, Answer, Status
from smtpclient.dns.exchanger_settings import ExchangerSettings
from smtpclient.dns.name import family, to_address, to_ascii
from smtpclient.dns.native import NativeLookup, NativeLookupError
from smtpclient.dns.order import Exchanger
from smtpclient.dns.resolver import AAAA, MX, A
from smtpclient.interfaces import IResolver

T = TypeVar("T")

_TYPES = {"ipv4": A, "ipv6": AAAA}
_TYPE_NAMES = {A: "A", AAAA: "AAAA", MX: "MX"}
_WORDS = {
    Status.NO_NAME: "Host not found",
    Status.NO_DATA: "Host found but no data record of requested type",
    Status.RETRY: "Host not found, try again",
}
_MOST_ADDRESSES = 100  # of one host; what is beyond is a name server's joke, and would take long to sort
# Which of two failures counts: that of the A lookup or that of the AAAA lookup.
_WEIGHT = {Status.NO_NAME: 0, Status.NO_DATA: 0, Status.MALFORMED: 1, Status.RETRY: 2}
_DETAILS = {Status.NO_NAME: "4.4", Status.NO_DATA: "4.4", Status.MALFORMED: "4.4", Status.RETRY: "4.3"}


@dataclass(frozen=True, slots=True)
class Complaint:
    """
    Why a lookup gave nothing.

    :param detail: the enhanced status code without its class.
    :param temporary: it may give something later.
    :param not_found: there is no such name, or nothing of the wanted type under it.
    """

    detail: str
    temporary: bool
    not_found: bool
    reason: str


class Host(NamedTuple):
    """One host: its addresses, or a complaint."""

    name: str
    preference: int
    addresses: tuple[Exchanger, ...] = ()
    complaint: Complaint | None = None


def complaint_of(answer: Answer) -> Complaint:
    """The complaint that an answer without records is."""
    name, wanted = answer.canonical or answer.name, _TYPE_NAMES.get(answer.record_type, str(answer.record_type))
    if answer.status is Status.MALFORMED:
        reason = f"Name service error for name={name} type={wanted}: Malformed or unexpected name server reply"
    else:
        words = _WORDS[answer.status]
        reason = f"Host or domain name not found. Name service error for name={name} type={wanted}: {words}"
    return Complaint(
        _DETAILS[answer.status],
        answer.status is Status.RETRY,
        answer.status in (Status.NO_NAME, Status.NO_DATA),
        reason,
    )


async def gather(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """
    The results of coroutines that run at the same time, in their order; cancelling cancels all of them.

    :raises Exception: the first that one of them raised, when all have come to their end.
    """
    results = []
    for _, result in await DeferredList([Deferred.fromCoroutine(c) for c in coroutines], consumeErrors=True):
        if isinstance(result, Failure):
            result.raiseException()
        results.append(result)
    return results


class HostLookup:
    """
    Finds the addresses of hosts.

    :param native: for ``smtp_host_lookup = native``.
    """

    def __init__(self, resolver: IResolver, settings: ExchangerSettings, native: NativeLookup) -> None:
        self._resolver = resolver
        self._settings = settings
        self._native = native

    async def find(self, name: str, preference: int, port: int) -> Host:
        """
        Look up one host.

        :param name: a host name or an IP address.
        :param port: goes into the result.
        """
        if address := to_address(name):
            if family(address) in self._settings.families:
                return Host(name, preference, (Exchanger(name, address, port, preference, canonical=name),))
            return Host(name, preference, complaint=_invalid(name))
        try:
            asked = to_ascii(name)
        except ValueError:
            return Host(name, preference, complaint=_invalid(name))
        host = Host(asked, preference)
        if "dns" in self._settings.host_lookups:
            host = await self._ask_dns(asked, preference, port)
            if host.complaint is None or not host.complaint.not_found:
                return host
        if "native" in self._settings.host_lookups:
            host = await self._ask_native(asked, preference, port)
        return host

    async def _ask_dns(self, name: str, preference: int, port: int) -> Host:
        lookups = [self._resolver.lookup(name, _TYPES[each]) for each in self._settings.families]
        answers = await gather(lookups)
        found = [
            Exchanger(name, record.address, port, preference, answer.secure, answer.canonical or name)
            for answer in answers
            for record in answer.records
            if isinstance(record, Address)
        ]
        if found:
            return Host(name, preference, tuple(found[:_MOST_ADDRESSES]))
        worst = answers[0]
        for answer in answers[1:]:
            if _WEIGHT[answer.status] >= _WEIGHT[worst.status]:
                worst = answer
        return Host(name, preference, complaint=complaint_of(worst))

    async def _ask_native(self, name: str, preference: int, port: int) -> Host:
        try:
            found = await self._native.addresses(name)
        except NativeLookupError as error:
            reason = f"unable to look up host {name}: {error}"
            detail = "4.4" if error.not_found else "3.0"
            return Host(name, preference, complaint=Complaint(detail, error.temporary, error.not_found, reason))
        addresses = tuple(
            Exchanger(name, address, port, preference, canonical=name)
            for address in found
            if family(address) in self._settings.families
        )
        complaint = None if addresses else Complaint("4.4", False, True, f"{name}: host not found")
        return Host(name, preference, addresses, complaint)


def _invalid(name: str) -> Complaint:
    """Nothing was asked: the name is none, or an address of a family that is not used."""
    return Complaint("4.4", False, True, f"Name service error for {name}: invalid host or domain name")
