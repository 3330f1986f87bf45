"""
A delivery agent from its start below Postfix's master to its end.

What happens at the start, in this order, since each step takes away what the ones before have needed:

1. as root, and outside of the jail: the log is opened, main.cf read, what it names read (keys, passwords), and all
   code loaded that this process will use;
2. root is given up, and the process shut into the queue directory, as master.cf wants it;
3. requests are taken from the sockets that master has opened.

Promises: where main.cf cannot be honoured the process runs all the same, and defers all mail.

Does not: say in the log why it cannot run (``smtpclient.postfix.program``), or handle SIGTERM: ``postfix stop`` ends it
at once, as it ends Postfix's own, and what was under way is still in the queue.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, cast

from twisted.logger import globalLogBeginner

from smtpclient import memory
from smtpclient.config.parameters import ConfigurationError
from smtpclient.interfaces import IDeferService
from smtpclient.observe.maillog import MailLog
from smtpclient.postfix import descriptors as masters
from smtpclient.postfix import main_cf, privileges, reports
from smtpclient.postfix.agent import Agent, OutOfOrder, put_together
from smtpclient.postfix.bare_log import first_name, host_name
from smtpclient.postfix.daemon_log import DaemonLog, FromTwisted
from smtpclient.postfix.invocation import Invocation, invocation
from smtpclient.postfix.serving import Serving
from smtpclient.preload import preload_libraries
from smtpclient.queue import descriptors
from smtpclient.queue.files import Files
from smtpclient.queue.spool import Spool
from smtpclient.report.journal import Journal
from smtpclient.tls.sts_cache import FOLDER


class Unusable(Exception):
    """This process cannot serve, for a reason that the operator knows by the words."""


def serve() -> None:
    """
    Serve until there is nothing to do any more, or master has gone.

    :raises Unusable: when the process was not started by a master.
    :raises Exception: when it cannot run.
    """
    log = DaemonLog(*first_name(), os.environ.get("POSTLOG_SERVICE", ""), host_name())
    maillog = MailLog()
    maillog.write_to(log.write)
    try:
        start = invocation(sys.argv, os.environ)
        masters.keep_to_ourselves(start.sockets)
    except (ValueError, masters.NoMaster) as why:
        raise Unusable(str(why)) from None
    _serve(start, maillog, log)


def _serve(start: Invocation, maillog: MailLog, log: DaemonLog) -> None:
    from twisted.internet import reactor  # noqa: PLC0415 -- there is none before somebody wants one

    anything: Any = reactor
    globalLogBeginner.beginLoggingTo([FromTwisted(maillog, start.process)], redirectStandardIO=False)
    configuration = main_cf.read(start)
    log.rename(configuration.log_name, start.process)
    descriptors.raise_limit()
    agent = _agent(start, configuration, anything, maillog)
    if start.gives_up_root or start.shuts_itself_in:
        preload_libraries()
    privileges.drop(
        configuration.process.mail_owner,
        configuration.queue_directory,
        gives_up_root=start.gives_up_root,
        shuts_itself_in=start.shuts_itself_in,
    )
    Serving(start, configuration.process, agent, anything, maillog, anything.stop).begin()
    # The reactor wants the end of programs to be known, and takes SIGTERM for itself when it starts.
    anything.callWhenRunning(_die_when_told)
    memory.end_loading()
    anything.run()


def _die_when_told() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _agent(start: Invocation, configuration: main_cf.Configuration, reactor: Any, maillog: MailLog) -> Agent:
    """What delivers, or what takes its place where it cannot."""
    queue_directory = "/" if start.shuts_itself_in else configuration.queue_directory
    problems: Sequence[str]
    try:
        _make_folder(configuration)
        return put_together(start, configuration, reactor=reactor, maillog=maillog, queue_directory=queue_directory)
    except ConfigurationError as why:
        problems = why.problems
    except OSError as why:
        problems = [str(why)]
    for problem in problems:
        maillog.error(start.process, problem)
    maillog.error(start.process, f"nothing is delivered by the service {start.service} until this is mended")
    return OutOfOrder(_deferrals(queue_directory, reactor, maillog), maillog, reactor.seconds, start.process)


def _make_folder(configuration: main_cf.Configuration) -> None:
    """
    Make what only root can: the folder in which policies of MTA-STS are kept, where they are asked for.

    :raises OSError: when that cannot be done.
    """
    if configuration.parameters is not None and configuration.parameters.text("smtp_mta_sts") != "none":
        privileges.make_folder(f"{configuration.queue_directory}/{FOLDER}", configuration.process.mail_owner)


def _deferrals(queue_directory: str, reactor: Any, maillog: MailLog) -> IDeferService:
    """Postfix's defer(8), where there are no parameters to make anything else of."""
    files = Files(reactor)
    spool = Spool(queue_directory, files, reactor, maillog)
    service = reports.at_a_queue("defer", reactor, reactor, queue_directory, Journal(spool, files, reactor))
    return cast(IDeferService, service)
