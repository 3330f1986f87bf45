"""
What reports say to people: subjects, and the text before the list of recipients.

The words are in the spirit of Postfix's: the subjects are the same, because people and programs sort mail by them.
A copy for the postmaster has no introduction, only the list.

Promises: ASCII only, lines of at most 78 characters.

Does not: read templates (Postfix's ``bounce_template_file``).
"""

import enum


class Kind(enum.Enum):
    """What a report is about."""

    FAILURE = enum.auto()
    DELAY = enum.auto()
    SUCCESS = enum.auto()
    PROBE = enum.auto()


LOGGED = {
    Kind.FAILURE: "non-delivery",
    Kind.DELAY: "delay",
    Kind.SUCCESS: "delivery status",
    Kind.PROBE: "delivery status",
}
"""How the line in the log names it."""

_SUBJECTS = {
    Kind.FAILURE: ("Undelivered Mail Returned to Sender", "Postmaster Copy: Undelivered Mail"),
    Kind.DELAY: ("Delayed Mail (still being retried)", "Postmaster Warning: Delayed Mail"),
    Kind.SUCCESS: ("Successful Mail Delivery Report", "Postmaster Copy: Successful Mail Delivery Report"),
    Kind.PROBE: ("Mail Delivery Status Report", "Postmaster Copy: Mail Delivery Status Report"),
}

_HELP = """\
For help, write to the postmaster and include this report. The copy of
your message need not be included.
"""

_FAILURE = """\
This is the mail system at host {hostname}.

Your message could not be delivered to the recipients named below, and
there will be no more attempts. The reason stands beside each address.{attached}

{help}
                   The mail system
"""

_DELAY = """\
This is the mail system at host {hostname}.

    ----------------------------------------------------------------
    THIS IS ONLY A WARNING. YOU NEED NOT SEND YOUR MESSAGE AGAIN.
    ----------------------------------------------------------------

For {waiting} your message could not be delivered to the recipients
named below. It will be tried again until it is {lifetime} old.{attached}

{help}
                   The mail system
"""

_SUCCESS = """\
This is the mail system at host {hostname}.

Your message was delivered for the recipients named below, as you asked to
be told. Where it says "relayed", another mail server has it now; should that
one fail to deliver it, you will hear from there.{attached}

                   The mail system
"""

_PROBE = """\
This is the mail system at host {hostname}.

You have asked whether mail could be delivered to the recipients named below.
Nothing was sent to them.{attached}

                   The mail system
"""

_INTRODUCTIONS = {Kind.FAILURE: _FAILURE, Kind.DELAY: _DELAY, Kind.SUCCESS: _SUCCESS, Kind.PROBE: _PROBE}


def subject(kind: Kind, to_postmaster: bool) -> str:
    """The Subject of a report."""
    return _SUBJECTS[kind][to_postmaster]


def duration(seconds: float) -> str:
    """A length of time in the largest unit of which there are at least two: ``5 days``, ``36 hours``."""
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{round(seconds / unit, 1):g} {name}"
    return f"{max(0, round(seconds))} seconds"


def introduction(kind: Kind, hostname: str, attached: str, waiting: float = 0.0, lifetime: float = 0.0) -> str:
    """
    The text before the list of recipients.

    :param attached: ``message`` or ``header``: what is returned; empty: nothing.
    :param waiting: seconds that the message has been waiting.
    :param lifetime: seconds that it is tried for in all.
    """
    words = {"message": "Your message", "header": "The header of your message"}
    return _INTRODUCTIONS[kind].format(
        hostname=hostname,
        attached=f"\n{words[attached]} is attached." if attached else "",
        waiting=duration(waiting),
        lifetime=duration(lifetime),
        help=_HELP,
    )
