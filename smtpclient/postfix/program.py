"""
The programs for master.cf: ``smtpclient-smtp`` and ``smtpclient-lmtp``, in place of Postfix's ``smtp`` and ``lmtp``.

::

    smtp  unix  -  -  y  -  -  ../../../../opt/smtpclient/bin/smtpclient-smtp

``doc/under-postfix.rst`` is for the operator; what they do is in ``smtpclient.postfix.daemon``.

Promises: a process that cannot run says why in the log, with a traceback where it is a fault, and ends with an exit
status that has master wait before it starts another one.
"""

import os
import sys
import traceback

from smtpclient import memory
from smtpclient.postfix.bare_log import complain


def main() -> None:
    """Serve until there is nothing to do any more, or master has gone."""
    memory.begin_to_load()
    try:
        from smtpclient.postfix.daemon import Unusable, serve  # noqa: PLC0415 -- it may be what is wrong

        try:
            serve()
        except Unusable as why:
            complain(f"fatal: {why}")
            sys.stderr.write(f"{sys.argv[0]}: {why}\n")
            os._exit(os.EX_USAGE)
    except BaseException:
        complain("fatal: the delivery agent cannot go on", *traceback.format_exc().splitlines())
        # Not by way of the interpreter's own end, which may want what is out of reach in a jail.
        os._exit(os.EX_SOFTWARE)
    os._exit(os.EX_OK)
