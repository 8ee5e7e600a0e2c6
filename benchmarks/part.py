"""What one run measured, kept in a file: several runs, of several machines, make one page."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import machine
from benchmarks.case import Row
from benchmarks.runner import Options


@dataclass(frozen=True)
class Part:
    """One run.

    Attributes:
        rows: What it measured.
        commit: Of what.
        where: The machine, in words.
        versions: Of what took part.
        rounds: Values for each competitor.
        edge: Of the volume.
        seconds: After which a competitor has fewer values.
    """

    rows: list[Row]
    commit: str
    where: dict[str, str]
    versions: dict[str, str]
    rounds: int
    edge: int
    seconds: float

    @staticmethod
    def of(rows: list[Row], options: Options, commit: str | None = None) -> Part:
        """The part that this process has measured.

        Args:
            rows: What.
            options: How.
            commit: Of what, where the tree is no checkout.
        """
        return Part(
            rows,
            commit or machine.commit(),
            machine.describe(options.data_folder),
            machine.versions(),
            options.rounds,
            options.edge,
            options.seconds,
        )

    def save(self, path: Path) -> None:
        """Writes it to a file, for `load`."""
        path.write_bytes(pickle.dumps(self))

    @staticmethod
    def load(path: Path) -> Part:
        """What `save` wrote; of files of one's own only."""
        found = pickle.loads(path.read_bytes())
        if not isinstance(found, Part):
            raise SystemExit(f"{path} holds no part of a benchmark")
        return found

    @property
    def machine(self) -> str:
        """Where and of what, in a paragraph."""
        where = self.where
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"Commit {self.commit}. {where['processor']}, {where['memory']} of memory, "
            f"{where['system']},\nfile system {where['file system']}. Up to {self.rounds} values "
            f"each. {versions}."
        )


def joined(parts: list[Part]) -> list[Part]:
    """The parts, each row where it was measured: not where its library was missing."""
    measured = {row.name for part in parts for row in part.rows if row.best_of("asynctensor")}
    return [
        replace(
            part,
            rows=[
                row for row in part.rows if row.best_of("asynctensor") or row.name not in measured
            ],
        )
        for part in parts
    ]
