"""
The parameters of TLS in the SMTP client.

Part of the one table that ``smtpclient.config.parameters`` puts together. What a list of versions or a grade of ciphers
says is not looked at here but in ``smtpclient.tls.settings``: one that cannot be read makes mail that needs it wait.
"""

import re

from smtpclient.config.kinds import Kind, Row, section

_BOOLEAN, _INTEGER, _TIME, _STRING = Kind.BOOLEAN, Kind.INTEGER, Kind.TIME, Kind.STRING
_LIST, _TABLES = Kind.LIST, Kind.TABLES
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9._-]+")
_LEVELS = ("", "none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure")


def _some_text(text: str) -> None:
    """
    Accept a name.

    :raises ValueError: when there is none.
    """
    if not text.strip():
        raise ValueError("expected a name")


def _plain_address(text: str) -> None:
    """
    Accept a mail address that can stand in a header as it is.

    :raises ValueError: when it is none.
    """
    if not _ADDRESS.fullmatch(text):
        raise ValueError("expected a mail address like postmaster@example.com")


_HOW: tuple[tuple[str, Kind, str, str], ...] = (
    ("smtp_starttls_timeout", _TIME, "300s", "For STARTTLS and the handshake."),
    ("smtp_tls_CAfile", _STRING, "", "The file with the authorities that are trusted."),
    ("smtp_tls_CApath", _STRING, "", "The directory with the authorities that are trusted."),
    ("smtp_tls_cert_file", _STRING, "", "The client's RSA certificate."),
    ("smtp_tls_chain_files", _LIST, "", "The client's keys and certificates."),
    ("smtp_tls_ciphers", _STRING, "medium", "The least grade of ciphers where TLS is optional."),
    ("smtp_tls_connection_reuse", _BOOLEAN, "no", "Reuse connections with TLS."),
    ("smtp_tls_dcert_file", _STRING, "", "The client's DSA certificate."),
    ("smtp_tls_dkey_file", _STRING, "$smtp_tls_dcert_file", "Its key."),
    ("smtp_tls_eccert_file", _STRING, "", "The client's ECDSA certificate."),
    ("smtp_tls_eckey_file", _STRING, "$smtp_tls_eccert_file", "Its key."),
    ("smtp_tls_enforce_peername", _BOOLEAN, "yes", "Whether smtp_enforce_tls looks at the server's name."),
    ("smtp_tls_exclude_ciphers", _LIST, "", "Ciphers that are never used."),
    ("smtp_tls_fingerprint_cert_match", _LIST, "", "The digests that the level fingerprint accepts."),
    (
        "smtp_tls_fingerprint_digest",
        _STRING,
        "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}",
        "How a fingerprint is computed.",
    ),
    ("smtp_tls_force_insecure_host_tlsa_lookup", _BOOLEAN, "no", "Look up TLSA records of hosts without DNSSEC."),
    ("smtp_tls_key_file", _STRING, "$smtp_tls_cert_file", "The RSA certificate's key."),
    ("smtp_tls_loglevel", _INTEGER, "0", "How much of TLS is logged."),
    ("smtp_tls_mandatory_ciphers", _STRING, "medium", "The least grade of ciphers where TLS is required."),
    ("smtp_tls_mandatory_exclude_ciphers", _LIST, "", "Ciphers that are not used where TLS is required."),
    ("smtp_tls_mandatory_protocols", _LIST, ">=TLSv1", "The versions where TLS is required."),
    ("smtp_tls_note_starttls_offer", _BOOLEAN, "no", "Log servers that offer STARTTLS when it is not used."),
    ("smtp_tls_protocols", _LIST, ">=TLSv1", "The versions where TLS is optional."),
    ("smtp_tls_scert_verifydepth", _INTEGER, "9", "The longest chain of certificates."),
    ("smtp_tls_secure_cert_match", _LIST, "nexthop, dot-nexthop", "The names that the level secure accepts."),
    ("smtp_tls_servername", _STRING, "", "The name that the handshake asks for."),
    (
        "smtp_tls_session_cache_database",
        _STRING,
        "",
        "Whether TLS sessions are resumed; any value keeps them in memory.",
    ),
    ("smtp_tls_session_cache_timeout", _TIME, "3600s", "How long sessions are kept."),
    ("smtp_tls_trust_anchor_file", _LIST, "", "Files with the only certificates that are trusted."),
    ("smtp_tls_verify_cert_match", _LIST, "hostname", "The names that the level verify accepts."),
)

# Ours: in Postfix programs beside it do this.
_DOMAINS_SAY = (
    Row(
        "smtp_mta_sts",
        _STRING,
        "none",
        "Whether MTA-STS policies of destinations are followed; testing only reports what would fail.",
        choices=("none", "testing", "enforce"),
    ),
    Row("smtp_tls_reporting", _BOOLEAN, "no", "Send domains that ask for them reports on how TLS with them works."),
    Row("smtp_tls_report_organization", _STRING, "$mydomain", "The name of who reports.", check=_some_text),
    Row("smtp_tls_report_contact", _STRING, "postmaster@$mydomain", "The author of reports.", check=_plain_address),
)

TLS_ROWS = section(
    "SMTP client: TLS",
    Row(
        "smtp_tls_security_level",
        _STRING,
        "may",
        "Whether and how strictly TLS is used.",
        choices=_LEVELS,
    ),
    Row("smtp_tls_policy_maps", _TABLES, "", "Tables from a next hop to its level and more."),
    Row(
        "smtp_tls_per_site",
        _TABLES,
        "",
        "The older form of smtp_tls_policy_maps; use that.",
        honoured=False,
        only=("",),
    ),
    Row("smtp_use_tls", _BOOLEAN, "no", "The older name of the level may."),
    Row("smtp_enforce_tls", _BOOLEAN, "no", "The older name of the levels encrypt and verify."),
    Row("smtp_tls_wrappermode", _BOOLEAN, "no", "Begin with TLS, without STARTTLS."),
    Row(
        "smtp_tls_block_early_mail_reply",
        _BOOLEAN,
        "no",
        "Look out for renegotiated sessions; there are none, so it makes no difference.",
        honoured=False,
        only=("no", "yes"),
    ),
    Row(
        "smtp_tls_dane_insecure_mx_policy",
        _STRING,
        "${{$smtp_tls_security_level} == {dane} ? {dane} : {may}}",
        "What DANE does with mail exchangers that were found without DNSSEC.",
        choices=("dane", "encrypt", "may"),
    ),
    *(Row(name, kind, default, sentence) for name, kind, default, sentence in _HOW),
    *_DOMAINS_SAY,
    Row("tls_append_default_CA", _BOOLEAN, "no", "Trust the system's authorities besides those of the files."),
)
