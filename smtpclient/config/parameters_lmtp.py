"""
The parameters of the LMTP client: for each of the SMTP client's there is one named ``lmtp_`` of the same sense.

The rows are derived, so that nothing can be added on one side and be missing on the other. Their defaults are those of
the other side, read with ``lmtp_`` names, but for the few in ``_DEFAULTS``. :data:`TWINS` tells which belong together;
with it :meth:`smtpclient.config.parameters.Parameters.as_lmtp` lets code that reads ``smtp_`` names serve both.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from smtpclient.config import (
    parameters_routing,
    parameters_sasl,
    parameters_smtp,
    parameters_tls,
    parameters_tls_library,
)
from smtpclient.config.kinds import Kind, Row, section

T = TypeVar("T")

TITLE = "LMTP client"

# There is no such question for LMTP: its greeting is LHLO, its servers are not found by MX.
_WITHOUT = frozenset({"smtp_always_send_ehlo", "smtp_never_send_ehlo", "smtp_mta_sts", "smtp_tls_reporting"})
_RENAMED = {
    "smtp_helo_name": "lmtp_lhlo_name",
    "smtp_helo_timeout": "lmtp_lhlo_timeout",
    "smtp_discard_ehlo_keywords": "lmtp_discard_lhlo_keywords",
    "smtp_discard_ehlo_keyword_address_maps": "lmtp_discard_lhlo_keyword_address_maps",
}
_DEFAULTS = {
    "smtp_connect_timeout": "0s",
    "smtp_tcp_port": "24",
    "smtp_skip_5xx_greeting": "yes",
    "smtp_skip_quit_response": "no",
    "smtp_mx_session_limit": "2",
    "smtp_mx_address_limit": "5",
    "smtp_fallback_relay": "",
    "smtp_tls_security_level": "",
}
_NAME = re.compile(r"smtp_[A-Za-z0-9_]+")

_ROWS = (
    *parameters_smtp.TIMEOUT_ROWS,
    *parameters_smtp.GREETING_ROWS,
    *parameters_smtp.DIALOGUE_ROWS,
    *parameters_smtp.CONTENT_ROWS,
    *parameters_smtp.REUSE_ROWS,
    *parameters_routing.ROUTING_ROWS,
    *parameters_routing.LOOKUP_ROWS,
    *parameters_routing.ADDRESS_ROWS,
    *parameters_sasl.SASL_ROWS,
    *parameters_tls.TLS_ROWS,
    *parameters_tls_library.TLS_LIBRARY_ROWS,
)


def _has_twin(row: Row) -> bool:
    return row.name.startswith("smtp_") and row.name not in _WITHOUT and not row.name.startswith("smtp_tls_report_")


#: The SMTP client's name of a parameter, and the LMTP client's.
TWINS: Mapping[str, str] = MappingProxyType(
    {row.name: _RENAMED.get(row.name, "l" + row.name[1:]) for row in _ROWS if _has_twin(row)}
)

#: What the LMTP client sees of parameters that have no twin: what asks for nothing.
NEUTRAL: Mapping[str, str | bool] = MappingProxyType({"smtp_mta_sts": "none", "smtp_tls_reporting": False})


def seen(table: Mapping[str, T]) -> dict[str, T]:
    """What the LMTP client sees of something that is kept by parameter: at each ``smtp_`` name, what its twin has."""
    others = {name: value for name, value in table.items() if name not in TWINS}
    return others | {smtp: table[lmtp] for smtp, lmtp in TWINS.items() if lmtp in table}


def _twin(text: str) -> str:
    """The text with the names of the twins."""
    return _NAME.sub(lambda found: TWINS.get(found[0], found[0]), text)


def _derived(row: Row) -> Row:
    default = _DEFAULTS.get(row.name, _twin(row.default))
    sentence = f"What {row.name} is for SMTP."
    return replace(row, name=TWINS[row.name], default=default, help=sentence, under=_twin(row.under))


LMTP_ROWS = section(
    TITLE,
    Row(
        "lmtp_assume_final",
        Kind.BOOLEAN,
        "no",
        "Take a server without DSN for the last one: reports say delivered, not relayed.",
    ),
    *(_derived(row) for row in _ROWS if row.name in TWINS),
)
