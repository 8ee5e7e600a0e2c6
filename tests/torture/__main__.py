"""Plays worlds until all seeds or all minutes are used: ``python -m tests.torture --help``.

Fails if a world shows an anomaly, or a mutant survives.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.__main__ import try_all
from tests.mutants.laboratory import Trial, Verdict
from tests.mutants.mutant import every
from tests.torture import crashes, plain, programmes
from tests.torture.domains import DOMAINS
from tests.torture.killing import Killed, run
from tests.torture.report import PAGE, Tally, commit_id, page
from tests.torture.world import run_world

#: Anomalous worlds that are shown; their number is reported in any case.
_SHOWN = 20


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10**9, help="worlds of each domain")
    parser.add_argument("--minutes", type=float, default=5.0, help="at most; 0: no limit")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument(
        "--domain", action="append", choices=DOMAINS, help="which; all if not given"
    )
    parser.add_argument(
        "--kills", type=int, default=0, help="processes to kill while they commit to files"
    )
    parser.add_argument(
        "--crashes", type=int, default=0, help="commits to crash the machine in, everywhere"
    )
    parser.add_argument(
        "--programmes", type=float, default=0.0, help="seconds of processes that do anything"
    )
    parser.add_argument("--mutants", action="store_true", help="try the mutants as well")
    parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}")
    parser.add_argument("--verbose", action="store_true", help="say how each world went")
    return parser.parse_args()


def play(options: argparse.Namespace) -> tuple[dict[str, Tally], int]:
    """Plays the worlds, each seed in all domains; gives what came of it, and the last seed."""
    names = options.domain or list(DOMAINS)
    tallies = {name: Tally() for name in names}
    began = time.monotonic()
    shown = 0
    seed = options.first
    for seed in range(options.first, options.first + options.seeds):
        for name in names:
            world = run_world(seed, DOMAINS[name])
            tallies[name].add(world)
            if options.verbose or (world.anomalies and shown < _SHOWN):
                print(f"{name}: {world}", flush=True)
                shown += bool(world.anomalies)
        if options.minutes and time.monotonic() - began > options.minutes * 60:
            break
    return tallies, seed


def attacked(seconds: float, seed: int) -> int:
    """Lets processes do anything, and be killed, for so long; how much was wrong then.

    First to a repository; then, for half as long, to a plain array.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = programmes.run(Path(folder), seconds=seconds, children=3, seed=seed)
    tried = ", ".join(f"{n:,} {kind} {end}" for (kind, end), n in sorted(found.counts.items()))
    print(f"programmes: {found.killed:,} processes killed; {tried}; wrong: {found.wrong or 0}")
    with tempfile.TemporaryDirectory() as folder:
        parts = plain.run(Path(folder), seconds=seconds / 2, children=3, seed=seed)
    print(
        f"plain layouts: {parts.killed:,} processes killed; {parts.acknowledged:,} writes "
        f"acknowledged; wrong: {parts.wrong or 0}"
    )
    return len(found.wrong) + len(parts.wrong)


def main() -> int:
    """Does what the command line says."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of strings is part of a world.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.torture", *sys.argv[1:]])
    options = arguments()
    commit = commit_id()
    began = time.monotonic()
    tallies, last = play(options)
    seconds = time.monotonic() - began
    for name, tally in tallies.items():
        outcomes = ", ".join(f"{count:,} {o.value}" for o, count in tally.outcomes.items())
        print(f"{name}: {tally.worlds:,} worlds; transactions: {outcomes}", end="; ")
        print(f"{tally.counts.total():,} faults; anomalies: {dict(tally.anomalies) or 0}")
    killed: Killed | None = None
    if options.kills:
        with tempfile.TemporaryDirectory() as folder:
            rounds = max(1, options.kills // 3)
            killed = run(Path(folder), kills=rounds, children=3, seed=options.first)
        print(f"killed: {killed}")
    crashed: crashes.Crashes | None = None
    if options.crashes:
        with tempfile.TemporaryDirectory() as folder:
            crashed = crashes.run(Path(folder), commits=options.crashes, seed=options.first)
        print(f"crashed: {crashed}")
    wrong = attacked(options.programmes, options.first) if options.programmes else 0
    trials: list[Trial] = try_all(every()) if options.mutants else []
    if options.write:
        versions = f"Python {platform.python_version()}, {platform.system()}"
        text = page(
            tallies,
            trials,
            killed,
            crashed,
            commit=commit,
            first=options.first,
            last=last,
            seconds=seconds,
            versions=versions,
        )
        PAGE.write_text(text, encoding="utf-8")
    failed = any(tally.anomalies for tally in tallies.values())
    failed = failed or (killed is not None and bool(killed.wrong))
    failed = failed or (crashed is not None and bool(crashed.wrong))
    failed = failed or bool(wrong)
    survived = any(trial.verdict is not Verdict.KILLED for trial in trials)
    return 1 if failed or survived else 0


if __name__ == "__main__":
    sys.exit(main())
