"""
The measurements, one command each: ``python -m bench.run ROW``. ``make bench`` is ``quick``.

Only ratios mean anything, and only those of one run: machines differ, and what else they do differs from minute to
minute.
"""

import argparse

from bench import rows, workers

ROWS = {
    "quick": rows.quick,
    "one": rows.one,
    "many": rows.many,
    "recipients": rows.recipients,
    "large": rows.large,
    "submit": rows.submit,
    "submit-once": rows.submit_once,
    "depth": rows.depth,
    "width": rows.width,
    "huge": rows.huge,
    "fairness": rows.fairness,
    "fairness-once": rows.fairness_once,
    "workers": workers.workers,
    "profile": rows.profile,
}


def main() -> None:
    """Measure what is asked for."""
    words = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    words.add_argument("row", choices=ROWS, help="; ".join(f"{name}: {row.__doc__}" for name, row in ROWS.items()))
    words.add_argument("--count", type=int, default=0, help="messages, files, sessions or megabytes; 0: as is usual")
    words.add_argument("--rounds", type=int, default=2, help="rounds of both systems; medians of pairs are told")
    words.add_argument("--seconds", type=float, default=10.0, help="how long a steady state is watched")
    words.add_argument("--dead", type=int, default=0, help="fairness-once: messages for the dead host")
    words.add_argument(
        "--directory",
        default="",
        help="depth: keep the files here, or use those that are here; submit-once: an empty one",
    )
    words.add_argument("--output", default="var/bench/hot-path.svg", help="profile: where the flame graph goes")
    arguments = words.parse_args()
    ROWS[arguments.row](arguments)


if __name__ == "__main__":
    main()
