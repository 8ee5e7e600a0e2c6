"""`ResumeState`: how far a loader has come, in a few bytes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from asynctensor.errors import FailedPrecondition, InvalidArgument

_FORMAT = 2
_NUMBERS = ("seed", "epoch", "position", "window")


@dataclass(frozen=True, slots=True)
class ResumeState:
    """How far a loader has come.

    Attributes:
        data: `Samples.identity`: which data, in which form.
        snapshots: The ids of the snapshots that stand for branches; see `Loader.pin`.
        seed: Of the shuffle.
        window: Of the shuffle; 0 if there is none.
        epoch: From 0.
        position: Samples of the epoch that all ranks together have had.
    """

    data: str
    snapshots: tuple[str, ...]
    seed: int
    window: int
    epoch: int
    position: int

    def to_json(self) -> dict[str, Any]:
        """Itself as JSON."""
        return {"format": _FORMAT, **asdict(self), "snapshots": list(self.snapshots)}

    @classmethod
    def from_json(cls, value: object) -> ResumeState:
        """What `to_json` gave.

        Raises:
            InvalidArgument: It is something else.
        """
        if not isinstance(value, Mapping) or value.get("format") != _FORMAT:
            raise InvalidArgument(
                f"this is no state of a loader of this version (format {_FORMAT}): {value!r:.200}"
            )
        for name in _NUMBERS:
            number = value.get(name)
            if not isinstance(number, int) or isinstance(number, bool) or number < 0:
                raise InvalidArgument(
                    f"a loader's state has a number of at least 0 as {name!r}, got {number!r:.200}"
                )
        if not isinstance(value.get("data"), str):
            raise InvalidArgument("a loader's state says in 'data' which samples it is of")
        snapshots = value.get("snapshots")
        if not isinstance(snapshots, list | tuple) or not all(
            isinstance(each, str) for each in snapshots
        ):
            raise InvalidArgument(
                f"a loader's state has ids of snapshots in 'snapshots', got {snapshots!r:.200}"
            )
        numbers = (value[name] for name in ("seed", "window", "epoch", "position"))
        return cls(value["data"], tuple(snapshots), *numbers)

    def check(self, other: ResumeState) -> None:
        """Makes sure that it goes on where `other`, of the loader at hand, would.

        Raises:
            FailedPrecondition: It is of other data, or of another order.
        """
        if self.data != other.data:
            raise FailedPrecondition(
                "the state is of other samples: other arrays, another snapshot of them, or cut "
                "out in another form; open what it was made with, or begin anew"
            )
        if (self.seed, self.window) != (other.seed, other.window):
            raise FailedPrecondition(
                f"the state is of an order with seed={self.seed} and window={self.window}, this "
                f"loader's has seed={other.seed} and window={other.window}"
            )
