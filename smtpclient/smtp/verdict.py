"""
Verdicts: what a reply or a failure, at a stage of the dialogue, means for mail. All of it stands here.

The dialogue reports what happened; the functions of this module say what that is: sent, deferred or bounced, with
which enhanced status code (RFC 3463), in which words. The words are Postfix's, for people and programs know them.

The rules in one table:

=============================  ===========  ============  ==================================================
what happened                  disposition  status        words
=============================  ===========  ============  ==================================================
2xx to the final dot           sent         the reply's   the reply
4xx                            deferred     the reply's   ``host H[A] said: REPLY (in reply to STAGE)``
5xx                            bounced      the reply's   the same
2xx where it means nothing     bounced      5.5.0         ``Protocol error: host H[A] said: ...``
1xx, 3xx, 0xx, 6xx and above   bounced      5.5.0         ``host H[A] said: ...``
greeting, EHLO, HELO refused   as above     as above      ``host H[A] refused to talk to me: REPLY``
AUTH refused: 4xx              deferred     the reply's   ``SASL authentication failed; server H[A] said: REPLY``
AUTH refused: 5xx              deferred     4 for its 5   the same; ``smtp_sasl_auth_soft_bounce = no``: bounced
no login possible              deferred     4.7.0         ``SASL authentication failed; cannot authenticate to ...``
connection lost                deferred     4.4.2         ``lost connection with H[A] while ...``
time-out                       deferred     4.4.2         ``conversation with H[A] timed out while ...``
reply without end              deferred     4.5.0         ``host H[A] sent a reply without end while ...``
2xx, 3xx before the dot        deferred     4.5.0         ``Protocol error: host H[A] said: ... (before ...)``
no connection                  deferred     4.4.1         ``connect to H[A]:P: Connection refused``
our end has not its address    deferred     4.4.0         ``server configuration error``
no local resource for one      deferred     4.3.0         ``local resource shortage: Too many open files``
STARTTLS required, not offered deferred     4.7.4         ``TLS is required, but was not offered by host H[A]``
STARTTLS required, refused     as above     as above      ``TLS is required, but host H[A] refused to start TLS: ...``
TLS cannot be begun by us      deferred     4.7.5         ``TLS is required, but our TLS engine is unavailable``
TLS handshake fails            deferred     4.7.5         ``Cannot start TLS: handshake failure``
server is not the right one    deferred     4.7.5         ``Server certificate not verified``
TLS policy cannot be met       deferred     4.7.5         ``client TLS configuration problem`` and others
message over the SIZE limit    bounced      5.3.4         ``message size N exceeds size limit M of server ...``
SMTPUTF8 missing               bounced      5.6.7         ``SMTPUTF8 is required, but was not offered by ...``
content cannot be read         deferred     4.3.0         ``local data error while talking to ...``
multiparts nested too deeply   bounced      5.6.0         ``MIME nesting exceeds safety limit``
smtp_generic_maps is wrong     deferred     4.3.5         ``smtp_generic_maps: lookup of A returns non-address ...``
address that is no argument    bounced      5.1.3         ``bad address syntax: <...> cannot be put in ...``
the best server is ourselves   bounced      5.4.6         ``mail for NEXTHOP loops back to myself``
a worse server is ourselves    deferred     4.4.6         the same
=============================  ===========  ============  ==================================================

A connection that ends between the final dot and its reply leaves doubt: the words end in
``message may be sent more than once``, and ``Verdict.in_doubt`` is true.
"""

import enum
from functools import lru_cache
from typing import NamedTuple

from smtpclient.mail.outcome import Disposition, Peer
from smtpclient.smtp.channel import ProtocolBroken, SessionOver, TimedOut
from smtpclient.smtp.reply import Reply


class Stage(enum.Enum):
    """
    A part of the dialogue: the command's name in ``(in reply to ...)``, and the words for what we were doing.
    """

    GREETING = ("", "receiving the initial server greeting")
    EHLO = ("EHLO command", "performing the EHLO handshake")
    HELO = ("HELO command", "performing the HELO handshake")
    LHLO = ("LHLO command", "performing the LHLO handshake")
    STARTTLS = ("STARTTLS command", "performing the STARTTLS handshake")
    MAIL = ("MAIL FROM command", "sending MAIL FROM")
    RCPT = ("RCPT TO command", "sending RCPT TO")
    DATA = ("DATA command", "sending DATA command")
    BDAT = ("BDAT command", "sending message body")
    CONTENT = ("end of DATA command", "sending message body")
    DOT = ("end of DATA command", "sending end of data -- message may be sent more than once")
    RSET = ("RSET command", "sending final RSET")
    QUIT = ("QUIT command", "sending QUIT command")

    def __init__(self, command: str, doing: str) -> None:
        self.command = command
        self.doing = doing


