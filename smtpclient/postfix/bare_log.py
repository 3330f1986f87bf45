"""
A way to the log that needs nothing of ours, or of anybody else's, to be whole.

Descriptors 0 to 2 lead nowhere below Postfix's master, so a process that cannot even be loaded has to say so elsewhere.

Does not: serve as the log of a process that works (``smtpclient.postfix.daemon_log``).
"""

import os
import socket
import sys
import syslog
import time


def first_name() -> tuple[str, str]:
    """What the process is called in the log before it knows better: its tag, and its own name."""
    return os.environ.get("MAIL_LOGTAG", "") or "postfix", sys.argv[0].rpartition("/")[2]


def host_name() -> str:
    """The name of the machine, as master has it."""
    return os.environ.get("POSTLOG_HOSTNAME", "") or socket.gethostname()


def complain(*lines: str) -> None:
    """Say it where an operator looks: postlogd(8) where there is one, else syslog."""
    name = "/".join(first_name())
    head = f"{time.strftime('%b %e %H:%M:%S')} {host_name().partition('.')[0]} {name}[{os.getpid()}]: "
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
