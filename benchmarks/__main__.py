"""``python -m benchmarks``: runs the cases, prints the table, and writes docs/performance.md."""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from pathlib import Path

from benchmarks import report
from benchmarks.case import Row, WrongResult
from benchmarks.layouts import load_volume
from benchmarks.part import Part, joined
from benchmarks.runner import Options, run_case

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a small volume, two rounds, default settings"
    )
    parser.add_argument(
        "--only", metavar="PATTERN", help="cases whose name matches: read-*-blosc (--list)"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--rounds", type=int, help="values for each competitor (7; quick: 2)")
    parser.add_argument("--data", type=Path, default=HERE / ".data", help="folder for arrays")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write docs/performance.md even though the run is quick or partial",
    )
    parser.add_argument("--save", type=Path, help="keep what was measured in this file")
    parser.add_argument(
        "--join", type=Path, nargs="+", help="write docs/performance.md from such files"
    )
    parser.add_argument("--commit", help="what is measured, where the tree is no checkout")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    if arguments.join:
        write(joined([Part.load(path) for path in arguments.join]))
        return 0
    # Here, since each measuring process imports this module.
    from benchmarks.every_case import ALL

    chosen = [
        case
        for case in ALL
        if fnmatch.fnmatchcase(case.name, arguments.only or "*")
        # Four peers, and no bound to hold: too long for a quick look at everything.
        and not (arguments.quick and not arguments.only and "unsynced" in case.name)
    ]
    if arguments.list:
        print("\n".join(case.name for case in chosen))
        return 0
    options = Options(
        data_folder=arguments.data,
        edge=256 if arguments.quick else 512,
        rounds=arguments.rounds or (2 if arguments.quick else 7),
        seconds=3.0 if arguments.quick else 8.0,
        quick=arguments.quick,
    )
    started = time.perf_counter()
    load_volume(options.data_folder, options.edge)
    rows: list[Row] = []
    status = 0
    for case in chosen:
        try:
            measured = run_case(case, options, say)
        except WrongResult as error:
            status = 1
            print(f"\nWRONG RESULT: {error}", file=sys.stderr)
            continue
        rows += measured
        say("")
        for row in measured:
            print(report.summary(row), flush=True)
    print(f"\n{report.table(rows)}")
    for line in report.failures(rows):
        print(f"not measured: {line}", file=sys.stderr)
    part = Part.of(rows, options, arguments.commit)
    if arguments.save:
        part.save(arguments.save)
    elif arguments.write or not (arguments.quick or arguments.only):
        write([part])
    print(f"{time.perf_counter() - started:.0f} s")
    return status


def write(parts: list[Part]) -> None:
    """Writes docs/performance.md and its plot."""
    report.draw([row for part in parts for row in part.rows], DOCS / "performance.svg")
    (DOCS / "performance.md").write_text(report.document(parts), encoding="utf-8")
    print(f"written: {DOCS / 'performance.md'}")


def say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
