"""
Fuzz: ``python -m tests.fuzz.run [--seconds N] [--seed N] [TARGET...]``.

Gives each target its share of the time, prints how many inputs it has read and how many lines they reached, and writes
an input that broke a promise to ``var/fuzz/``. Exits with 1 when there was one.
"""

import argparse
import sys
import time
import traceback
from pathlib import Path
from random import Random

from tests.fuzz.mutation import Corpus, Lines
from tests.fuzz.targets import TARGETS, Target

GUIDED = 20  # every so many inputs one is traced: tracing costs ten times what reading does


def fuzz(target: Target, random: Random, seconds: float) -> int:
    """
    Fuzz one target.

    :return: how many inputs broke its promise.
    """
    corpus, lines = Corpus(target.seeds, random), Lines(target.modules)
    end, inputs, broken = time.monotonic() + seconds, 0, 0
    for seed in target.seeds:
        lines.reached_new(lambda seed=seed: target.read(seed))
    while time.monotonic() < end and broken < 10:
        data = corpus.draw()
        inputs += 1
        try:
            if inputs % GUIDED:
                target.read(data)
            elif lines.reached_new(lambda data=data: target.read(data)):
                corpus.inputs.append(data)
        except Exception:
            broken += 1
            place = Path("var/fuzz")
            place.mkdir(parents=True, exist_ok=True)
            path = place / f"{target.name.replace(' ', '-')}-{inputs}"
            path.write_bytes(data)
            print(f"{target.name}: {path}\n{traceback.format_exc()}")
    print(f"{target.name}: {inputs} inputs, {len(lines)} lines, {len(corpus.inputs)} kept, {broken} broken", flush=True)
    return broken


def main() -> int:
    """Fuzz all targets, or those that are named."""
    parser = argparse.ArgumentParser(description="Fuzz everything that reads bytes from outside.")
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    wanted = [target for target in TARGETS if not arguments.targets or target.name in arguments.targets]
    random = Random(arguments.seed)
    broken = sum(fuzz(target, random, arguments.seconds / len(wanted)) for target in wanted)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
