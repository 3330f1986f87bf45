"""
Statuses that are replaced before anybody sees them: ``smtp_delivery_status_filter``.

A table is asked for ``5.1.1 the whole reason`` and may answer ``4.1.1 another reason``. A failure may become a deferral
and a deferral a failure, but neither a success, nor a success either of them (postconf(5)); such an answer, or one that
does not begin with an enhanced status code, counts as none and is warned of.
"""

import re

from smtpclient.config.tables import Tables
from smtpclient.mail.outcome import Disposition, Outcome
from smtpclient.observe.maillog import MailLog, printable

_STATUS = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?=\s)")
_BY_CLASS = {"2": Disposition.SENT, "4": Disposition.DEFERRED, "5": Disposition.BOUNCED}


class StatusFilter:
    """
    Replaces the status of outcomes.

    :param maillog: hears of answers that make no sense.
    """

    def __init__(self, tables: Tables, maillog: MailLog) -> None:
        self._tables = tables
        self._maillog = maillog

    def outcome(self, outcome: Outcome) -> Outcome:
        """What becomes of an outcome."""
        key = f"{outcome.status} {outcome.reason}"
        answer = self._tables.lookup(key)
        if answer is None:
            return outcome
        text = printable(answer.strip())
        found = _STATUS.match(text)
        disposition = _BY_CLASS[found[1]] if found else None
        is_success = outcome.disposition is Disposition.SENT
        if found is None or disposition is None or (disposition is Disposition.SENT) is not is_success:
            self._maillog.warning("smtp", f"smtp_delivery_status_filter: {key}: cannot become {text}; left as it is")
            return outcome
        reason = text[found.end() :].strip() or outcome.reason
        return outcome._replace(disposition=disposition, status=found[0], reason=reason)
