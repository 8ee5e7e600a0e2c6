"""What `Repository.verify` found."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass

from asynctensor.chunked.array_driver import Progress, ProgressFunction
from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo.damage import Damage
from asynctensor.kvstores.repo.findings import Findings, Tell
from asynctensor.kvstores.repo.inspection import Inspection
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.runtime.workers import shared_pool

#: Lines that a text shows.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at, and what is damaged.

    Attributes:
        source: The state that was looked at; None: all of them.
        counts: How much was read and found to be as it was written, by kind: ``"records"``,
            ``"parts"``, ``"values"``, ``"checkpoints"``, ``"pages"``, ``"names"``, ``"hints"``,
            and ``"bytes"``.
        damages: What is lost or damaged, at most 10,000.
        damaged: How much is, with what `damages` leaves out.
        repaired: Keys of damaged objects that were removed, as the log says the same.
    """

    source: str | None
    counts: Mapping[str, int]
    damages: tuple[Damage, ...]
    damaged: int
    repaired: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damaged

    @property
    def lost(self) -> tuple[Damage, ...]:
        """The damages that nothing else makes good."""
        return tuple(each for each in self.damages if not each.rebuildable)

    def raise_for_damage(self) -> None:
        """Raises what is damaged, if anything is.

        Raises:
            DataLoss: It names the first, and says how much there is.
        """
        if self.damages:
            raise DataLoss(f"{self.damaged} damaged: {self.damages[0]}", key=self.damages[0].object)

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.counts.items()))
        head = f"{self.damaged:,} damaged" if self.damaged else "nothing is damaged"
        lines = [f"  {each}" for each in self.damages[:_SHOWN]]
        if self.damaged > _SHOWN:
            lines.append(f"  and {self.damaged - _SHOWN:,} more")
        return "\n".join([f"{head}; looked at {counts}", *lines])


async def verified(
    state: RepositoryState, source: str | None, progress: ProgressFunction | None, repair: bool
) -> Verification:
    """See `Repository.verify`."""
    findings = Findings(_telling(progress) if progress is not None else None)
    inspection = Inspection(state.place, findings, repair=repair)
    if source is None:
        await inspection.everything()
    else:
        await inspection.state(state, source)
    return Verification(
        source,
        dict(findings.counts),
        tuple(findings.damages),
        findings.damaged,
        tuple(inspection.repaired),
    )


def _telling(progress: ProgressFunction) -> Tell:
    pool = shared_pool("data_copy", os.cpu_count() or 1)

    turn = asyncio.Lock()
    told = 0

    async def tell(done: int) -> None:
        nonlocal told
        # One call at a time, in order.
        async with turn:
            if done > told:
                told = done
                await pool.run(progress, Progress("verify", done, None))

    return tell
