"""
The parameters of the SMTP client: time limits, greeting, dialogue, content, reuse of connections.

Part of the one table that ``smtpclient.config.parameters`` puts together. Names, defaults and meaning are Postfix's;
where an older default is kept (``smtp_skip_5xx_greeting``, ``smtp_pix_workarounds``), its sentence says so.
"""

from smtpclient.config.kinds import Kind, Row, address_or_nothing, count_or_nothing, one_word, section

_BOOLEAN, _INTEGER, _SIZE, _TIME = Kind.BOOLEAN, Kind.INTEGER, Kind.SIZE, Kind.TIME
_STRING, _LIST, _TABLES = Kind.STRING, Kind.LIST, Kind.TABLES

TIMEOUT_ROWS = section(
    "SMTP client: time limits",
    Row("smtp_connect_timeout", _TIME, "30s", "For a TCP connection; 0 leaves it to the system.", minimum=0),
    Row(
        "smtp_connect_stagger_time",
        _TIME,
        "0.25s",
        "How long an address may be neither open nor refused before another of the same preference is called beside "
        "it; 0 means that addresses are only called one after the other.",
        minimum=0,
    ),
    Row(
        "smtp_slow_address_time_limit",
        _TIME,
        "10m",
        "How long an address that was not open in time goes last among those of its preference; 0 means not at all.",
        minimum=0,
    ),
    Row("smtp_helo_timeout", _TIME, "300s", "For the greeting, and for EHLO or HELO and its reply.", minimum=1),
    Row(
        "smtp_xforward_timeout",
        _TIME,
        "300s",
        "For XFORWARD and its reply.",
        minimum=1,
    ),
    Row("smtp_mail_timeout", _TIME, "300s", "For MAIL FROM and its reply.", minimum=1),
    Row("smtp_rcpt_timeout", _TIME, "300s", "For each RCPT TO and its reply.", minimum=1),
    Row("smtp_data_init_timeout", _TIME, "120s", "For DATA and its reply.", minimum=1),
    Row("smtp_data_xfer_timeout", _TIME, "180s", "For a part of the content to be taken.", minimum=1),
    Row("smtp_data_done_timeout", _TIME, "600s", "For the final dot and its reply.", minimum=1),
    Row("smtp_rset_timeout", _TIME, "20s", "For RSET and its reply.", minimum=1),
    Row("smtp_quit_timeout", _TIME, "300s", "For QUIT and its reply.", minimum=1),
    Row(
        "smtp_per_record_deadline",
        _STRING,
        "",
        "The older name of smtp_per_request_deadline.",
        choices=("", "yes", "no"),
    ),
    Row(
        "smtp_per_request_deadline",
        _BOOLEAN,
        "${smtp_per_record_deadline?{$smtp_per_record_deadline}:{no}}",
        "Let a time limit count for a whole request and reply, not anew for every piece that arrives.",
    ),
    Row(
        "smtp_min_data_rate",
        _INTEGER,
        "500",
        "The bytes per second that a slow receiver must take while requests have a deadline.",
        minimum=1,
    ),
)

GREETING_ROWS = section(
    "SMTP client: connection and greeting",
    Row("smtp_tcp_port", Kind.PORT, "smtp", "The port that servers are called at when a next hop names none."),
    Row(
        "smtp_host_connection_limit",
        _STRING,
        "",
        "The most connections to one address at once, for all destinations together; 0 means no limit, and nothing "
        "means as many as the transport with the greatest destination_concurrency_limit may have to one destination.",
        check=count_or_nothing,
    ),
    Row("smtp_bind_address", _STRING, "", "The IPv4 address that connections come from.", check=address_or_nothing(4)),
    Row("smtp_bind_address6", _STRING, "", "The IPv6 address that connections come from.", check=address_or_nothing(6)),
    Row(
        "smtp_bind_address_enforce",
        _BOOLEAN,
        "no",
        "Defer when that address cannot be used; no connects from any other, with a warning.",
    ),
    Row("smtp_helo_name", _STRING, "$myhostname", "The name that EHLO and HELO give.", check=one_word),
    Row("smtp_always_send_ehlo", _BOOLEAN, "yes", "Send EHLO to servers that do not announce ESMTP too."),
    Row("smtp_never_send_ehlo", _BOOLEAN, "no", "Never send EHLO, only HELO."),
    Row(
        "smtp_skip_4xx_greeting",
        _BOOLEAN,
        "no",
        "Go on to the next address when a server greets with 4xx; no defers the mail.",
    ),
    Row(
        "smtp_skip_5xx_greeting",
        _BOOLEAN,
        "no",
        "Go on to the next address when a server greets with 5xx; no, the default here, returns the mail.",
    ),
    Row(
        "smtp_skip_quit_response",
        _BOOLEAN,
        "yes",
        "Do not wait for the reply to QUIT; yes is Postfix's default, no waits for $smtp_quit_timeout.",
    ),
    Row("tcp_windowsize", _INTEGER, "0", "The size of the TCP window.", honoured=False, only=("0",)),
)