class Verdict(NamedTuple):
    """
    What one event means for the recipients it concerns.

    :param site: the server as a whole is of no use now: other recipients will fare no better there.
    :param protocol_error: the postmaster may want to see the session (``notify_classes = protocol``).
    :param shortage: this machine lacks something (``notify_classes = resource``).
    """

    disposition: Disposition
    status: str
    reason: str
    reply: str = ""
    stage: str = ""
    in_doubt: bool = False
    site: bool = False
    protocol_error: bool = False
    shortage: bool = False

    @property
    def error_class(self) -> str:
        """The class of ``notify_classes`` that this is in, or nothing; X.7.Y is policy (RFC 3463 section 3.8)."""
        if self.protocol_error:
            return "protocol"
        if self.shortage:
            return "resource"
        return "policy" if self.status[1:4] == ".7." else ""


def is_protocol_error(code: int) -> bool:
    """
    Whether a code that refuses hints at a fault in the dialogue rather than in the mail.

    RFC 5321 section 4.2.1 gives x0z replies to syntax and sequence errors; 555 refuses parameters.
    """
    return code < 400 or code > 599 or code == 555 or 500 <= code < 510


@lru_cache(maxsize=64)  # many servers say the same of every message
def sent(reply: Reply) -> Verdict:
    """The final dot was accepted."""
    words = reply.one_line
    return Verdict(Disposition.SENT, reply.enhanced or "2.0.0", words, words, Stage.DOT.command)


def accepted(reply: Reply) -> Verdict:
    """A recipient was accepted, and that is all that was asked."""
    words = reply.one_line
    return Verdict(Disposition.SENT, reply.enhanced or "2.1.5", words, words, Stage.RCPT.command)


def said(peer: Peer, reply: Reply, stage: Stage) -> Verdict:
    """A command of the mail transaction was refused."""
    disposition, status = _refusal(reply)
    words = f"host {peer.name} said: {reply.one_line} (in reply to {stage.command})"
    if reply.category == 2:
        words = "Protocol error: " + words
    return Verdict(
        disposition, status, words, reply.one_line, stage.command, protocol_error=is_protocol_error(reply.code)
    )


def premature(peer: Peer, reply: Reply) -> Verdict:
    """
    A reply that came before the content had ended, and is no refusal: the server cannot mean this message.
    """
    words = f"Protocol error: host {peer.name} said: {reply.one_line} (before {Stage.DOT.command})"
    return Verdict(
        Disposition.DEFERRED, "4.5.0", words, reply.one_line, Stage.DOT.command, site=True, protocol_error=True
    )


def refused(peer: Peer, reply: Reply, stage: Stage, *, soft: bool = False) -> Verdict:
    """
    The server does not want to talk: its greeting, or its reply to EHLO and HELO, was no yes.

    :param soft: take a 5xx for a 4xx (``smtp_skip_5xx_greeting``).
    """
    disposition, status = _refusal(reply)
    if soft and reply.category == 5:
        disposition, status = Disposition.DEFERRED, "4" + status[1:]
    words = f"host {peer.name} refused to talk to me: {reply.one_line}"
    return Verdict(
        disposition,
        status,
        words,
        reply.one_line,
        stage.command,
        site=True,
        protocol_error=is_protocol_error(reply.code),
    )


def login_refused(peer: Peer, reply: Reply, *, soft: bool) -> Verdict:
    """
    The server does not take our credentials.

    :param soft: take a 5xx for a 4xx (``smtp_sasl_auth_soft_bounce``): the operator is mistaken, not the sender.
    """
    disposition, status = _refusal(reply)
    if reply.category not in (4, 5):
        disposition, status = Disposition.DEFERRED, "4.7.0"
    elif soft:
        disposition, status = Disposition.DEFERRED, "4" + status[1:]
    words = f"SASL authentication failed; server {peer.name} said: {reply.one_line}"
    return Verdict(disposition, status, words, reply.one_line, "AUTH command", site=True)


def cannot_log_in(peer: Peer, why: str) -> Verdict:
    """We have no login that could work, or do not trust the server with one."""
    words = f"SASL authentication failed; cannot authenticate to server {peer.name}: {why}"
    return Verdict(Disposition.DEFERRED, "4.7.0", words, site=True)


def no_compatible_mechanism(peer: Peer) -> Verdict:
    """The server offers AUTH, and nothing that ``smtp_sasl_mechanism_filter`` lets through."""
    words = (
        f"SASL authentication failed: server {peer.name} offered no compatible authentication mechanisms "
        "for this type of connection security"
    )
    return Verdict(Disposition.DEFERRED, "4.7.0", words, site=True)


def over(peer: Peer, why: SessionOver, stage: Stage) -> Verdict:
    """The connection ended, or stood still, in the middle of a stage."""
    doubt = stage is Stage.DOT
    if isinstance(why, TimedOut):
        words = f"conversation with {peer.name} timed out while {stage.doing}"
    elif isinstance(why, ProtocolBroken):
        words = f"host {peer.name} {why} while {stage.doing}"
        return Verdict(Disposition.DEFERRED, "4.5.0", words, "", stage.command, doubt, site=True, protocol_error=True)
    else:
        words = f"lost connection with {peer.name} while {stage.doing}"
    return Verdict(Disposition.DEFERRED, "4.4.2", words, "", stage.command, doubt, site=True)


