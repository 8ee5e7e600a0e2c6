"""`docs/reliability.md`: what `make torture` did, and what it found."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from asynctensor.testing.fault_presets import KINDS
from asynctensor.testing.history import Outcome
from tests.mutants.laboratory import Trial, Verdict
from tests.mutants.mutant import ROOT
from tests.torture.crashes import Crashes
from tests.torture.killing import Killed
from tests.torture.world import World

PAGE = ROOT / "docs" / "reliability.md"

_TEXTS: Mapping[str, str] = {
    "lost_request": "request lost",
    "lost_answer": "done, answer lost",
    "late": "landed after its client had given up",
    "duplicated": "delivered twice",
    "refused_own": "refused because of its own first delivery",
    "conflict": "409",
    "unavailable": "503",
    "throttled": "429",
    "hidden": "404 for what had been created",
    "stale_read": "older value",
    "torn_read": "value cut off or damaged",
    "stale_list": "older listing",
    "overwrites": '"only if absent" ignored',
    "creates": "condition ignored for a missing key",
}

_HEAD = """# Reliability

Written by `make torture`, and by nothing else.

Worlds of two to eight clients run on a deterministic event loop
(`asynctensor.testing.deterministic_loop`): virtual time, a seeded order of tasks, seeded chance.
The store below them loses, delays, repeats and misremembers (`asynctensor.testing.store_faults`),
and some clients go away in the middle of a transaction. Every world is judged by a checker of
Adya's anomalies (`asynctensor.testing.isolation_checker`; of `memory` also in the order of real
time), and by the invariants of its workload. A seed gives its world again:
`python -m tests.torture --first SEED --seeds 1 --verbose`.
"""

_KILLED = (
    "Processes commit to one repository on local files, three at a time, each commit to an array, "
    "its metadata and a value beside it, and are killed (`kill -9`) at any moment."
)
_CRASHED = (
    "Two processes commit to one repository on a disk that forgets what was not flushed, files and "
    "directories apart from each other. The machine crashes behind every call of the file system, "
    "and each state that the disk may then be left in is opened, checked against what had been "
    "acknowledged, and committed to once more."
)
_MUTANTS = (
    "Each takes one safeguard away (`tests/mutants/NAME.patch`) and must fail the test that it "
    "names."
)


@dataclass(slots=True)
class Tally:
    """What was played of one domain."""

    worlds: int = 0
    steps: int = 0
    seconds: float = 0.0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    workloads: Counter[str] = field(default_factory=Counter)
    anomalies: Counter[str] = field(default_factory=Counter)

    def add(self, world: World) -> None:
        """One world more."""
        self.worlds += 1
        self.steps += world.steps
        self.seconds += world.seconds
        self.outcomes += world.outcomes
        self.counts += world.counts
        self.workloads[world.workload] += 1
        self.anomalies += Counter(anomaly.kind for anomaly in world.anomalies)


def commit_id() -> str:
    """The commit of the tree, and whether it was changed since."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
    return git("rev-parse", "HEAD") + (" with changes" if changed else "")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown; numbers to the right."""
    lines = [list(map(_cell, row)) for row in rows]
    numbers = bool(lines) and isinstance(rows[0][-1], int | float)
    rule = ["---", *(["---:" if numbers else "---"] * (len(head) - 1))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [list(head), rule, *lines])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def page(
    tallies: Mapping[str, Tally],
    trials: Sequence[Trial],
    loop: Killed | None = None,
    crashed: Crashes | None = None,
    *,
    commit: str,
    first: int,
    last: int,
    seconds: float,
    versions: str,
) -> str:
    """The page."""
    names = list(tallies)
    every = list(tallies.values())
    worlds = [
        ("worlds", *(t.worlds for t in every)),
        *(
            (f"of them {name}", *(t.workloads[name] for t in every))
            for name in sorted({name for t in every for name in t.workloads})
        ),
        *(
            (f"transactions {outcome.value}", *(t.outcomes[outcome] for t in every))
            for outcome in Outcome
        ),
        ("steps of the loop", *(t.steps for t in every)),
        ("seconds of virtual time", *(t.seconds for t in every)),
        ("anomalies", *(t.anomalies.total() for t in every)),
    ]
    faults = [(_TEXTS[kind], *(t.counts[kind] for t in every)) for kind in KINDS]
    faults = [row for row in faults if any(row[1:])]
    found = sorted({kind for t in every for kind in t.anomalies})
    killed = sum(trial.verdict is Verdict.KILLED for trial in trials)
    parts = [
        _HEAD,
        f"Commit `{commit}`, seeds {first} to {last}, {seconds / 60:.1f} minutes, {versions}.",
        "## Worlds",
        table(["", *names], worlds),
        "## Faults",
        table(["", *names], faults),
    ]
    if found:
        parts += [
            "## Anomalies",
            table(["", *names], [(kind, *(t.anomalies[kind] for t in every)) for kind in found]),
        ]
    if loop is not None:
        parts += [
            "## Killed processes",
            _KILLED,
            table(
                ["", "repo"],
                [
                    ("processes killed", loop.kills),
                    ("commits acknowledged", loop.acknowledged),
                    ("commits in the log afterwards", loop.landed),
                    ("acknowledged and lost, half there, or there twice", len(loop.wrong)),
                ],
            ),
        ]
    if crashed is not None:
        parts += [
            "## Crash points",
            _CRASHED,
            table(
                ["", "repo"],
                [
                    ("crash points", crashed.points),
                    (
                        "different states, all recovered" if not crashed.wrong else "states",
                        crashed.states,
                    ),
                    ("commits acknowledged", crashed.commits),
                    ("acknowledged and lost, or half there", len(crashed.wrong)),
                ],
            ),
        ]
    if trials:
        parts += [
            "## Mutants",
            f"{killed} of {len(trials)} killed. {_MUTANTS}",
            table(
                ["mutant", "what is missing", ""],
                [(f"`{t.mutant.name}`", t.mutant.what, t.verdict.value) for t in trials],
            ),
        ]
    return "\n\n".join(part.strip() for part in parts) + "\n"
