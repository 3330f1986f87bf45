"""
From a recipient to its transport and next hop: ``transport_maps``, ``relayhost``, ``default_transport`` and their kin.

1. The class of the recipient's domain gives a transport: ``local_transport`` for ``mydestination``,
   ``relay_transport`` for ``relay_domains``, for all others ``default_transport`` or what
   ``sender_dependent_default_transport_maps`` says of the sender.
2. The next hop is the sender's ``sender_dependent_relayhost_maps`` entry, or ``relayhost``, or the recipient's domain;
   the first two not for ``mydestination``. ``transport:nexthop`` in a parameter of step 1 wins over these.
3. ``transport_maps`` overrides both. Asked in turn: ``user+extension@domain``, ``user@domain``, ``domain``,
   ``.parent.domain``, each with one label less, and ``*``. ``transport:`` leads to the recipient's domain,
   ``:nexthop`` changes the next hop only, ``:`` changes nothing.

Promises: every recipient has a route; where none can be had (a table fails, the transport is unknown, the domain is
for this machine and nothing here takes it) it is ``retry`` with a text that says what to do, never a bounce. A domain
that is no domain bounces with ``5.1.3``. Next hops that lead to the same place are spelled in the same way: lower case.

Where the sender has no say, and no entry of ``transport_maps`` names the recipient itself, the route of a domain is
remembered until a table changes: most mail goes where other mail has gone. Where no entry names any recipient, nothing
else is asked for it.

Does not: look into the DNS, check that a next hop makes sense (``smtpclient.delivery.destination``), rewrite
addresses; ``user%domain`` and ``domain!user`` are names of users.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

from smtpclient.config.parameters import Parameters
from smtpclient.config.tables import Tables
from smtpclient.dns.name import to_address, to_ascii
from smtpclient.mail import address
from smtpclient.observe.maillog import MailLog

TRANSPORTS = frozenset({"smtp", "relay", "lmtp", "error", "retry", "discard"})

_WITH_TEXT = ("error", "retry")  # their next hop is a sentence
_BY_HOST = ("smtp", "relay")  # their next hop is a host, whose case means nothing
_DOMAIN = "the recipient's domain"
_MOST_DOMAINS = 10_000  # whose routes are remembered
_MOST_WARNINGS = 1000  # a table of patterns can make up names without end


@dataclass(frozen=True, slots=True)
class Route:
    """
    Where a recipient's mail goes.

    :param transport: one of ``TRANSPORTS``.
    :param next_hop: what that transport takes: a destination, or for ``error`` and ``retry`` a status and a sentence.
    :param transport_from: which parameter says so; with the key, where it is a table.
    :param next_hop_from: the same for the next hop.
    """

    transport: str
    next_hop: str
    transport_from: str = field(default="", compare=False)
    next_hop_from: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """
    What the parameters of the same names say.

    :param origin: ``myorigin``.
    :param null_sender_keys: what stands for the null sender in ``sender_relayhosts`` and in ``sender_transports``.
    """

    origin: str
    local_domains: tuple[str, ...] = ()
    relay_domains: tuple[str, ...] = ()
    default_transport: str = "smtp"
    relay_transport: str = "relay"
    local_transport: str = "local"
    relayhost: str = ""
    delimiter: str = ""
    transport_maps: Tables = Tables()
    sender_relayhosts: Tables = Tables()
    sender_transports: Tables = Tables()
    null_sender_keys: tuple[str, str] = ("<>", "<>")

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "RoutingSettings":
        """Take the settings from the parameters."""
        return cls(
            origin=parameters.text("myorigin"),
            local_domains=parameters.words("mydestination"),
            relay_domains=parameters.words("relay_domains"),
            default_transport=parameters.text("default_transport"),
            relay_transport=parameters.text("relay_transport"),
            local_transport=parameters.text("local_transport"),
            relayhost=parameters.text("relayhost"),
            delimiter=parameters.text("recipient_delimiter"),
            transport_maps=parameters.tables("transport_maps"),
            sender_relayhosts=parameters.tables("sender_dependent_relayhost_maps"),
            sender_transports=parameters.tables("sender_dependent_default_transport_maps"),
            null_sender_keys=(
                parameters.text("empty_address_relayhost_maps_lookup_key"),
                parameters.text("empty_address_default_transport_maps_lookup_key"),
            ),
        )


class Routing:
    """
    Finds routes.

    :param warn: takes a sentence for the operator.
    :param is_own: whether an IP address is one of this machine; mail for ``user@[address]`` is then for this machine.
    """

    def __init__(
        self,
        settings: RoutingSettings,
        warn: Callable[[str], None],
        is_own: Callable[[str], bool] = lambda address: False,
    ) -> None:
        self._settings = settings
        self._warn = warn
        self._is_own = is_own
        self._warned: set[str] = set()
        self._sender_matters = bool(settings.sender_relayhosts or settings.sender_transports)
        self._remembered: dict[str, Route] = {}  # of recipients that have no entry of their own
        self._begin_to_remember()

    @classmethod
    def from_parameters(cls, parameters: Parameters, maillog: MailLog) -> "Routing":
        """What the parameters ask for; the operator is told in the mail log."""
        return cls(RoutingSettings.from_parameters(parameters), lambda sentence: maillog.warning("qmgr", sentence))

    def route(self, recipient: str, sender: str) -> Route:
        """
        The transport and next hop of one recipient.

        :param recipient: internal form.
        :param sender: internal form; empty is the null sender.
        """
        try:
            _, at, domain = recipient.rpartition("@")
            if at and self._only_domain_matters:
                known = self._remembered.get(domain)
                if known is not None and (not self._has_maps or self._maps.current() == self._changes):
                    return known
            return self._route_or_remember(recipient, sender)
        except Exception as error:
            # Whatever a table is made of, its failing must cost a delay and no mail.
            self._warn_once(f"transport_maps or another table by which mail is routed: lookup failure: {error}")
            return Route("retry", "4.3.0 address resolver failure")

    def _route_or_remember(self, recipient: str, sender: str) -> Route:
        if not recipient:
            return Route("error", "5.1.3 null recipient address")
        local_part, domain = address.split(recipient)
        domain = _without_dot(domain) or self._settings.origin
        mailbox = f"{local_part}@{domain}"
        if self._sender_matters or domain.startswith("["):  # and which addresses are ours may change
            return self._route(mailbox, domain, sender)
        if self._has_maps and self._address_entry(self._maps, mailbox) is not None:
            return self._route(mailbox, domain, sender)
        if self._maps.changes != self._changes or len(self._remembered) > _MOST_DOMAINS:
            self._begin_to_remember()
        route = self._remembered.get(domain)
        if route is None:
            route = self._remembered[domain] = self._route(mailbox, domain, sender)
        return route

    def _begin_to_remember(self) -> None:
        """Forget what was remembered, and look at what the tables are like now."""
        self._maps = self._settings.transport_maps
        self._has_maps = bool(self._maps)
        self._changes = self._maps.changes
        self._only_domain_matters = not self._sender_matters and not self._maps.know_addresses
        self._remembered.clear()

    def _route(self, recipient: str, domain: str, sender: str) -> Route:
        if not _is_domain(domain):
            return Route("error", "5.1.3 bad address syntax")
        domain = domain.lower()
        is_local = self._is_local(domain)
        transport, why = self._transport(domain, sender, is_local=is_local)
        next_hop, whence = (domain, _DOMAIN) if is_local else self._next_hop(domain, sender)
        transport, _, explicit = transport.partition(":")
        route = Route(transport, explicit or next_hop, why, why if explicit else whence)
        route = self._override(route, recipient, domain)
        if route.transport in TRANSPORTS:
            lower = route.next_hop.lower()
            return replace(route, next_hop=lower) if lower != route.next_hop and route.transport in _BY_HOST else route
        if is_local and route.transport == transport:
            remedy = f"set local_transport or take {domain} out of mydestination"
            return Route("retry", f"4.3.5 mail for {domain} is for this machine; {remedy}")
        self._warn_once(
            f"mail transport {route.transport!r}: unknown; mail for it waits. Known: {', '.join(sorted(TRANSPORTS))}"
        )
        return Route("retry", "4.3.0 mail transport unavailable")

    def _transport(self, domain: str, sender: str, *, is_local: bool) -> tuple[str, str]:
        """Transport by the class of the domain, and which parameter says so."""
        settings = self._settings
        if is_local:
            return settings.local_transport, "local_transport"
        if _matches(settings.relay_domains, domain, parents=True):
            return settings.relay_transport, "relay_transport"
        entry = self._sender_entry(settings.sender_transports, sender, 1)
        if entry:
            return entry, "sender_dependent_default_transport_maps"
        return settings.default_transport, "default_transport"

    def _next_hop(self, domain: str, sender: str) -> tuple[str, str]:
        """Next hop where no transport names one, and which parameter says so."""
        entry = self._sender_entry(self._settings.sender_relayhosts, sender, 0)
        if entry:
            return entry, "sender_dependent_relayhost_maps"
        if self._settings.relayhost:
            return self._settings.relayhost, "relayhost"
        return domain, _DOMAIN

    def _override(self, route: Route, recipient: str, domain: str) -> Route:
        """What ``transport_maps`` makes of a route."""
        key, entry = self._transport_entry(recipient, domain)
        if entry is None:
            return route
        source = f"transport_maps: {key}"
        transport, _, next_hop = entry.partition(":")
        if not transport:
            return replace(route, next_hop=next_hop, next_hop_from=source) if next_hop else route
        if next_hop:
            return Route(transport, next_hop, source, source)
        if transport in _WITH_TEXT:
            return Route(transport, "Address is undeliverable", source, source)
        return Route(transport, domain, source, _DOMAIN)

    def _transport_entry(self, recipient: str, domain: str) -> tuple[str, str | None]:
        """The key that was found, and what ``transport_maps`` says of it."""
        tables = self._settings.transport_maps
        if not tables:
            return "", None
        entry = self._address_entry(tables, recipient)
        if entry is not None:
            return recipient, entry
        for key in (domain, *_parents(domain), "*"):
            entry = tables.lookup(key, partial=True)
            if entry is not None:
                return key, entry
        return "", None

    def _address_entry(self, tables: Tables, mailbox: str) -> str | None:
        """The entry of an address, and else that of the address without its extension."""
        # Asked for every recipient, and nearly always in vain: plain loops.
        for form in _forms(mailbox):
            entry = tables.lookup(form)
            if entry is not None:
                return entry
        bare = self._without_extension(mailbox)
        if bare != mailbox:
            for form in _forms(bare):
                entry = tables.lookup(form, partial=True)
                if entry is not None:
                    return entry
        return None

    def _sender_entry(self, tables: Tables, sender: str, which: int) -> str:
        """What a table by sender says, or nothing: ``user+extension@domain``, ``user@domain``, ``@domain``."""
        if not tables:
            return ""
        if not sender:
            entry = tables.lookup(self._settings.null_sender_keys[which])
        else:
            entry = self._address_entry(tables, sender)
            if entry is None:
                entry = next((e for key in self._by_domain(sender) if (e := tables.lookup(key, partial=True))), None)
        return "" if entry is None or entry.upper() == "DUNNO" else entry

    def _by_domain(self, sender: str) -> Iterator[str]:
        """The keys of a sender without its domain, where that is ours, and of its domain."""
        domain = address.domain_of(sender)
        if domain == self._settings.origin.lower() or self._is_local(domain):
            yield address.split(sender)[0]
            yield address.split(self._without_extension(sender))[0]
        yield "@" + domain

    def _without_extension(self, mailbox: str) -> str:
        if not self._settings.delimiter:
            return mailbox
        local_part, domain = address.split(mailbox)
        at = min((local_part.find(d, 1) for d in self._settings.delimiter if d in local_part[1:]), default=-1)
        return f"{local_part[:at]}@{domain}" if at > 0 else mailbox

    def _is_local(self, domain: str) -> bool:
        if domain.startswith("["):
            return self._is_own(_literal(domain))
        return _matches(self._settings.local_domains, domain)

    def _warn_once(self, sentence: str) -> None:
        if sentence not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(sentence)
            self._warn(sentence)


def _without_dot(domain: str) -> str:
    """A domain without its trailing dot; what ends in two is left alone, for it is an error."""
    return domain[:-1] if domain.endswith(".") and not domain.endswith("..") else domain


def _is_domain(domain: str) -> bool:
    if domain.startswith("["):
        return bool(_literal(domain))
    try:
        return bool(to_ascii(domain))
    except ValueError:
        return False


def _literal(domain: str) -> str:
    """The address in a domain literal (RFC 5321 section 4.1.3), or nothing when there is none."""
    if not domain.endswith("]"):
        return ""
    inside = domain[1:-1]
    if inside.lower().startswith("ipv6:"):
        found = to_address(inside[5:])
        return found if ":" in found else ""
    return to_address(inside) if ":" not in inside else ""


def _parents(domain: str) -> Iterator[str]:
    """The parents of a domain, each with the dot in front that stands for everything below it."""
    while not domain.startswith("[") and "." in domain:
        domain = domain.partition(".")[2]
        yield "." + domain


def _matches(patterns: Collection[str], domain: str, *, parents: bool = False) -> bool:
    """
    Whether a list names a domain; the first pattern that fits decides, and ``!`` before it means no.

    :param parents: a pattern fits the domains below it, too.
    """
    for pattern in patterns:
        name = pattern.lstrip("!").lower()
        if domain == name or (parents and domain.endswith("." + name)):
            return not pattern.startswith("!")
    return False


def _forms(mailbox: str) -> tuple[str, ...]:
    """An address as it is written, with quotes where it needs them, and then without."""
    quoted = address.external(mailbox)
    return (mailbox,) if quoted == mailbox else (quoted, mailbox)
