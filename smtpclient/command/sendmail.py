"""
``smtpclient sendmail``: queue a message from standard input, in the way of sendmail(1).

The command line is in ``smtpclient.command.sendmail_options``. Exit codes are those of sysexits.h. 64: a wrong command
line; 65: an address that is none; 66: no message can be read; 69: a message that is refused, too large or looping; 71:
nobody knows who you are; 73: there is no queue directory; 74: a disk fails; 75: try again; 77: the queue is not yours
to write to; 78: a wrong configuration.

Promises: 0 only when the message is on disk, under the queue id that is printed; otherwise nothing is queued. No
service has to run; one that does hears of the message at once. The message is read and stored piece by piece.

Does not: become another user. The queue belongs to the service's user; others hand their mail to its submission
server.
"""

import contextlib
import errno
import os
import pwd
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random, SystemRandom
from typing import BinaryIO, TextIO

from twisted.internet.task import Clock

from smtpclient.command import configuration
from smtpclient.command.direct import DirectFiles, at_once
from smtpclient.command.sendmail_options import PROGRAM, CommandLine, Failure, manual, parse
from smtpclient.config.parameters import Parameters
from smtpclient.mail import address
from smtpclient.mail.envelope import TRACE_FLAGS, NewMessage, Recipient, TraceFlags
from smtpclient.observe.maillog import MailLog, MailLogFile
from smtpclient.queue.header import BLOCK
from smtpclient.queue.intake import IntakeError, Rules, Submission, local_trace, log_arrival, prepare
from smtpclient.queue.recipients import AddressListError, addresses
from smtpclient.queue.spool import Spool
from smtpclient.queue.trigger import poke

_CODES = {
    errno.ENOENT: os.EX_CANTCREAT,
    errno.ENOTDIR: os.EX_CANTCREAT,
    errno.EACCES: os.EX_NOPERM,
    errno.EPERM: os.EX_NOPERM,
    errno.ENOSPC: os.EX_TEMPFAIL,
    errno.EDQUOT: os.EX_TEMPFAIL,
    errno.EAGAIN: os.EX_TEMPFAIL,
    errno.EMFILE: os.EX_TEMPFAIL,
    errno.ENFILE: os.EX_TEMPFAIL,
    errno.ENOMEM: os.EX_TEMPFAIL,
}

_PROBE = b"Subject: probe\n\n"
"""The content of a message that is not sent; its header comes back with the report."""

_HINTS = {
    os.EX_CANTCREAT: "; start the service once, it makes the queue directory; or name its configuration with -c FILE",
    os.EX_NOPERM: "; the queue is for the service's user, others hand their mail to its submission server",
}


def main(
    arguments: Sequence[str],
    *,
    stdin: BinaryIO,
    stdout: TextIO,
    stderr: TextIO,
    environment: Mapping[str, str] = os.environ,
    seconds: Callable[[], float] = time.time,
    random: Random | None = None,
) -> int:
    """
    Run the command.

    :param seconds: what time it is, since the epoch.
    :param random: makes the Message-ID unique; None: the system's.
    :return: the exit code.
    :raises ConfigurationError: when the configuration cannot be used.
    """
    try:
        options = parse(arguments)
        if options.help:
            stdout.write(manual())
            return os.EX_OK
        parameters = configuration.read(options.configuration, environment)
        rules = Rules.from_parameters(parameters)
        submission = _submission(options, rules, stdin, environment)
        queue_id = _queue(submission, parameters, rules, seconds, random or SystemRandom())
    except KeyboardInterrupt:
        stderr.write(f"{PROGRAM}: interrupted; nothing was queued\n")
        return os.EX_TEMPFAIL
    except Failure as failure:
        stderr.write(f"{PROGRAM}: {failure}\n")
        return failure.code
    if options.verbose:
        stdout.write(f"{queue_id}\n")
    return os.EX_OK


def _submission(options: CommandLine, rules: Rules, stdin: BinaryIO, environment: Mapping[str, str]) -> Submission:
    """
    Envelope and content.

    :raises Failure: when an address is none, or nobody knows whose mail this is.
    """
    if options.probe and options.from_header:
        raise Failure(os.EX_USAGE, "-bv reads no message: name the recipients, without -t")
    if not options.recipients and not options.from_header:
        raise Failure(os.EX_USAGE, "name the recipients, or take them from the header with -t")
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        user = None
    if options.sender is None and user is None:
        raise Failure(os.EX_OSERR, f"user id {uid} has no login name; name the sender with -f")
    login = user.pw_name if user else ""
    name = options.full_name
    if name is None:
        name = environment.get("NAME") or (_full_name(user.pw_gecos, login) if user else "")
    sender = login if options.sender is None else _sender(options.sender, rules.myorigin)
    if options.probe and not sender:
        raise Failure(os.EX_USAGE, "-bv: the null sender gets no report; name one with -f")
    return Submission(
        sender=sender,
        recipients=[
            Recipient(one, notify=options.notify)
            for text in options.recipients
            for one in _given_addresses(text, rules.myorigin)
        ],
        content=_PROBE if options.probe else _blocks(stdin, options.dot_ends),
        header_recipients=options.notify if options.from_header else None,
        local=options.local,
        trace=local_trace(rules, uid),
        full_name=name,
        encoding=options.encoding,
        envelope_id=options.envelope_id,
        ret=options.ret,
        attributes={
            "rewrite_context": "local" if options.local else "remote",
            **({TRACE_FLAGS: str(int(TraceFlags.PROBE))} if options.probe else {}),
        },
    )