DIALOGUE_ROWS = section(
    "SMTP client: dialogue",
    Row(
        "smtp_discard_ehlo_keywords",
        _LIST,
        "",
        "Extensions that are not used although a server offers them; silent-discard keeps it out of the log.",
    ),
    Row("smtp_discard_ehlo_keyword_address_maps", _TABLES, "", "The same by server address."),
    Row(
        "smtp_quote_rfc821_envelope",
        _BOOLEAN,
        "yes",
        "Quote local parts in MAIL FROM and RCPT TO where RFC 5321 asks for it.",
    ),
    Row(
        "smtp_use_bdat",
        _BOOLEAN,
        "no",
        "Send content with BDAT to servers that offer CHUNKING: one round trip fewer, and nothing to stuff.",
    ),
    Row(
        "smtp_pipeline_messages",
        _STRING,
        "distinct",
        "Begin the next message with the end of one, where the server has PIPELINING and no other session may be made: "
        "one round trip fewer. distinct: to servers whose yes to a message can be told from that to an envelope; "
        "yes: to all, which is for those that are known to answer in order.",
        choices=("no", "distinct", "yes"),
    ),
    Row(
        "smtp_send_xforward_command",
        _BOOLEAN,
        "no",
        "Tell a server that offers XFORWARD where the message came from.",
    ),
    Row(
        "smtp_reply_filter",
        _TABLES,
        "",
        "Tables that replace lines of replies before they are read.",
    ),
    Row(
        "default_delivery_status_filter",
        _TABLES,
        "",
        "Tables that replace the status of deliveries.",
    ),
    Row(
        "smtp_delivery_status_filter",
        _TABLES,
        "$default_delivery_status_filter",
        "The same for deliveries of the SMTP client.",
    ),
    Row(
        "smtp_address_verify_target",
        _STRING,
        "rcpt",
        "At which command a probe of an address ends.",
        choices=("rcpt", "data"),
        honoured=False,
        only=("rcpt",),
    ),
    Row(
        "smtputf8_enable",
        _BOOLEAN,
        "yes",
        "Whether addresses and headers may hold other than ASCII characters.",
        honoured=False,
        only=("yes",),
    ),
    Row(
        "enable_idna2003_compatibility",
        _BOOLEAN,
        "no",
        "Turn names to ASCII by the older rules.",
        honoured=False,
        only=("no",),
    ),
)

CONTENT_ROWS = section(
    "SMTP client: content",
    Row("smtp_line_length_limit", _SIZE, "998", "Longer lines are broken on the way out; 0 means no limit.", minimum=0),
    Row(
        "disable_mime_output_conversion",
        _BOOLEAN,
        "no",
        "Send 8-bit content as it is to servers without 8BITMIME; no turns it to quoted-printable.",
    ),
    Row(
        "smtp_pix_workarounds",
        _LIST,
        "",
        "What is done about a firewall that spoils the dialogue; none by default here.",
        choices=("disable_esmtp", "delay_dotcrlf"),
    ),
    Row("smtp_pix_workaround_maps", _TABLES, "", "The same by server address."),
    Row(
        "smtp_pix_workaround_threshold_time",
        _TIME,
        "500s",
        "How long a message has been in the queue when delay_dotcrlf begins.",
        minimum=0,
    ),
    Row(
        "smtp_pix_workaround_delay_time", _TIME, "10s", "How long delay_dotcrlf waits before the final dot.", minimum=1
    ),
    Row("smtp_generic_maps", _TABLES, "", "Tables that replace addresses on the way out, in envelope and header."),
    Row(
        "propagate_unmatched_extensions",
        _LIST,
        "canonical, virtual",
        "The kinds of table whose answers get the extension of the address; only generic means something here.",
        choices=("canonical", "virtual", "alias", "forward", "include", "generic"),
    ),
    Row("smtp_header_checks", _TABLES, "", "Tables of what is done with header fields on the way out."),
    Row("smtp_mime_header_checks", _TABLES, "", "The same for fields that describe a body, wherever they stand."),
    Row("smtp_nested_header_checks", _TABLES, "", "The same for the headers of attached messages."),
    Row("smtp_body_checks", _TABLES, "", "The same for lines of bodies."),
)

REUSE_ROWS = section(
    "SMTP client: reuse of connections",
    Row(
        "smtp_connection_cache_on_demand",
        _BOOLEAN,
        "yes",
        "Keep connections open while more mail for the destination waits.",
    ),
    Row(
        "smtp_connection_cache_destinations",
        Kind.PATTERNS,
        "",
        "Destinations and relays whose connections are always kept open.",
    ),
    Row("smtp_connection_cache_time_limit", _TIME, "2s", "How long an idle connection is kept.", minimum=1),
    Row(
        "smtp_connection_reuse_count_limit",
        _INTEGER,
        "0",
        "How many messages go over one connection; 0 means no limit.",
        minimum=0,
    ),
    Row("smtp_connection_reuse_time_limit", _TIME, "300s", "How long one connection is used.", minimum=1),
)
