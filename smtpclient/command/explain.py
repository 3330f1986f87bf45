"""
``smtpclient explain ADDRESS...``: where mail for an address would go, and how; nothing is sent.

::

    smtpclient explain someone@example.org
    smtpclient explain -f me@example.com someone@example.org     as from this sender
    smtpclient explain --probe someone@example.org               connect to each server, and see
    smtpclient explain --admin 127.0.0.1:8025 ...                ask the running service, too
    smtpclient explain --json ...                                a JSON array

Routes, servers, TLS and logins come from the functions that deliver. ``--probe`` goes through greeting, EHLO and
STARTTLS with each server, does not log in, and says QUIT.

Exit codes: 0 when mail for every address would be sent, as far as can be told; 75 when some would wait, 69 when some
would be returned.
"""

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO, TextIO, cast

from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.logger import ILogObserver, LogEvent

from smtpclient.command import configuration, explain_text, service_page
from smtpclient.command.direct import DirectClock, DirectFiles
from smtpclient.command.queue_directory import CorruptQueueFile, NoQueueDirectory, QueueDirectory
from smtpclient.config.parameters import Parameters
from smtpclient.delivery.explainer import Explainer, same_destination
from smtpclient.delivery.explanation import Explanation, Fate, QueueExplanation, as_json, worst
from smtpclient.delivery.routing import Route
from smtpclient.mail import address
from smtpclient.observe.maillog import MailLog
from smtpclient.outbound import Outbound

PROGRAM = "smtpclient explain"
MOST_MESSAGES = 10_000
"""How many messages of the queue are looked at."""

_CODES = {Fate.SENT: os.EX_OK, Fate.DEFERRED: os.EX_TEMPFAIL, Fate.BOUNCED: os.EX_UNAVAILABLE}


def parser() -> configuration.Parser:
    """The command line."""
    top = configuration.parser(PROGRAM, "Show where mail for an address would go, and how. Nothing is sent.")
    top.add_argument("-f", "--sender", metavar="ADDRESS", default="", help="as from this sender; else the null sender")
    top.add_argument("--probe", action="store_true", help="connect to each server, say EHLO, begin TLS, and QUIT")
    top.add_argument("--dialogue", action="store_true", help="with --probe: show what was said")
    top.add_argument("--admin", metavar="WHERE", help="HOST:PORT or path where the service has its --admin endpoint")
    top.add_argument("--json", action="store_true", help="a JSON array, one object for each address")
    top.add_argument("addresses", metavar="ADDRESS", nargs="+", help="a recipient")
    return top


def main(arguments: Sequence[str], *, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """
    Run the command.

    :param stdin: not read.
    :return: the exit code.
    :raises ConfigurationError: when the configuration cannot be used.
    """
    options = configuration.parse(parser(), arguments)
    parameters = configuration.read(options, os.environ)
    try:
        states = service_page.destinations(options.admin) if options.admin else None
    except service_page.NoAnswer as error:
        stderr.write(f"{PROGRAM}: {error}\n")
        return os.EX_UNAVAILABLE

    ended: list[int | BaseException] = []

    async def whole(reactor: ReactorBase) -> None:
        try:
            ended.append(await perform(options, parameters, states, reactor, stdout, stderr))
        except BaseException as error:
            ended.append(error)

    with contextlib.suppress(SystemExit):  # that is how it returns
        react(lambda reactor: Deferred.fromCoroutine(whole(reactor)))
    result = ended[0] if ended else KeyboardInterrupt()
    if isinstance(result, BaseException):
        raise result
    return result


async def perform(
    options: Any,
    parameters: Parameters,
    states: list[dict[str, Any]] | None,
    reactor: Any,
    stdout: TextIO,
    stderr: TextIO,
) -> int:
    """
    Explain what the command line names.

    :param states: what the service says of its destinations; None: it was not asked.
    :return: the exit code.
    """
    try:
        explanations = await _explain(options, parameters, states, reactor, stderr)
    except ValueError as error:  # a program or an address that makes no sense
        stderr.write(f"{PROGRAM}: {error}\n")
        return os.EX_CONFIG
    _write(explanations, stdout, as_text=not options.json, dialogue=options.dialogue, now=time.time())
    return _CODES[worst(explanation.fate for explanation in explanations)]


async def _explain(
    options: Any, parameters: Parameters, states: list[dict[str, Any]] | None, reactor: Any, stderr: TextIO
) -> list[Explanation]:
    maillog = MailLog(reactor.seconds)

    def show(event: LogEvent) -> None:
        """Show what parts of the product have to say about the configuration."""
        text = str(event.get("mail_text", ""))
        if text.startswith("warning:"):
            stderr.write(f"{PROGRAM}: {text}\n")

    maillog.publisher.addObserver(cast(ILogObserver, show))
    # It is never started: nothing is taken over, nothing delivered.
    outbound = Outbound(parameters, reactor=reactor, maillog=maillog)
    outbound.start_threads()
    try:
        explainer = Explainer(outbound.agent.means, outbound.routing, contact=options.probe)
        sender = address.internal(options.sender)
        found = [await explainer.explain(address.internal(text), sender) for text in options.addresses]
    finally:
        outbound.stop_threads()
    queue = _queue_directory(parameters)
    return [
        dataclasses.replace(
            explanation,
            queue=None if queue is None else _waiting(queue, explainer, explanation),
            destination=None if states is None else _state(states, explanation),
        )
        for explanation in found
    ]


def _queue_directory(parameters: Parameters) -> QueueDirectory | None:
    try:
        return QueueDirectory(parameters, DirectFiles(), DirectClock(time.time()))
    except (NoQueueDirectory, OSError):
        return None  # who may not look there still may ask where mail goes


def _waiting(queue: QueueDirectory, explainer: Explainer, explanation: Explanation) -> QueueExplanation | None:
    """The mail that waits for the same destination."""
    wanted = Route(explanation.transport, explanation.next_hop)
    messages = recipients = held = looked = 0
    next_attempt = float("inf")
    try:
        for name, entry in queue.entries("active", "incoming", "deferred", "hold"):
            looked += 1
            if looked > MOST_MESSAGES:
                break
            try:
                message = queue.look(name, entry.queue_id)
            except (FileNotFoundError, CorruptQueueFile):
                continue
            sender = message.envelope.sender
            routes = (explainer.route(recipient.address, sender) for recipient in message.recipients)
            count = sum(same_destination(route, wanted) for route in routes)
            if not count:
                continue
            messages, recipients, held = messages + 1, recipients + count, held + (name == "hold")
            if name != "hold":
                next_attempt = min(next_attempt, entry.due if name == "deferred" else 0.0)
    except OSError:
        return None
    due = 0.0 if next_attempt == float("inf") else next_attempt
    return QueueExplanation(messages, recipients, held, due, looked <= MOST_MESSAGES)


def _state(states: Iterable[dict[str, Any]], explanation: Explanation) -> dict[str, Any]:
    """What the service says of the destination; empty: nothing."""
    wanted = explanation.transport, explanation.next_hop
    return next((state for state in states if (state.get("transport"), state.get("next_hop")) == wanted), {})


def _write(explanations: Sequence[Explanation], stdout: TextIO, *, as_text: bool, dialogue: bool, now: float) -> None:
    if not as_text:
        stdout.write(json.dumps([as_json(explanation) for explanation in explanations], indent=1) + "\n")
        return
    for number, explanation in enumerate(explanations):
        stdout.write("\n" if number else "")
        stdout.writelines(f"{line}\n" for line in explain_text.lines(explanation, now=now, dialogue=dialogue))
