"""
Deliver the scripted scenarios of a behaviour oracle, and compare the outcomes with those recorded there.

Not a test module: ``make oracle ORACLE=DIR`` runs it. ``DIR`` holds ``run_agent.py`` with an adapter for smtpclient,
``compare.py``, and the outcomes recorded from Postfix. ``tests/oracle.floor`` says how many scenarios of each profile
must match; fewer is a failure, more a hint to raise it.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TESTS = Path(__file__).resolve().parent
FLOOR = TESTS / "oracle.floor"
WORK = TESTS.parent / "var" / "oracle"
RECORDED = {
    "seed": ["expected_postfix37.json"],
    "stock": ["--against", "postfix37", "expected_postfix37_stock.json"],
}
TOTAL = re.compile(r"(\d+) match, (\d+) mismatch, (\d+) not run")


def floor(profile: str) -> int:
    """How many scenarios of a profile must match."""
    lines = (line.split() for line in FLOOR.read_text().splitlines() if not line.startswith("#"))
    return int(dict(line for line in lines if line)[profile])


def run(oracle: Path, *words: str | Path) -> str:
    """
    Run one of the oracle's programs, let its output through, and return it.

    Its exit code is no verdict: a mismatch that was there before is not a failure.
    """
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    command = [sys.executable, str(oracle / words[0]), *(str(word) for word in words[1:])]
    child = subprocess.Popen(command, cwd=oracle, env=environment, stdout=subprocess.PIPE, text=True)
    lines = []
    for line in child.stdout or ():
        print(line, end="", flush=True)
        lines.append(line)
    child.wait()
    return "".join(lines)


def located(options: argparse.ArgumentParser) -> tuple[argparse.Namespace, Path]:
    """The command line, and where the oracle is that it names."""
    options.add_argument("oracle", type=Path, metavar="DIR", help="where run_agent.py and compare.py are")
    arguments = options.parse_args()
    oracle = arguments.oracle.resolve()
    if not (oracle / "run_agent.py").exists():
        options.error(f"there is no run_agent.py in {oracle}")
    return arguments, oracle


def judged(oracle: Path, profile: str, agent: Sequence[str], recorded: Sequence[str], total: re.Pattern[str]) -> int:
    """
    Have an agent deliver, and compare.

    :param profile: a name in ``tests/oracle.floor``.
    :param agent: what ``run_agent.py`` is told of the agent.
    :param recorded: what ``compare.py`` is told of the outcomes to compare with.
    :param total: how it says how many match, first of all numbers.
    :return: the exit code: whether enough match.
    """
    WORK.mkdir(parents=True, exist_ok=True)
    ours = WORK / f"{profile}.json"
    ours.unlink(missing_ok=True)
    run(oracle, "run_agent.py", *agent, "--workdir", WORK / profile, "--out", ours)
    if not ours.exists():
        print("nothing did run")
        return 1
    found = total.search(run(oracle, "compare.py", "-q", *recorded, ours))
    matching = int(found[1]) if found else 0
    wanted = floor(profile)
    print(f"{profile}: {matching} match, {wanted} must (tests/oracle.floor)")
    if matching > wanted:
        print(f"raise the floor in {FLOOR.name} to {matching}")
    return 0 if matching >= wanted else 1


def main() -> int:
    """Run one profile; the exit code is the verdict."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0].strip())
    options.add_argument("--profile", choices=sorted(RECORDED), default="seed")
    arguments, oracle = located(options)
    agent = ["--agent", "agents.smtpclient:SmtpclientAgent", "--profile", arguments.profile]
    return judged(oracle, arguments.profile, agent, RECORDED[arguments.profile], TOTAL)


if __name__ == "__main__":
    sys.exit(main())
