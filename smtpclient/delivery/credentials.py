"""
Which login belongs to a server: ``smtp_sasl_password_maps``.

Keys are asked in Postfix's order, and the first that a table knows decides:

1. the sender, where ``smtp_sender_dependent_authentication`` is on and it is not the null sender: the address, the
   address without its extension, ``@domain``;
2. the server's host name, as the list of exchangers has it; the address, where the next hop is one;
3. the next hop as it is written, brackets and port included.

An entry is ``name:password``; the name ends at the first colon. Where ``smtp_sasl_token_command`` is set, an entry
without a password stands for a login with a token. Who has no entry does not log in.

Promises: no password is in a ``repr()``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from smtpclient.config.parameters import Parameters
from smtpclient.config.tables import Tables
from smtpclient.mail import address


class NoToken(Exception):
    """There is no token where one is to be sent; the text says why, and holds nothing secret."""


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One login, as a table has it.

    :param password: empty: there is none.
    :param key: what was looked up to find it.
    """

    username: str
    password: str = field(repr=False)
    key: str = ""


@dataclass(frozen=True, slots=True)
class CredentialSettings:
    """
    What the parameters say of where logins are found.

    :param by_sender: the sender decides first.
    :param delimiter: ``recipient_delimiter``.
    """

    enabled: bool = False
    tables: Tables = field(default_factory=Tables)
    by_sender: bool = False
    delimiter: str = ""

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "CredentialSettings":
        """
        Take the settings from the parameters.

        :raises ValueError: when logging in is switched on and there is nothing to log in with.
        """
        enabled = parameters.boolean("smtp_sasl_auth_enable")
        tables = parameters.tables("smtp_sasl_password_maps")
        if enabled and not tables:
            raise ValueError("smtp_sasl_auth_enable = yes: specify a password table with smtp_sasl_password_maps")
        by_sender = parameters.boolean("smtp_sender_dependent_authentication")
        return cls(enabled, tables, by_sender, parameters.text("recipient_delimiter"))


class CredentialLookup:
    """Finds logins."""

    def __init__(self, settings: CredentialSettings) -> None:
        self._settings = settings

    def of_sender(self, sender: str) -> Entry | None:
        """
        The login that belongs to a sender, if such things are looked for.

        :param sender: internal form.
        """
        if not (self._settings.enabled and self._settings.by_sender and sender):
            return None
        return self._first(_sender_keys(sender, self._settings.delimiter))

    def find(self, sender: str, host: str, next_hop: str) -> Entry | None:
        """
        The login for a server.

        :param host: the server's name.
        :param next_hop: as it is written.
        """
        if not self._settings.enabled:
            return None
        return self.of_sender(sender) or self._first(iter([(host, False), (next_hop, False)]))

    def _first(self, keys: Iterator[tuple[str, bool]]) -> Entry | None:
        for key, partial in keys:
            found = self._settings.tables.lookup(key, partial=partial)
            if found is not None:
                username, _, password = found.partition(":")
                return Entry(username.strip(), password, key)
        return None


def _sender_keys(sender: str, delimiters: str) -> Iterator[tuple[str, bool]]:
    """What is asked for a sender, and whether it is only a part of it."""
    yield from ((form, False) for form in _forms(sender))
    local_part, domain = address.split(sender)
    end = min((at for delimiter in delimiters if (at := local_part.find(delimiter, 1)) > 0), default=0)
    if end:
        yield from ((form, True) for form in _forms(f"{local_part[:end]}@{domain}"))
    if domain:
        yield f"@{domain}", True


def _forms(mailbox: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((address.external(mailbox), mailbox)))
