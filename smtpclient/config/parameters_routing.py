"""
The parameters of the way: which transport and next hop a recipient gets, which hosts and addresses serve it.

Part of the one table that ``smtpclient.config.parameters`` puts together. Names, defaults and meaning are Postfix's,
except for ``dns_servers`` and ``dns_timeout``, which are our own; each sentence is ours.
"""

from smtpclient.config.kinds import Kind, Row, section, server_address

_BOOLEAN, _INTEGER, _TIME, _STRING = Kind.BOOLEAN, Kind.INTEGER, Kind.TIME, Kind.STRING
_LIST, _PATTERNS, _TABLES = Kind.LIST, Kind.PATTERNS, Kind.TABLES

ROUTING_ROWS = section(
    "Routing",
    Row("transport_maps", _TABLES, "", "Tables from a recipient or domain to transport:nexthop."),
    Row("relayhost", _STRING, "", "The next hop for everything without a way of its own, when not empty."),
    Row(
        "mydestination",
        _PATTERNS,
        "",
        "Domains that are not sent elsewhere but to $local_transport; empty here, for all mail leaves.",
    ),
    Row("relay_domains", _PATTERNS, "", "Domains, with their subdomains, that take $relay_transport."),
    Row("default_transport", _STRING, "smtp", "The transport for every other domain."),
    Row("relay_transport", _STRING, "relay", "The transport for $relay_domains."),
    Row("local_transport", _STRING, "local:$myhostname", "The transport for $mydestination."),
    Row("fallback_relay", _LIST, "", "The older name of smtp_fallback_relay."),
    Row(
        "smtp_fallback_relay",
        _LIST,
        "$fallback_relay",
        "Hosts that get the mail of destinations that are not found or cannot be reached.",
    ),
    Row(
        "best_mx_transport",
        _STRING,
        "",
        "The transport for domains whose best mail exchanger is this machine.",
        honoured=False,
        only=("",),
    ),
    Row(
        "sender_dependent_relayhost_maps",
        _TABLES,
        "",
        "Tables from a sender to its relayhost.",
    ),
    Row(
        "sender_dependent_default_transport_maps",
        _TABLES,
        "",
        "Tables from a sender to its default transport.",
    ),
    Row(
        "empty_address_relayhost_maps_lookup_key",
        _STRING,
        "<>",
        "What stands for the null sender in sender_dependent_relayhost_maps.",
    ),
    Row(
        "empty_address_default_transport_maps_lookup_key",
        _STRING,
        "<>",
        "What stands for the null sender in sender_dependent_default_transport_maps.",
    ),
    Row(
        "recipient_delimiter",
        _STRING,
        "",
        "Characters that separate a user's name from an extension; tables are searched without the extension, too.",
    ),
    Row("default_filter_nexthop", _STRING, "", "The next hop of filters that have none.", honoured=False, only=("",)),
    Row("content_filter", _STRING, "", "A transport that all mail passes through first.", honoured=False, only=("",)),
)

LOOKUP_ROWS = section(
    "Name service",
    Row(
        "dns_servers",
        _LIST,
        "",
        "Name servers, each an address or address:port; when empty, those of /etc/resolv.conf.",
        check=server_address,
    ),
    Row("dns_timeout", _TIME, "5s", "How long one question to one name server may take."),
    Row("disable_dns_lookups", _BOOLEAN, "no", "Look up no mail exchangers, and hosts as the system does."),
    Row(
        "ignore_mx_lookup_error",
        _BOOLEAN,
        "no",
        "When the question for mail exchangers fails, try the domain's own addresses at once.",
    ),
    Row(
        "smtp_host_lookup",
        _LIST,
        "dns",
        "How host names are looked up: in the DNS, as the system does, or both.",
        choices=("dns", "native"),
    ),
    Row(
        "smtp_dns_support_level",
        _STRING,
        "",
        "How much of the DNS is used; when empty, $disable_dns_lookups decides.",
        choices=("", "disabled", "enabled", "dnssec"),
    ),
    Row(
        "smtp_defer_if_no_mx_address_found",
        _BOOLEAN,
        "no",
        "Defer when no mail exchanger has an address, in place of returning the mail.",
    ),
    Row(
        "smtp_dns_reply_filter", _TABLES, "", "Tables that change answers of name servers.", honoured=False, only=("",)
    ),
    Row(
        "smtp_dns_resolver_options",
        _LIST,
        "",
        "Ways of completing names that are not full.",
        honoured=False,
        only=("",),
    ),
    Row(
        "smtp_cname_overrides_servername",
        _BOOLEAN,
        "no",
        "Call a server by what its name is an alias of.",
        honoured=False,
        only=("no",),
    ),
    Row(
        "dns_ncache_ttl_fix_enable",
        _BOOLEAN,
        "no",
        "A remedy for negative answers that a system's library loses; nothing is lost here.",
        honoured=False,
        only=("no", "yes"),
    ),
    Row(
        "dnssec_probe",
        _STRING,
        "ns:.",
        "A question that shows whether the name server checks signatures.",
        honoured=False,
        only=("ns:.", ""),
    ),
)

ADDRESS_ROWS = section(
    "Addresses and interfaces",
    Row("inet_protocols", _LIST, "all", "The versions of IP that are used.", choices=("all", "ipv4", "ipv6")),
    Row(
        "inet_interfaces",
        _LIST,
        "all",
        "The addresses at which this machine takes mail: a mail exchanger with one of them ends the list, "
        "and a single one is where connections come from.",
    ),
    Row("proxy_interfaces", _LIST, "", "More addresses of this machine, such as those of a translating router."),
    Row(
        "smtp_address_preference",
        _STRING,
        "any",
        "Which version of IP comes first at equal preference.",
        choices=("any", "ipv4", "ipv6"),
    ),
    Row(
        "smtp_balance_inet_protocols",
        _BOOLEAN,
        "yes",
        "Keep room for both versions of IP when the list of addresses is cut short.",
    ),
    Row("smtp_randomize_addresses", _BOOLEAN, "yes", "Shuffle hosts of equal preference."),
    Row("smtp_mx_address_limit", _INTEGER, "0", "The most addresses tried in one delivery; 0 means all.", minimum=0),
    Row(
        "smtp_mx_session_limit",
        _INTEGER,
        "1",
        "The most sessions in one delivery that get past the greeting; 1 means that no error behind the greeting "
        "moves on to the next address, 0 means no limit.",
        minimum=0,
    ),
)
