"""
Deliver under every TLS policy to every situation of a TLS oracle, and compare the outcomes with those recorded there.

Not a test module: ``make tls-oracle ORACLE=DIR`` runs it. ``DIR`` holds ``run_agent.py`` with an adapter for
smtpclient, ``compare.py``, and the outcomes recorded from Postfix. ``tests/oracle.floor`` says how many cells must
match at the level ``core``; fewer is a failure, more a hint to raise it. Those that differ on purpose are in
``doc/deviations.rst``.
"""

import argparse
import re
import sys

from tests.oracle import judged, located

RECORDED = "expected_tls_postfix37.json"
TOTAL = re.compile(r"(\d+) of (\d+) cells match")


def main() -> int:
    """Run all cells; the exit code is the verdict."""
    _, oracle = located(argparse.ArgumentParser(description=__doc__.partition("\n\n")[0].strip()))
    return judged(oracle, "tls", ["--agent", "agents.smtpclient_tls:SmtpclientTlsAgent"], [RECORDED], TOTAL)


if __name__ == "__main__":
    sys.exit(main())
