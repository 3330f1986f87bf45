"""
The parameters by which Postfix tunes its TLS library, as far as they concern a client: known, and not acted on.

Part of the one table that ``smtpclient.config.parameters`` puts together. Only Postfix's own default is accepted, and
what comes to the same here. Those that concern servers alone are in ``smtpclient.config.elsewhere``.
"""

from smtpclient.config.kinds import Kind, Row, section

_BOOLEAN, _STRING, _LIST = Kind.BOOLEAN, Kind.STRING, Kind.LIST

_LIBRARY: tuple[tuple[str, Kind, str, tuple[str, ...], str], ...] = (
    ("tls_config_file", _STRING, "default", ("none",), "The library's own configuration file."),
    ("tls_config_name", _STRING, "", (), "The section of that file."),
    ("tls_dane_digests", _LIST, "sha512 sha256", ("sha256 sha512",), "The digests of TLSA records, strongest first."),
    ("tls_disable_workarounds", _LIST, "", (), "Workarounds for others' faults that are left out."),
    (
        "tls_eecdh_auto_curves",
        _LIST,
        "X25519 X448 prime256v1 secp521r1 secp384r1",
        ("",),
        "The curves that are offered.",
    ),
    ("tls_export_cipherlist", _STRING, "aNULL:-aNULL:HIGH:MEDIUM:LOW:EXPORT:+RC4:@STRENGTH", (), "The grade export."),
    ("tls_low_cipherlist", _STRING, "aNULL:-aNULL:HIGH:MEDIUM:LOW:+RC4:@STRENGTH", (), "The grade low."),
    ("tls_medium_cipherlist", _STRING, "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH", (), "The grade medium."),
    ("tls_high_cipherlist", _STRING, "aNULL:-aNULL:HIGH:@STRENGTH", (), "The grade high."),
    ("tls_null_cipherlist", _STRING, "eNULL:!aNULL", (), "The grade null."),
    ("tls_fast_shutdown_enable", _BOOLEAN, "yes", (), "Whether a session ends without waiting for the other side."),
    ("tls_legacy_public_key_fingerprints", _BOOLEAN, "no", (), "Fingerprints of keys as an early Postfix took them."),
    (
        "tls_ssl_options",
        _LIST,
        "",
        ("no_compression", "no_renegotiation", "no_compression, no_renegotiation", "no_renegotiation, no_compression"),
        "The library's options; neither compression nor renegotiation is used in any case.",
    ),
    (
        "tls_wildcard_matches_multiple_labels",
        _BOOLEAN,
        "yes",
        ("no",),
        "How many labels a wildcard in a certificate stands for; it is one here in any case.",
    ),
)

TLS_LIBRARY_ROWS = section(
    "SMTP client: TLS library",
    *(
        Row(name, kind, default, sentence, honoured=False, only=(default, *more))
        for name, kind, default, more, sentence in _LIBRARY
    ),
)
