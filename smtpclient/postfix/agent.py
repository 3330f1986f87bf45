"""
What delivers below Postfix's master, put together from main.cf.

:class:`Working` is a delivery agent with all its means, with Postfix's own daemons for reports. :class:`OutOfOrder`
takes its place where main.cf asks for something that cannot be honoured: it delivers nothing rather than otherwise than
it should, so every recipient is deferred, with a reason that ``postqueue -p`` shows; the log has what is wrong. As soon
as main.cf is right and Postfix was reloaded, a working one takes over.
"""

from collections.abc import Callable
from typing import Any, Protocol

from smtpclient.config.parameters import ConfigurationError, Parameters
from smtpclient.delivery import settlement
from smtpclient.delivery.assembly import Delivery
from smtpclient.interfaces import IDeferService
from smtpclient.mail.envelope import NewMessage
from smtpclient.mail.outcome import Delays, Disposition, Outcome, SiteFailure
from smtpclient.observe.maillog import MailLog
from smtpclient.observe.outcomes import Outcomes
from smtpclient.postfix.call import Caller
from smtpclient.postfix.deliveries import Deliveries
from smtpclient.postfix.handing_in import HandingIn
from smtpclient.postfix.invocation import Invocation
from smtpclient.postfix.main_cf import Configuration
from smtpclient.postfix.request import Request, encode_answer
from smtpclient.queue.folders import Folders

_REFUSAL = SiteFailure("4.3.5", "mail system configuration error; the log of this system has the details")


class Agent(Protocol):
    """What answers requests."""

    async def answer(self, request: Request) -> bytes:
        """Deliver; what the queue manager is to be told."""

    def begin(self) -> None:
        """Privileges have been given up; requests are about to come."""

    async def close(self) -> None:
        """Nothing is under way any more; leave nothing open."""


class Working:
    """
    A delivery agent.

    :param reactor: connections, datagrams, time, threads.
    :param transport: ``smtp`` or ``lmtp``.
    :param queue_directory: as it is to be seen once requests come.
    :raises ValueError: when a parameter makes no sense.
    :raises OSError: when a file cannot be read that a parameter names.
    """

    def __init__(
        self, parameters: Parameters, *, reactor: Any, maillog: MailLog, transport: str, queue_directory: str
    ) -> None:
        seen = parameters.moved(queue_directory)
        self._seconds = reactor.seconds
        self._handing_in = HandingIn(
            Caller(reactor, reactor, queue_directory), seen.text("myhostname"), seen.text("mail_name")
        )
        self._delivery = Delivery(
            seen,
            reactor=reactor,
            maillog=maillog,
            submit=self._submit,
            outcomes=Outcomes(),
            conclude=_never,
            bounce="postfix",
            defer="postfix",
            trace="postfix",
        )
        folders = Folders(
            self._delivery.files, queue_directory, seen.words("hash_queue_names"), seen.integer("hash_queue_depth")
        )
        deliveries = Deliveries(self._delivery, self._delivery.files, folders, reactor, maillog, transport)
        self.answer: Callable[[Request], Any] = deliveries.answer

    def begin(self) -> None:
        """Privileges have been given up; requests are about to come."""
        self._delivery.start_threads()
        self._delivery.begin()

    async def close(self) -> None:
        """Say goodbye on all parked sessions, and end the threads."""
        await self._delivery.close()
        self._delivery.stop_threads()

    async def _submit(self, message: NewMessage) -> str:
        """Queue a notice to the postmaster."""
        return await self._handing_in.submit(message, self._seconds())


def put_together(
    start: Invocation, configuration: Configuration, *, reactor: Any, maillog: MailLog, queue_directory: str
) -> Working:
    """
    The delivery agent of a service; what the operator should know of its parameters is said in the log.

    :param queue_directory: as it is to be seen once requests come.
    :raises ConfigurationError: with all that is wrong, where there can be none.
    """
    parameters = configuration.parameters
    if parameters is None:
        raise ConfigurationError(configuration.problems)
    for warning in parameters.warnings:
        maillog.warning(start.process, warning)
    try:
        return Working(
            parameters, reactor=reactor, maillog=maillog, transport=start.process, queue_directory=queue_directory
        )
    except (ValueError, OSError) as why:
        raise ConfigurationError([str(why)]) from why


def _never(_queue_id: str, _delivered: int) -> bool:
    """The queue manager removes messages, nobody else."""
    return False


class OutOfOrder:
    """
    An agent that cannot be one.

    :param defer: where deferrals are recorded.
    :param process: the name that log lines carry.
    """

    def __init__(self, defer: IDeferService, maillog: MailLog, seconds: Callable[[], float], process: str) -> None:
        self._defer = defer
        self._process = process
        self._maillog = maillog
        self._seconds = seconds

    async def answer(self, request: Request) -> bytes:
        """Defer every recipient, and have less mail sent here for a while."""
        envelope, now = request.envelope, self._seconds()
        delays = Delays(max(request.activated - envelope.arrival, 0.0), max(now - request.activated, 0.0))
        for recipient in request.recipients:
            outcome = Outcome(recipient, Disposition.DEFERRED, _REFUSAL.status, _REFUSAL.reason, delays=delays)
            self._maillog.info(self._process, settlement.line(outcome), envelope.queue_id)
            try:
                await self._defer.append(envelope, outcome)
            except Exception as why:
                self._maillog.warning(self._process, f"cannot record <{recipient.address}>: {why}", envelope.queue_id)
        return encode_answer(False, _REFUSAL)

    def begin(self) -> None:
        """There is nothing to be begun."""

    async def close(self) -> None:
        """There is nothing open."""
