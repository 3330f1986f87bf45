"""
The parameters of logging in to servers (``smtp_sasl_``).

Part of the one table that ``smtpclient.config.parameters`` puts together.
"""

from smtpclient.config.kinds import Kind, Row, section

_BOOLEAN, _TIME, _STRING, _LIST, _TABLES = Kind.BOOLEAN, Kind.TIME, Kind.STRING, Kind.LIST, Kind.TABLES
_OPTIONS = ("noplaintext", "noactive", "nodictionary", "noanonymous", "mutual_auth")


def _mechanism(word: str) -> None:
    """
    Accept a mechanism's name, ``!name``, or what stands for the rest.

    :raises ValueError: otherwise.
    """
    if ("/" in word or ":" in word) and word.lower() not in ("static:rest", "static:all"):
        raise ValueError(f"{word}: expected names of mechanisms, !name, or static:rest; files are not taken here")


SASL_ROWS = section(
    "SMTP client: authentication",
    Row("smtp_sasl_auth_enable", _BOOLEAN, "no", "Log in to servers that offer it and that there is a password for."),
    Row(
        "smtp_sasl_password_maps",
        _TABLES,
        "",
        "Tables from a server's host name, a next hop or a sender to name:password.",
        secret=True,
    ),
    Row(
        "smtp_sender_dependent_authentication",
        _BOOLEAN,
        "no",
        "Look in smtp_sasl_password_maps for the sender first, and keep connections of different logins apart.",
    ),
    Row(
        "smtp_sasl_security_options",
        _LIST,
        "noplaintext, noanonymous",
        "What a mechanism must be; noplaintext excludes PLAIN, LOGIN and tokens.",
        choices=_OPTIONS,
    ),
    Row(
        "smtp_sasl_tls_security_options",
        _LIST,
        "$smtp_sasl_security_options",
        "The same in a session with TLS.",
        choices=_OPTIONS,
    ),
    Row(
        "smtp_sasl_tls_verified_security_options",
        _LIST,
        "$smtp_sasl_tls_security_options",
        "The same in a session with TLS whose server was verified.",
        choices=_OPTIONS,
    ),
    Row(
        "smtp_sasl_mechanism_filter",
        _LIST,
        "",
        "The only mechanisms that are used; !name excludes one, static:rest stands for all others.",
        check=_mechanism,
    ),
    Row("smtp_sasl_auth_soft_bounce", _BOOLEAN, "yes", "Defer mail when a server refuses a login for good."),
    Row("smtp_send_dummy_mail_auth", _BOOLEAN, "no", "After a login say AUTH=<> with MAIL FROM."),
    Row(
        "smtp_sasl_token_command",
        _STRING,
        "",
        "The program that prints the access token of a login whose table entry has no password.",
    ),
    Row(
        "smtp_sasl_token_lifetime",
        _TIME,
        "300s",
        "How long a token is used whose program does not say when it expires.",
        minimum=0,
    ),
    Row("smtp_sasl_token_timeout", _TIME, "30s", "How long that program may take.", minimum=1),
    Row(
        "send_cyrus_sasl_authzid",
        _BOOLEAN,
        "no",
        "Log in with an authorization identity besides the name.",
        honoured=False,
        only=("no",),
    ),
    Row(
        "smtp_sasl_auth_cache_name",
        _STRING,
        "",
        "The table that remembers failed logins.",
        honoured=False,
        only=("",),
    ),
    Row(
        "smtp_sasl_auth_cache_time",
        _TIME,
        "90d",
        "How long a failed login is remembered.",
        honoured=False,
        under="smtp_sasl_auth_cache_name",
    ),
    Row("smtp_sasl_path", _STRING, "", "What the implementation is told.", honoured=False, only=("",)),
    Row(
        "smtp_sasl_type",
        _STRING,
        "cyrus",
        "The implementation; there is one, built in.",
        honoured=False,
        only=("cyrus",),
    ),
)
