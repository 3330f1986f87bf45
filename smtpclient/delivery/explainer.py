"""
Asks what delivery would ask, and delivers nothing: route, next hop, servers, TLS, login.

The functions are those of delivery, called with what delivery has (:class:`~smtpclient.delivery.attempt.Means`), so
that what is said here is what would be done. DNS is asked; servers are only contacted where that is wanted.
"""

from smtpclient.delivery import refusal
from smtpclient.delivery.explanation import (
    Explanation,
    Fate,
    HostExplanation,
    LoginExplanation,
    SiteExplanation,
    TlsExplanation,
    fate_of,
    fate_of_sites,
    tls_explanation,
)
from smtpclient.delivery.login import Login
from smtpclient.delivery.means import Means
from smtpclient.delivery.rehearsal import probe
from smtpclient.delivery.routing import Route, Routing
from smtpclient.delivery.security import Barred
from smtpclient.dns.exchangers import Exchanger, Exchangers
from smtpclient.tls.policy import CLEAR, TlsPolicy


class Explainer:
    """
    Explains.

    :param contact: connect to each server, too.
    """

    def __init__(self, means: Means, routing: Routing, *, contact: bool = False) -> None:
        self._means = means
        self._routing = routing
        self._contact = contact

    def route(self, recipient: str, sender: str) -> Route:
        """Where mail for a recipient is sent."""
        return self._routing.route(recipient, sender)

    async def explain(self, recipient: str, sender: str) -> Explanation:
        """
        Everything about one recipient but what is in the queue.

        :param recipient: internal form.
        :param sender: internal form; empty is the null sender.
        """
        route = self.route(recipient, sender)
        if route.transport in refusal.TRANSPORTS:
            fate = fate_of(refusal.TRANSPORTS[route.transport])
            words = " ".join(refusal.status_and_reason(route.transport, route.next_hop))
            return self._explanation(recipient, sender, route, fate, refusal=words)
        sites = []
        means = self._means.of(route.transport)
        for number, next_hop in enumerate((route.next_hop, *means.settings.fallback_relays)):
            hosts, site = await self._site(means, next_hop, sender, is_fallback=number > 0)
            sites.append(site)
            if hosts is not None and hosts.found_self:
                break  # as in delivery: a fallback relay would only send the mail round
        return self._explanation(recipient, sender, route, fate_of_sites(tuple(sites)), sites=tuple(sites))

    def _explanation(
        self,
        recipient: str,
        sender: str,
        route: Route,
        fate: Fate,
        *,
        refusal: str = "",
        sites: tuple[SiteExplanation, ...] = (),
    ) -> Explanation:
        return Explanation(
            recipient,
            sender,
            route.transport,
            route.transport_from,
            route.next_hop,
            route.next_hop_from,
            fate,
            refusal,
            sites,
            self._means.of(route.transport).settings.session_limit,
        )

    async def _site(
        self, means: Means, next_hop: str, sender: str, *, is_fallback: bool
    ) -> tuple[Exchangers | None, SiteExplanation]:
        try:
            where = means.settings.destination(next_hop)
        except ValueError as why:
            return None, SiteExplanation(next_hop, is_fallback, failure=str(why), failure_fate=Fate.DEFERRED)
        hosts = await means.find(where)
        failure, fate = "", Fate.SENT
        if hosts.failure is not None:
            failure, fate = hosts.failure.reason, fate_of(hosts.failure.disposition)
            if hosts.failure.not_found and (is_fallback or next_hop == means.settings.relayhost):
                fate = Fate.DEFERRED  # the operator's mistake, not the sender's
        explained = [await self._host(means, next_hop, sender, hosts, one) for one in hosts.addresses]
        return hosts, SiteExplanation(
            next_hop, is_fallback, hosts.from_mx, hosts.secure, tuple(explained), hosts.skipped, failure, fate
        )

    async def _host(
        self, means: Means, next_hop: str, sender: str, hosts: Exchangers, exchanger: Exchanger
    ) -> HostExplanation:
        login = _login(means, sender, exchanger, next_hop)
        found = None
        try:
            policy = await _policy(means, next_hop, hosts, exchanger)
        except Barred as barred:
            tls = TlsExplanation("", problem=barred.verdict.reason)
        else:
            tls = tls_explanation(policy)
            if self._contact:
                found = await probe(means, exchanger, hosts.destination.host, policy, login)
        return HostExplanation(
            exchanger.host,
            exchanger.address,
            exchanger.port,
            exchanger.preference,
            exchanger.secure,
            tls,
            LoginExplanation(login.username, login.entry.key, login.uses_token) if login is not None else None,
            found,
        )


async def _policy(means: Means, next_hop: str, hosts: Exchangers, exchanger: Exchanger) -> TlsPolicy:
    security = means.security
    if security is None:
        return CLEAR
    return await security.policy(security.requirement(next_hop), next_hop, hosts, exchanger)


def _login(means: Means, sender: str, exchanger: Exchanger, next_hop: str) -> Login | None:
    return means.logins.login(sender, exchanger.host, next_hop) if means.logins is not None else None


def same_destination(route: Route, other: Route) -> bool:
    """Whether mail with these routes waits in the same queue."""
    return (route.transport, route.next_hop) == (other.transport, other.next_hop)
