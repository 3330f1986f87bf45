"""
From a destination to the list of addresses to try, in order: the walk that RFC 5321 section 5.1 describes.

1. The MX records of the domain; without any, the domain itself at preference 0; ``[host]`` skips this step.
2. The addresses of all of these hosts, looked up at the same time.
3. If an address is our own: nothing at its preference or a worse one, for that mail would come back to us.
4. Shuffled, sorted by preference and address family, cut at ``smtp_mx_address_limit``.

What the lookups say, and what becomes of the mail when nothing is left:

====================================================  ==============================================
MX lookup fails for now                               deferred 4.4.3 (or step 2 with the domain itself,
                                                      when ``ignore_mx_lookup_error = yes``)
null MX (RFC 7505)                                    bounced 5.1.0
every MX record is unusable                           bounced 5.4.4
no exchanger has an address                           bounced 5.4.4, or deferred 4.4.4 when one lookup
                                                      failed for now, or 4.4.3 when it was the last one
we are the best exchanger                             bounced 5.4.6
we are the best that has an address, and not the best deferred 4.4.4
====================================================  ==============================================

Promises: reasons and codes are those of Postfix 3.7's smtp(8); a name server that lists thousands of hosts gets no
more than a hundred of them looked up and two hundred addresses tried; everything left out is said in
``Exchangers.skipped``; :meth:`ExchangerLookup.find` raises nothing for anything that a name server says.

Does not: connect, remember which addresses were bad.

Known limits: our own addresses are looked for at the SMTP port only (``ExchangerSettings.own_ports``).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import cast

from twisted.internet.interfaces import IReactorThreads, IReactorTime

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.destination import Destination
from smtpclient.dns import order
from smtpclient.dns.answer import Answer, Exchange, Status
from smtpclient.dns.exchanger_settings import ExchangerSettings
from smtpclient.dns.hosts import Complaint, HostLookup, complaint_of, gather
from smtpclient.dns.native import NativeLookup
from smtpclient.dns.order import Exchanger
from smtpclient.dns.own_addresses import OwnAddresses
from smtpclient.dns.resolver import MX
from smtpclient.interfaces import IResolver
from smtpclient.mail.outcome import Disposition
from smtpclient.observe.maillog import MailLog

__all__ = ["Exchanger", "ExchangerLookup", "ExchangerSettings", "Exchangers", "LookupFailure"]

_MOST_HOSTS = 100
_MOST_ADDRESSES = 200
_MOST_NAMED = 20  # in one sentence


@dataclass(frozen=True, slots=True)
class LookupFailure:
    """
    Why there is no address to try.

    :param status: enhanced status code, RFC 3463.
    :param reason: the sentence for log and report.
    :param not_found: the domain or its hosts do not exist, and the DNS is sure of it.
    """

    disposition: Disposition
    status: str
    reason: str
    not_found: bool = False


@dataclass(frozen=True, slots=True)
class Exchangers:
    """
    What a destination comes to.

    :param addresses: in the order in which to try them; empty exactly when there is a ``failure``.
    :param found_self: one of our own addresses was on the list. Nobody else than ``addresses`` may get the mail then:
        a fallback relay would only send it round.
    :param secure: the name server has validated the list of hosts, or that there is none (DNSSEC).
    :param from_mx: the addresses are those of mail exchangers, not the destination's own.
    :param canonical: the destination's name behind its aliases.
    :param skipped: what was left out of ``addresses`` and why, one sentence each.
    """

    destination: Destination
    addresses: tuple[Exchanger, ...] = ()
    failure: LookupFailure | None = None
    found_self: bool = False
    secure: bool = False
    skipped: tuple[str, ...] = ()
    from_mx: bool = False
    canonical: str = ""


class ExchangerLookup:
    """
    Finds the servers of destinations.

    :param random: shuffles what is equal.
    :param native: for ``smtp_host_lookup = native``.
    :param own: our own addresses.
    :param warn: takes a sentence for the operator.
    """

    def __init__(
        self,
        resolver: IResolver,
        settings: ExchangerSettings,
        random: Random,
        native: NativeLookup,
        own: OwnAddresses,
        warn: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._resolver = resolver
        self._settings = settings
        self._random = random if settings.shuffle else None
        self._hosts = HostLookup(resolver, settings, native)
        self._own = own
        self._warn = warn

    @classmethod
    def from_parameters(
        cls, parameters: Parameters, resolver: IResolver, reactor: IReactorThreads, random: Random, maillog: MailLog
    ) -> "ExchangerLookup":
        """
        What the parameters ask for, on this machine.

        :param reactor: also gives ``IReactorTime``.
        :param random: shuffles what is equal.
        """

        def warn(sentence: str) -> None:
            maillog.warning("smtp", sentence)

        native = NativeLookup(reactor, reactor.getThreadPool())
        own = OwnAddresses(
            parameters.words("inet_interfaces"),
            parameters.words("proxy_interfaces"),
            cast(IReactorTime, reactor).seconds,
            native,
            warn=warn,
        )
        return cls(resolver, ExchangerSettings.from_parameters(parameters), random, native, own, warn)

    async def find(self, destination: Destination) -> Exchangers:
        """The addresses to try for a destination, or why there are none."""
        if not (destination.use_mx and self._settings.use_mx):
            return await self._find_host(destination)
        answer = await self._resolver.lookup(destination.host, MX)
        if answer.status is Status.FOUND:
            found = await self._find_exchangers(destination, answer)
            return replace(found, from_mx=True, canonical=answer.canonical)
        if answer.status in (Status.NO_NAME, Status.NO_DATA):
            return await self._find_host(destination, secure=answer.secure)
        if self._settings.ignore_mx_lookup_error:
            return await self._find_host(destination, skipped=(complaint_of(answer).reason,))
        return Exchangers(destination, failure=_failure(complaint_of(answer)), skipped=_details(answer))

    async def _find_host(
        self, destination: Destination, *, secure: bool = False, skipped: tuple[str, ...] = ()
    ) -> Exchangers:
        """The destination's own addresses."""
        host = await self._hosts.find(destination.host, 0, destination.port)
        if host.complaint is not None:
            return Exchangers(destination, failure=_failure(host.complaint), secure=secure, skipped=skipped)
        _, found_self = order.truncate_at_self(host.addresses, await self._own_at(destination.port))
        if found_self:
            return Exchangers(destination, (), _loop(destination), True, secure, skipped)
        addresses, cut = self._arrange(host.addresses)
        return Exchangers(destination, addresses, secure=secure, skipped=skipped + cut)

    async def _find_exchangers(self, destination: Destination, answer: Answer) -> Exchangers:
        """The addresses of a domain's mail exchangers."""
        records = sorted(
            (record for record in answer.records if isinstance(record, Exchange)), key=lambda record: record.preference
        )
        if any(not record.host for record in records):
            reason = f"Domain {answer.name} does not accept mail (nullMX)"
            return Exchangers(
                destination, failure=LookupFailure(Disposition.BOUNCED, "5.1.0", reason), secure=answer.secure
            )
        skipped = list(_details(answer))
        if len(records) > _MOST_HOSTS:
            skipped.append(f"{len(records) - _MOST_HOSTS} mail exchangers beyond the first {_MOST_HOSTS}")
        hosts = await gather(
            self._hosts.find(record.host, record.preference, destination.port) for record in records[:_MOST_HOSTS]
        )
        complaints = [host.complaint for host in hosts if host.complaint is not None]
        skipped += (f"{host.name}: {host.complaint.reason}" for host in hosts if host.complaint is not None)
        found = [exchanger for host in hosts for exchanger in host.addresses]
        if not found:
            self._warn(f"no MX host for {destination.host} has a valid address record")
            return Exchangers(destination, (), self._no_address(complaints), False, answer.secure, tuple(skipped))
        left, found_self = order.truncate_at_self(found, await self._own_at(destination.port))
        if found_self:
            skipped.append(f"preference {found[len(left)].preference} and worse: this machine is one of them")
        failure = None
        if not left:
            # When a better host exists and only has no address now, we are not where the mail belongs.
            failure = _loop(destination) if records[0].preference == found[0].preference else _no_primary(destination)
        addresses, cut = self._arrange(left)
        return Exchangers(destination, addresses, failure, found_self, answer.secure, (*skipped, *cut))

    async def _own_at(self, port: int) -> Collection[str]:
        """The addresses that are ours at a port."""
        return await self._own.current() if port in self._settings.own_ports else ()

    def _arrange(self, exchangers: Sequence[Exchanger]) -> tuple[tuple[Exchanger, ...], tuple[str, ...]]:
        """In order, and no more than wanted; and a sentence on what is not wanted."""
        settings = self._settings
        arranged = order.arrange(exchangers, settings.address_preference, self._random)
        most = min(settings.address_limit or _MOST_ADDRESSES, _MOST_ADDRESSES)
        kept = order.limit(arranged, most, settings.balance)
        if len(kept) == len(arranged):
            return kept, ()
        chosen = set(kept)
        cut = [f"{e.host}[{e.address}]" for e in arranged if e not in chosen][:_MOST_NAMED]
        return kept, (f"beyond the limit of {most} addresses: {', '.join(cut)}",)

    def _no_address(self, complaints: Sequence[Complaint]) -> LookupFailure:
        """
        The failure of a list of exchangers of which none has an address.

        One lookup that may work later makes the whole temporary, whatever the others say; the words are the last's.
        """
        last = complaints[-1]
        temporary = self._settings.defer_if_no_address or any(complaint.temporary for complaint in complaints)
        return _failure(replace(last, temporary=temporary))


def _failure(complaint: Complaint) -> LookupFailure:
    if complaint.temporary:
        return LookupFailure(Disposition.DEFERRED, "4." + complaint.detail, complaint.reason)
    return LookupFailure(Disposition.BOUNCED, "5." + complaint.detail, complaint.reason, complaint.not_found)


def _loop(destination: Destination) -> LookupFailure:
    return LookupFailure(Disposition.BOUNCED, "5.4.6", f"mail for {destination.host} loops back to myself")


def _no_primary(destination: Destination) -> LookupFailure:
    return LookupFailure(Disposition.DEFERRED, "4.4.4", f"unable to find primary relay for {destination.host}")


def _details(answer: Answer) -> tuple[str, ...]:
    return (answer.detail,) if answer.detail else ()
