"""Tries mutants: ``python -m tests.mutants [NAME ...]``; fails if one survives."""

from __future__ import annotations

import argparse
import sys

from tests.mutants.laboratory import Laboratory, Trial, Verdict
from tests.mutants.mutant import Mutant, every


def try_all(mutants: list[Mutant]) -> list[Trial]:
    """Tries each, and says so.

    Raises:
        RuntimeError: Their tests fail without them.
    """
    with Laboratory() as laboratory:
        laboratory.check()
        sick = laboratory.healthy(mutant.test for mutant in mutants)
        if sick:
            raise RuntimeError(f"the tests fail without any mutant:\n{sick}")
        trials = []
        for mutant in mutants:
            trial = laboratory.tried(mutant)
            trials.append(trial)
            print(f"{trial.verdict.value:9}{trial.seconds:6.1f} s  {mutant.name}: {mutant.what}")
            if trial.text:
                print("    " + trial.text.replace("\n", "\n    "))
            sys.stdout.flush()
    return trials


def main() -> int:
    """Tries those that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all if none is named")
    names = parser.parse_args().names
    known = {mutant.name: mutant for mutant in every()}
    unknown = sorted(set(names) - set(known))
    if unknown:
        parser.error(f"no such mutant: {', '.join(unknown)}; there are {', '.join(known)}")
    trials = try_all([known[name] for name in names or known])
    killed = sum(trial.verdict is Verdict.KILLED for trial in trials)
    print(f"{killed} of {len(trials)} killed")
    return 0 if killed == len(trials) else 1


if __name__ == "__main__":
    sys.exit(main())
