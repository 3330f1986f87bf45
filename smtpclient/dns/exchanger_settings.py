"""
What the parameters say about finding servers, as one frozen value.

Names and meaning are Postfix's; ``smtp_dns_support_level``, where it is set, overrules ``disable_dns_lookups``.
"""

from dataclasses import dataclass

from smtpclient.config.parameters import Parameters

SMTP_PORT = 25
_FAMILIES = ("ipv4", "ipv6")


@dataclass(frozen=True, slots=True)
class ExchangerSettings:
    """
    How servers are found and put in order.

    :param families: the versions of IP that are used, in the order in which they are looked up.
    :param use_mx: look for mail exchangers; otherwise every domain is its own.
    :param host_lookups: how the addresses of a host are found: ``dns``, ``native`` (as this machine does, which
        knows /etc/hosts), or first the one and then the other.
    :param ignore_mx_lookup_error: after a failed MX lookup take the domain itself for its exchanger.
    :param defer_if_no_address: no exchanger has an address: defer the mail, do not return it.
    :param shuffle: equal preference, random order.
    :param address_preference: ``any``, ``ipv4`` or ``ipv6``.
    :param balance: a short list keeps room for both families.
    :param address_limit: how many addresses at most; 0: all.
    :param own_ports: the ports at which our own addresses mean that mail would come back. As with Postfix, that is
        the SMTP port alone: behind another port of this machine may well stand another mail system.
    """

    families: tuple[str, ...] = _FAMILIES
    use_mx: bool = True
    host_lookups: tuple[str, ...] = ("dns",)
    ignore_mx_lookup_error: bool = False
    defer_if_no_address: bool = False
    shuffle: bool = True
    address_preference: str = "any"
    balance: bool = True
    address_limit: int = 0
    own_ports: frozenset[int] = frozenset({SMTP_PORT})

    @classmethod
    def from_parameters(
        cls, parameters: Parameters, own_ports: frozenset[int] = frozenset({SMTP_PORT})
    ) -> "ExchangerSettings":
        """Take the settings from the parameters."""
        protocols = parameters.words("inet_protocols")
        level = parameters.text("smtp_dns_support_level")
        use_dns = level != "disabled" if level else not parameters.boolean("disable_dns_lookups")
        ways = parameters.words("smtp_host_lookup") if use_dns else ("native",)
        return cls(
            families=_FAMILIES if "all" in protocols else tuple(f for f in _FAMILIES if f in protocols),
            use_mx=use_dns,
            host_lookups=tuple(way for way in ("dns", "native") if way in ways),
            ignore_mx_lookup_error=parameters.boolean("ignore_mx_lookup_error"),
            defer_if_no_address=parameters.boolean("smtp_defer_if_no_mx_address_found"),
            shuffle=parameters.boolean("smtp_randomize_addresses"),
            address_preference=parameters.text("smtp_address_preference"),
            balance=parameters.boolean("smtp_balance_inet_protocols"),
            address_limit=parameters.integer("smtp_mx_address_limit"),
            own_ports=own_ports,
        )
