"""
What the dialogue needs to know of the configuration: one frozen value, taken from the parameters once.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace

from smtpclient.config.parameters import Parameters
from smtpclient.config.tables import Tables
from smtpclient.observe.maillog import MailLog
from smtpclient.smtp.content_changes import ContentChanges
from smtpclient.smtp.pix import PixSettings


class Grouping(enum.Enum):
    """To which servers a message may begin with the end of another (``smtp_pipeline_messages``)."""

    NO = "no"
    DISTINCT = "distinct"  # whose yes to a message is told from that to an envelope (``smtpclient.smtp.order``)
    YES = "yes"


@dataclass(frozen=True, slots=True)
class DialogueSettings:
    """
    Names, habits and time limits of the SMTP dialogue; limits are seconds.

    The defaults are those of the parameter table, so that tests may name only what they are about.

    :param own_name: a server that calls itself so is ourselves; empty: it may.
    :param lmtp: speak LMTP (RFC 2033).
    :param assume_final: a server without DSN has the mailboxes itself.
    :param changes: what is changed of messages on their way out.
    :param discard_ehlo_maps: ``discard_ehlo_keywords`` by server address; None: none.
    :param reply_filter: replaces lines of replies before they are read; None: none does.
    :param pipeline_messages: to which servers the next message may begin with the end of one.
    :param min_data_rate: bytes per second that a server must take, while time limits count for whole requests; 0: they
        count anew for each piece.
    """

    helo_name: str
    own_name: str = ""
    lmtp: bool = False
    assume_final: bool = False
    helo: float = 300.0
    mail: float = 300.0
    rcpt: float = 300.0
    data_init: float = 120.0
    data_xfer: float = 180.0
    data_done: float = 600.0
    quit: float = 300.0
    rset: float = 20.0
    always_send_ehlo: bool = True
    never_send_ehlo: bool = False
    skip_4xx_greeting: bool = False
    skip_5xx_greeting: bool = False
    skip_quit_response: bool = True
    quote_envelope: bool = True
    line_length_limit: int = 998
    dummy_mail_auth: bool = False
    discard_ehlo_keywords: frozenset[str] = frozenset()
    changes: ContentChanges = ContentChanges()
    discard_ehlo_maps: Tables | None = None
    reply_filter: Tables | None = None
    pix: PixSettings = PixSettings()
    min_data_rate: int = 0
    send_xforward: bool = False
    use_bdat: bool = False
    pipeline_messages: Grouping = Grouping.DISTINCT
    xforward: float = 300.0

    @property
    def is_grouping(self) -> bool:
        """Whether there are servers to which a message may begin with the end of another."""
        return self.pipeline_messages is not Grouping.NO

    def discarded(self, address: str) -> frozenset[str]:
        """The extensions that are not to be believed of the server at an address."""
        found = self.discard_ehlo_maps.lookup(address) if self.discard_ehlo_maps is not None else None
        return self.discard_ehlo_keywords if found is None else _keywords(found.replace(",", " ").split())

    def as_lmtp(self, *, assume_final: bool = False) -> "DialogueSettings":
        """The same for LMTP: a server that has our name may well be another program of this machine."""
        return replace(self, lmtp=True, own_name="", assume_final=assume_final)

    @classmethod
    def from_parameters(cls, parameters: Parameters, maillog: MailLog | None = None) -> "DialogueSettings":
        """
        Take the settings from the ``smtp_`` parameters.

        :param maillog: where ``smtp_header_checks`` and its kin tell what they do; None: nowhere.
        """
        return cls(
            helo_name=parameters.text("smtp_helo_name"),
            own_name=parameters.text("myhostname").lower(),
            helo=parameters.seconds("smtp_helo_timeout"),
            mail=parameters.seconds("smtp_mail_timeout"),
            rcpt=parameters.seconds("smtp_rcpt_timeout"),
            data_init=parameters.seconds("smtp_data_init_timeout"),
            data_xfer=parameters.seconds("smtp_data_xfer_timeout"),
            data_done=parameters.seconds("smtp_data_done_timeout"),
            quit=parameters.seconds("smtp_quit_timeout"),
            rset=parameters.seconds("smtp_rset_timeout"),
            always_send_ehlo=parameters.boolean("smtp_always_send_ehlo"),
            never_send_ehlo=parameters.boolean("smtp_never_send_ehlo"),
            skip_4xx_greeting=parameters.boolean("smtp_skip_4xx_greeting"),
            skip_5xx_greeting=parameters.boolean("smtp_skip_5xx_greeting"),
            skip_quit_response=parameters.boolean("smtp_skip_quit_response"),
            quote_envelope=parameters.boolean("smtp_quote_rfc821_envelope"),
            line_length_limit=parameters.integer("smtp_line_length_limit"),
            dummy_mail_auth=parameters.boolean("smtp_send_dummy_mail_auth"),
            discard_ehlo_keywords=_keywords(parameters.words("smtp_discard_ehlo_keywords")),
            changes=ContentChanges.from_parameters(parameters, maillog or MailLog()),
            discard_ehlo_maps=parameters.tables("smtp_discard_ehlo_keyword_address_maps") or None,
            reply_filter=parameters.tables("smtp_reply_filter") or None,
            pix=PixSettings.from_parameters(parameters),
            send_xforward=parameters.boolean("smtp_send_xforward_command"),
            use_bdat=parameters.boolean("smtp_use_bdat"),
            pipeline_messages=Grouping(parameters.text("smtp_pipeline_messages")),
            xforward=parameters.seconds("smtp_xforward_timeout"),
            min_data_rate=(
                parameters.integer("smtp_min_data_rate") if parameters.boolean("smtp_per_request_deadline") else 0
            ),
        )


def _keywords(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word.upper() for word in words if word != "silent-discard")
