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
from pathlib import Path

from tests.oracle import FLOOR, WORK, floor, run

RECORDED = "expected_tls_postfix37.json"
TOTAL = re.compile(r"(\d+) of (\d+) cells match")


def main() -> int:
    """Run all cells; the exit code is the verdict."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0].strip())
    options.add_argument("oracle", type=Path, metavar="DIR", help="where run_agent.py and compare.py are")
    oracle = options.parse_args().oracle.resolve()
    if not (oracle / "run_agent.py").exists():
        options.error(f"there is no run_agent.py in {oracle}")
    WORK.mkdir(parents=True, exist_ok=True)
    ours = WORK / "tls.json"
    ours.unlink(missing_ok=True)
    agent = ["--agent", "agents.smtpclient_tls:SmtpclientTlsAgent"]
    run(oracle, "run_agent.py", *agent, "--workdir", WORK / "tls", "--out", ours)
    if not ours.exists():
        print("the cells did not run")
        return 1
    total = TOTAL.search(run(oracle, "compare.py", "-q", RECORDED, ours))
    matching = int(total[1]) if total else 0
    wanted = floor("tls")
    print(f"tls: {matching} match, {wanted} must (tests/oracle.floor)")
    if matching > wanted:
        print(f"raise the floor in {FLOOR.name} to {matching}")
    return 0 if matching >= wanted else 1


if __name__ == "__main__":
    sys.exit(main())
