"""`PinnedSamples`: samples of one version of their arrays, whatever is committed later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asynctensor.integrations.loading.samples import Samples
from asynctensor.integrations.pinning import Pinned, all_pinned
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future


@dataclass(frozen=True, slots=True)
class PinnedSamples:
    """Samples of one version.

    Attributes:
        samples: Of arrays that later commits do not change.
        snapshots: See `Pinned.snapshots`.
    """

    samples: Samples
    snapshots: tuple[str, ...]


def pinned_samples(
    samples: Samples, snapshots: Sequence[str] | None = None
) -> Future[PinnedSamples]:
    """The same samples of one version: see `all_pinned`."""
    pinning = all_pinned(samples.by_name, snapshots)
    if pinning.done():
        return Future.resolved(_pinned(samples, pinning.result()))
    return start(_once, samples, pinning)


async def _once(samples: Samples, pinning: Future[Pinned]) -> PinnedSamples:
    return _pinned(samples, await pinning)


def _pinned(samples: Samples, found: Pinned) -> PinnedSamples:
    made = samples.of(found.arrays) if found.snapshots else samples
    return PinnedSamples(made, found.snapshots)