def _full_name(gecos: str, login: str) -> str:
    """The name in a password file's comment, where ``&`` stands for the login name."""
    return gecos.partition(",")[0].replace("&", login.capitalize())


def _sender(text: str, origin: str) -> str:
    if text in ("", "<>"):
        return ""
    given = _given_addresses(text, origin)
    if len(given) != 1:
        raise Failure(os.EX_DATAERR, f"-f {text}: expected one address")
    return given[0]


def _given_addresses(text: str, origin: str) -> list[str]:
    """An argument may hold several addresses, with names and commas, as in a header."""
    try:
        found = addresses(text)
    except AddressListError as error:
        raise Failure(os.EX_DATAERR, str(error)) from error
    if not found:
        raise Failure(os.EX_DATAERR, f"no address in {text!r}")
    return [mailbox.qualified(origin) for mailbox in found]


def _blocks(stdin: BinaryIO, dot_ends: bool) -> Iterator[bytes]:
    """
    The message, as it is asked for.

    :raises Failure: when it cannot be read.
    """
    try:
        if not dot_ends:
            while block := stdin.read(BLOCK):
                yield block
            return
        at_start = True
        while line := stdin.readline(BLOCK):
            if at_start and line.rstrip(b"\r\n") == b".":
                return
            at_start = line.endswith(b"\n")
            yield line
    except OSError as error:
        # Not an OSError any more: the queue would take it for one of its own.
        raise Failure(os.EX_NOINPUT, f"standard input: {error.strerror}") from error


def _queue(
    submission: Submission, parameters: Parameters, rules: Rules, seconds: Callable[[], float], random: Random
) -> str:
    """
    Put the message into the queue and say so.

    :raises Failure: when it is not queued.
    """
    clock = Clock()
    clock.rightNow = seconds()
    maillog = MailLog(seconds)
    try:
        message = prepare(submission, rules, clock.seconds(), random)
        # The header may have been long in coming.
        clock.rightNow = seconds()
        spool = _spool(parameters, clock, maillog)
        queue_id = at_once(spool.create(message))
    except IntakeError as error:
        code = os.EX_DATAERR if error.status.startswith(("5.1.", "5.5.")) else os.EX_UNAVAILABLE
        raise Failure(code, error.text) from error
    except OSError as error:
        code = _CODES.get(error.errno or 0, os.EX_IOERR)
        where = f"{error.filename}: " if error.filename else ""
        raise Failure(code, f"{where}{error.strerror or error}{_HINTS.get(code, '')}") from error
    _log(message, queue_id, parameters, maillog)
    poke(spool.directory, "W")
    return queue_id


def _spool(parameters: Parameters, clock: Clock, maillog: MailLog) -> Spool:
    """
    The queue directory, beside whatever service has it.

    :raises OSError: when it is not there.
    """
    files = DirectFiles()
    directory = parameters.text("queue_directory")
    # What root queues must belong to the service's user, who would not be allowed to read it otherwise.
    incoming = files.stat(os.path.join(directory, "incoming"))
    return Spool(
        directory,
        files,
        clock,
        maillog,
        hash_names=parameters.words("hash_queue_names"),
        hash_depth=parameters.integer("hash_queue_depth"),
        long_ids=parameters.boolean("enable_long_queue_ids"),
        owner=(incoming.st_uid, incoming.st_gid) if os.geteuid() == 0 else None,
        minimum_free=parameters.size("queue_minfree"),
        warn_after=parameters.seconds("delay_warning_time"),
    )


def _log(message: NewMessage, queue_id: str, parameters: Parameters, maillog: MailLog) -> None:
    """Say what was queued, in the service's log file where it has one that we may write to."""
    path = parameters.text("maillog_file")
    if not path or not os.path.exists(path):
        return
    # The message is queued: a log that cannot be written is no reason to say otherwise.
    with contextlib.suppress(OSError):
        log = MailLogFile(path, parameters.text("myhostname"), parameters.text("syslog_name"))
        maillog.publisher.addObserver(log)
        maillog.info("pickup", f"uid={os.getuid()} from=<{address.external(message.sender)}>", queue_id)
        log_arrival(maillog, queue_id, message)
        log.close()
