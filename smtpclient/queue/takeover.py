"""
Notices a second queue manager: Postfix's, on the directory where its master runs beside ours.

Postfix's master keeps its lock there, so no lock can keep a queue manager out that somebody puts into its master.cf
while ours runs. But such a queue manager takes ``public/qmgr`` away. When that has happened nothing is claimed any
more, what is under way comes to its end, and the log says what to do.

Promises: within :data:`INTERVAL` seconds from then on nothing new is delivered; what is under way at that moment may be
delivered twice.

Does not: end the process, or give the queue directory back.
"""

from collections.abc import Callable

from twisted.application.internet import TimerService
from twisted.internet.interfaces import IReactorTime

from smtpclient.observe.maillog import MailLog

INTERVAL = 5.0


class TakeoverWatch(TimerService):
    """
    Looks, again and again.

    :param taken_over: whether another program listens on ``public/qmgr`` in our place.
    :param stop: has nothing claimed any more; called once.
    """

    def __init__(
        self, taken_over: Callable[[], bool], stop: Callable[[], object], clock: IReactorTime, maillog: MailLog
    ) -> None:
        super().__init__(INTERVAL, self._look)
        self.clock = clock
        self._taken_over = taken_over
        self._stop = stop
        self._maillog = maillog
        self._is_over = False

    def _look(self) -> None:
        if self._is_over or not self._taken_over():
            return
        self._is_over = True
        self._maillog.error(
            "qmgr",
            "another queue manager has taken over public/qmgr: nothing is delivered any more; take the line of qmgr "
            "out of Postfix's master.cf, and start again",
        )
        self._stop()
