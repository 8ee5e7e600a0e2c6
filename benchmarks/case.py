"""What a measured case is, and what comes of it."""

from __future__ import annotations

import statistics
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from benchmarks.layouts import Volume


@dataclass(frozen=True)
class Scene:
    """Where a case runs.

    Attributes:
        folder: An empty folder of the case's own.
        data: The volume, mapped read-only.
        quick: Whether a rough answer in seconds is wanted.
        server: What serves `folder`, where the case is a `ServedCase`.
    """

    folder: Path
    data: Volume
    quick: bool
    server: Any = None


@dataclass(frozen=True)
class Target:
    """What the project wants of a case.

    Attributes:
        at_least: The bound to hold.
        aim: The bound to strive for.
        is_ratio: Whether the bounds are of the ratio to the best peer (more is better); else they
            are of the measured value itself (less is better).
    """

    at_least: float
    aim: float
    is_ratio: bool = True


@dataclass(frozen=True)
class RowSpec:
    """One value that a case measures, and so one line of the table.

    Attributes:
        title: For readers.
        unit: ``"s"``, ``"ms"``, ``"us"`` or ``"MiB"``.
        target: What asynctensor is to reach; None: shown only.
        key: Which of the values that `Case.measure` returns.
    """

    title: str
    unit: str
    target: Target | None = None
    key: str = ""


class Case(Protocol):
    """One measurement, in which less is better.

    `prepare` runs once in a process of its own; `measure` runs in a process that lives as long as
    its peer and setting are measured, again and again and in turn with the others. It compares
    results before it returns a value, and raises `WrongResult` where they differ.
    """

    @property
    def name(self) -> str:
        """For ``--only``; unique."""
        ...

    @property
    def rows(self) -> tuple[RowSpec, ...]:
        """What is shown of it."""
        ...

    @property
    def peers(self) -> tuple[str, ...]:
        """Who takes part; asynctensor first."""
        ...

    @property
    def fresh_process(self) -> bool:
        """Whether each measurement needs a new process."""
        ...

    def prepare(self, scene: Scene) -> None:
        """Writes what the peers are to read."""
        ...

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        """Measures once: a value for the key of each row."""
        ...


@runtime_checkable
class ServedCase(Case, Protocol):
    """A case that reads from a server, which runs as long as the case is measured."""

    def serve(self, folder: Path) -> AbstractContextManager[object]:
        """Starts it, after `prepare`.

        Args:
            folder: The case's folder, to be served.

        Returns:
            What becomes `Scene.server`; it must be of a kind that another process can be sent.
        """
        ...


class WrongResult(Exception):
    """What a peer returned or wrote is not what it should be."""


@dataclass
class Outcome:
    """All values of one peer and setting in one row of the table."""

    peer: str
    setting: str
    values: list[float] = field(default_factory=list)
    error: str | None = None

    @property
    def median(self) -> float:
        """Of the values, in the row's unit."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest value."""
        return min(self.values), max(self.values)


@dataclass
class Row:
    """One line of the table, measured."""

    name: str
    spec: RowSpec
    outcomes: list[Outcome]

    def best_of(self, peer: str) -> Outcome | None:
        """The better setting of a peer, None where it measured nothing."""
        measured = [o for o in self.outcomes if o.peer == peer and o.values]
        return min(measured, key=lambda o: o.median, default=None)

    def best_peer(self) -> Outcome | None:
        """The best of all but asynctensor."""
        rivals = [o for o in self.outcomes if o.peer != "asynctensor" and o.values]
        return min(rivals, key=lambda o: o.median, default=None)

    def ratio(self) -> float | None:
        """How many times as fast as the best peer asynctensor is."""
        ours, best = self.best_of("asynctensor"), self.best_peer()
        return best.median / ours.median if ours and best and ours.median else None

    def verdict(self) -> str:
        """``"aim"``, ``"held"``, ``"short"``, or ``""`` where nothing was asked or measured."""
        ours = self.best_of("asynctensor")
        if self.spec.target is None or ours is None:
            return ""
        if self.spec.target.is_ratio:
            value = self.ratio()
            if value is None:
                return ""
            value, bounds = -value, (-self.spec.target.aim, -self.spec.target.at_least)
        else:
            value, bounds = ours.median, (self.spec.target.aim, self.spec.target.at_least)
        return "aim" if value <= bounds[0] else "held" if value <= bounds[1] else "short"