def no_resource(why: str) -> Verdict:
    """This machine has no more of something; the server, and its destination, are not to blame."""
    return Verdict(Disposition.DEFERRED, "4.3.0", f"local resource shortage: {why}", shortage=True)


def unreachable(peer: Peer, why: str) -> Verdict:
    """No connection came about."""
    return Verdict(Disposition.DEFERRED, "4.4.1", f"connect to {peer}: {why}", site=True)


def cannot_bind() -> Verdict:
    """Our end cannot have the address that it must have; what is wrong with it is in the log."""
    return Verdict(Disposition.DEFERRED, "4.4.0", "server configuration error", site=True)


def tls_not_offered(peer: Peer) -> Verdict:
    """TLS is required, and the server does not know STARTTLS, or says so."""
    return Verdict(
        Disposition.DEFERRED, "4.7.4", f"TLS is required, but was not offered by host {peer.name}", site=True
    )


def tls_refused(peer: Peer, reply: Reply) -> Verdict:
    """TLS is required, and the server answered STARTTLS with something else than yes."""
    disposition, status = _refusal(reply)
    words = f"TLS is required, but host {peer.name} refused to start TLS: {reply.one_line}"
    return Verdict(disposition, status, words, reply.one_line, Stage.STARTTLS.command, site=True)


def tls_unavailable() -> Verdict:
    """Something of our own is wrong with TLS; the log says what."""
    return Verdict(Disposition.DEFERRED, "4.7.5", "TLS is required, but our TLS engine is unavailable", site=True)


def tls_failed() -> Verdict:
    """The handshake did not come to its end."""
    return Verdict(Disposition.DEFERRED, "4.7.5", "Cannot start TLS: handshake failure", site=True)


def not_verified() -> Verdict:
    """The server has not shown what its policy asks for."""
    return Verdict(Disposition.DEFERRED, "4.7.5", "Server certificate not verified", site=True)


def tls_policy(reason: str, status: str = "4.7.5") -> Verdict:
    """The policy for the server cannot be met, or not be known; it is not contacted."""
    return Verdict(Disposition.DEFERRED, status, reason, site=True)


def too_big(peer: Peer, size: int, limit: int) -> Verdict:
    """The message is larger than what the server said it takes (RFC 1870 section 6.1)."""
    words = f"message size {size} exceeds size limit {limit} of server {peer.name}"
    return Verdict(Disposition.BOUNCED, "5.3.4", words)


def needs_smtputf8(peer: Peer) -> Verdict:
    """The message needs SMTPUTF8 and the server does not offer it (RFC 6531 section 3.2)."""
    return Verdict(Disposition.BOUNCED, "5.6.7", f"SMTPUTF8 is required, but was not offered by host {peer.name}")


def not_reached(peer: Peer) -> Verdict:
    """The session ended before the recipient's turn came (RFC 9422: the server takes fewer in one transaction)."""
    words = f"session with {peer.name} ended before all recipients could be served"
    return Verdict(Disposition.DEFERRED, "4.4.2", words)


def loops(next_hop: str, *, best: bool) -> Verdict:
    """
    The server that we talk to is ourselves.

    :param best: it is the best of its destination's exchangers, so there is no way out.
    """
    words = f"mail for {next_hop} loops back to myself"
    if best:
        return Verdict(Disposition.BOUNCED, "5.4.6", words)
    return Verdict(Disposition.DEFERRED, "4.4.6", words, site=True)


def unsafe_address(address: str) -> Verdict:
    """An address holds a control character, or a bracket or blank in its domain, and cannot be put in a command."""
    shown = address.encode("unicode_escape").decode("ascii")
    return Verdict(Disposition.BOUNCED, "5.1.3", f"bad address syntax: <{shown}> cannot be put in a command")


def local_data(peer: Peer, why: str, *, shortage: bool = False) -> Verdict:
    """The content could not be read while the server waited for it."""
    words = f"local data error while talking to {peer.name}: {why}"
    return Verdict(Disposition.DEFERRED, "4.3.0", words, shortage=shortage)


def unsendable(status: str, why: str) -> Verdict:
    """
    The message cannot be changed as the configuration asks, and must not go out as it is.

    :param status: of class 5 where that will be so for ever.
    """
    return Verdict(Disposition.BOUNCED if status.startswith("5") else Disposition.DEFERRED, status, why)


def _refusal(reply: Reply) -> tuple[Disposition, str]:
    if reply.category == 4:
        return Disposition.DEFERRED, reply.enhanced
    if reply.category == 5:
        return Disposition.BOUNCED, reply.enhanced
    return Disposition.BOUNCED, "5.5.0"
