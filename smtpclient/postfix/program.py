"""
The programs for master.cf: ``smtpclient-smtp`` and ``smtpclient-lmtp``, in place of Postfix's ``smtp`` and ``lmtp``.

::

    smtp  unix  -  -  y  -  -  ../../../../opt/smtpclient/bin/smtpclient-smtp

``doc/under-postfix.rst`` is for the operator; what they do is in ``smtpclient.postfix.daemon``. Descriptors 0 to 2 lead
nowhere below master. So the first thing there is here is a way to the log that needs nothing of ours, or of anybody
else's, to be whole.

Promises: a process that cannot run says why in the log, with a traceback where it is a fault, and ends with an exit
status that has master wait before it starts another one.
"""

import os
import socket
import sys
import syslog
import time
import traceback


class Unusable(Exception):
    """This process cannot serve, for a reason that the operator knows by the words."""


def main() -> None:
    """Serve until there is nothing to do any more, or master has gone."""
    try:
        from smtpclient.postfix import daemon  # noqa: PLC0415 -- what is wrong with it is to be said in the log

        daemon.serve()
    except Unusable as why:
        _complain(f"fatal: {why}")
        sys.stderr.write(f"{sys.argv[0]}: {why}\n")
        sys.exit(os.EX_USAGE)
    except BaseException:
        _complain("fatal: the delivery agent cannot go on", *traceback.format_exc().splitlines())
        # Not by way of the interpreter's own end, which may want what is out of reach in a jail.
        os._exit(os.EX_SOFTWARE)
    os._exit(os.EX_OK)


def first_name() -> tuple[str, str]:
    """What the process is called in the log before it knows better: its tag, and its own name."""
    return os.environ.get("MAIL_LOGTAG", "") or "postfix", sys.argv[0].rpartition("/")[2]


def host_name() -> str:
    """The name of the machine, as master has it."""
    return os.environ.get("POSTLOG_HOSTNAME", "") or socket.gethostname()


def _complain(*lines: str) -> None:
    """Say it where an operator looks: postlogd(8) where there is one, else syslog."""
    name = "/".join(first_name())
    head = f"{time.strftime('%b %d %H:%M:%S')} {host_name().partition('.')[0]} {name}[{os.getpid()}]: "
    given = os.environ.get("POSTLOG_SERVICE", "")
    # In a jail the way to it begins elsewhere.
    for address in (given, "public/postlog") if given else ():
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
                log.settimeout(2.0)
                log.connect(address)
                for line in lines:
                    log.send(f"{head}{line[:1000]}".encode("utf-8", "replace"))
        except OSError:
            continue
        return
    syslog.openlog(name, syslog.LOG_PID, syslog.LOG_MAIL)
    for line in lines:
        syslog.syslog(syslog.LOG_CRIT, line)
