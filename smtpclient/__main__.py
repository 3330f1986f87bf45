"""``python -m smtpclient``: the same as the command ``smtpclient``."""

import sys

from smtpclient.command.main import main

if __name__ == "__main__":
    sys.exit(main())
