"""
Other addresses on the way out: ``smtp_generic_maps``, as Postfix's generic(5).

:class:`GenericMaps` finds for an address the one that the next system shall see in its place: in MAIL and RCPT, and in
the header of the message. Bounces, the log and the queue know nothing of it.

Asked in turn, in all tables, until one answers:

====================  ==========================================================================================
``user+ext@domain``   the whole address; regular expressions see only this
``user@domain``       without the extension, if ``recipient_delimiter`` says that ``+`` begins one
``user+ext, user``    if the domain is ``myorigin`` or in ``mydestination``
``@domain``           the domain
====================  ==========================================================================================

Local parts that need quotes are looked up with them first, then without. An answer ``@other.domain`` changes the domain
only; one without domain gets ``@myorigin``. The extension is added again where ``propagate_unmatched_extensions`` names
``generic``.

Promises: what is replaced is not replaced again; the null sender stays what it is.

Does not: rewrite ``user%domain`` or ``site!user`` in answers, or add ``.mydomain``.
"""

from collections.abc import Callable, Iterator

from smtpclient.config.tables import Tables
from smtpclient.mail import address
from smtpclient.smtp import address_list

#: Fields of a message's own header that hold addresses, in lower case.
ADDRESS_FIELDS = frozenset(
    {b"apparently-to", b"bcc", b"cc", b"disposition-notification-to", b"errors-to", b"from", b"mail-followup-to"}
    | {b"reply-to", b"return-path", b"return-receipt-to", b"sender", b"to"}
    | {b"resent-bcc", b"resent-cc", b"resent-from", b"resent-reply-to", b"resent-sender", b"resent-to"}
)

_LINE = 70  # bytes that a line of a rewritten field may hold before an address goes on the next one
_NEVER_EXTENDED = ("postmaster", "mailer-daemon", "double-bounce")


class NoAddress(Exception):
    """A table answers with what is no address; the text is for the operator."""


class GenericMaps:
    """
    Replaces addresses.

    :param tables: ``smtp_generic_maps``.
    :param origin: ``myorigin``.
    :param is_local: whether a domain, in lower case, is one whose users are looked up without it.
    :param delimiters: the characters that may begin an extension (``recipient_delimiter``).
    :param propagate: add an extension that was not looked up to what replaces the address.
    """

    def __init__(
        self,
        tables: Tables,
        origin: str,
        is_local: Callable[[str], bool],
        delimiters: str = "",
        *,
        propagate: bool = False,
    ) -> None:
        self._tables = tables
        self._origin = origin
        self._is_local = is_local
        self._delimiters = delimiters
        self._propagate = propagate

    def replacement(self, internal: str) -> str | None:
        """
        What stands for an address, in internal form; None: itself.

        :raises NoAddress: when a table answers with something else.
        """
        if not internal:
            return None
        for key, extension, partial in self._keys(internal):
            answer = self._lookup(key, partial=partial)
            if answer is not None:
                return self._made_of(answer, internal, extension)
        return None

    def envelope_address(self, internal: str) -> str:
        """
        An address as MAIL or RCPT shall name it.

        :raises NoAddress: see :meth:`replacement`.
        """
        replacement = self.replacement(internal)
        return internal if replacement is None else replacement

    def field(self, text: bytes) -> bytes:
        """
        A header field, folded anew where an address in it was replaced.

        :param text: name, colon and value.
        :raises NoAddress: see :meth:`replacement`.
        """
        name, _, value = text.partition(b":")
        written = address_list.rewritten(value, self.replacement)
        if written is None:
            return text
        lines = [name + b": " + written[0]]
        for one in written[1:]:
            # The tab of a continuation does not count.
            if len(lines[-1]) + 1 + len(one) < _LINE:
                lines[-1] += b" " + one
            else:
                lines.append(one)
        return b"\n\t".join(lines)

    def _keys(self, internal: str) -> Iterator[tuple[str, str, bool]]:
        """Each key with the extension that it lacks, and whether it is only a part of the address."""
        local, domain = address.split(internal)
        user, extension = self._without_extension(local)
        yield internal, "", False
        if extension:
            yield f"{user}@{domain}" if domain else user, extension, True
        if not domain:
            return
        if domain.lower() == self._origin.lower() or self._is_local(domain.lower()):
            yield local, "", True
            if extension:
                yield user, extension, True
        yield "@" + domain, "", True

    def _lookup(self, key: str, *, partial: bool) -> str | None:
        if key.startswith("@"):
            return self._tables.lookup(key, partial=partial)
        quoted = address.external(key)
        found = self._tables.lookup(quoted, partial=partial)
        if found is None and quoted != key:
            found = self._tables.lookup(key, partial=partial)
        return found

    def _made_of(self, answer: str, internal: str, extension: str) -> str:
        local, domain = address.split(internal)
        if answer.startswith("@"):
            return local.removesuffix(extension) + (extension if self._propagate else "") + answer
        if answer == "<>":
            return ""
        found = address_list.addresses(address.to_bytes(answer))
        if not found:
            raise NoAddress(f'smtp_generic_maps: lookup of {internal} returns non-address result "{answer}"')
        local, domain = address.split(found[0])
        return f"{local}{extension if self._propagate else ''}@{domain or self._origin}"

    def _without_extension(self, local: str) -> tuple[str, str]:
        """A local part cut where its extension begins; nobody can be somebody's extension only."""
        if local.lower() in _NEVER_EXTENDED:
            return local, ""
        if "-" in self._delimiters and (local.lower().startswith("owner-") or local.lower().endswith("-request")):
            return local, ""
        at = min((at for sign in self._delimiters if (at := local.find(sign)) >= 0), default=0)
        return (local[:at], local[at:]) if at > 0 else (local, "")
