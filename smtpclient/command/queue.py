"""
``smtpclient queue``: show and change the queue, beside the running service or without one.

::

    smtpclient queue list [--json]                  what waits, and why
    smtpclient queue show [--envelope|--content] ID one message
    smtpclient queue flush [ID... | --site DOMAIN]  have messages tried now
    smtpclient queue hold ID... | ALL [QUEUE]       keep messages until they are released
    smtpclient queue release ID... | ALL            let them go on
    smtpclient queue requeue ID... | ALL [QUEUE]    have them looked at as if they were new
    smtpclient queue expire ID... | ALL [QUEUE]     return them to their senders at the next attempt
    smtpclient queue delete ID... | ALL [QUEUE]     remove them; nobody is told

Who may do that is decided by the permissions of the queue directory: its owner and root.

This module reads the command line, and turns what goes wrong into words and exit codes.
"""

import argparse
import os
import time
from collections.abc import Sequence
from typing import BinaryIO, TextIO

from twisted.internet.interfaces import IReactorTime

from smtpclient.command import configuration, queue_change
from smtpclient.command.direct import DirectClock, DirectFiles, at_once
from smtpclient.command.queue_directory import CorruptQueueFile, NoQueueDirectory, QueueDirectory
from smtpclient.command.queue_list import list_queue
from smtpclient.command.queue_show import show
from smtpclient.config.parameters import Parameters
from smtpclient.queue.files import Files

PROGRAM = "smtpclient queue"


def parser() -> configuration.Parser:
    """The command line."""
    described = "Show and change the queue, beside the running service or without one."
    top = configuration.Parser(prog=PROGRAM, description=described, allow_abbrev=False)
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)

    def add(name: str, words: str) -> argparse.ArgumentParser:
        return verbs.add_parser(
            name,
            help=words,
            description=words[0].upper() + words[1:] + ".",
            allow_abbrev=False,
            parents=[configuration.options()],
        )

    adding = add("list", "show what waits, and why")
    adding.add_argument("--json", action="store_true", help="one object a line, with postqueue's members")
    adding = add("show", "show one message")
    parts = adding.add_mutually_exclusive_group()
    parts.add_argument("--envelope", action="store_true", help="everything but the content")
    parts.add_argument("--content", action="store_true", help="nothing but the content")
    adding.add_argument("queue_id", metavar="ID")
    adding = add("flush", "have messages tried now: those named, those for one site, or all")
    adding.add_argument("--site", metavar="DOMAIN", default="", help="those with recipients in this domain")
    adding.add_argument("words", metavar="ID", nargs="*")
    for name, words in (
        ("hold", "keep messages until they are released"),
        ("release", "let messages go on that are on hold"),
        ("requeue", "have messages looked at as if they were new"),
        ("expire", "return messages to their senders at the next attempt"),
        ("delete", "remove messages; nobody is told"),
    ):
        adding = add(name, words)
        queues = ", ".join(queue_change.VERBS[name].queues)
        adding.add_argument("words", metavar="ID", nargs="+", help=f"queue ids, or ALL, or ALL and one of: {queues}")
    return top


def main(arguments: Sequence[str], *, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """
    Run the command.

    :param stdin: not read.
    :return: the exit code.
    :raises ConfigurationError: when the configuration cannot be used.
    """
    options = configuration.parse(parser(), arguments)
    if options.verb == "flush" and options.site and options.words:
        stderr.write(f"{PROGRAM} flush: give queue ids or --site, not both\n")
        return os.EX_USAGE
    parameters = configuration.read(options, os.environ)
    return at_once(perform(parameters, options, DirectFiles(), DirectClock(time.time()), stdout, stderr))


COMPLAINTS: tuple[tuple[type[Exception], int, str], ...] = (
    (NoQueueDirectory, os.EX_CONFIG, "{error}"),
    (CorruptQueueFile, os.EX_DATAERR, "{error}"),
    (ValueError, os.EX_USAGE, "{error}"),
    (PermissionError, os.EX_NOPERM, "{error.filename}: {error.strerror}; be root, or the directory's owner"),
    (ConnectionRefusedError, os.EX_UNAVAILABLE, "no service runs in {path}; it tries all messages when it starts"),
    (FileNotFoundError, os.EX_TEMPFAIL, "{error.filename} has just moved on; try again"),
    (OSError, os.EX_IOERR, "{error.filename}: {error.strerror}"),
)
"""What is said of an error, and the exit code; the first that fits."""


async def perform(
    parameters: Parameters,
    options: argparse.Namespace,
    files: Files,
    clock: IReactorTime,
    stdout: TextIO,
    stderr: TextIO,
) -> int:
    """
    Do what the command line says, and say what stood in the way.

    :return: the exit code.
    :raises BrokenPipeError: when nobody reads the output any more.
    """
    try:
        return await _perform(QueueDirectory(parameters, files, clock), options, stdout, stderr)
    except BrokenPipeError:
        raise
    except Exception as error:
        for kind, code, words in COMPLAINTS:
            if isinstance(error, kind):
                said = words.format(error=error, path=parameters.text("queue_directory"))
                stderr.write(f"{PROGRAM} {options.verb}: {said}\n")
                return code
        raise


async def _perform(queue: QueueDirectory, options: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> int:
    if options.verb == "list":
        await list_queue(queue, stdout, stderr, as_json=options.json)
        return os.EX_OK
    if options.verb == "show":
        return await _show(queue, options, stdout, stderr)
    if options.verb == "flush":
        found = queue_change.flush(queue, options.words, options.site, stdout, stderr)
    else:
        found = queue_change.change(queue, options.verb, options.words, stdout, stderr)
    return os.EX_OK if found else 1


async def _show(queue: QueueDirectory, options: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> int:
    found = queue.entry(options.queue_id)
    if found is None:
        stderr.write(
            f"{PROGRAM} show: {options.queue_id}: no such message in the queue; "
            "smtpclient queue list shows what there is\n"
        )
        return 1
    listed = await queue.listed(*found)
    await show(queue, listed, stdout, envelope=not options.content, content=not options.envelope)
    return os.EX_OK
