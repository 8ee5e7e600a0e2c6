"""`TensorStore.StorageStatistics`: what is stored of a view."""

from __future__ import annotations

from dataclasses import dataclass

from asynctensor.chunked.array_driver import ArrayDriver
from asynctensor.index_space.transform import IndexTransform


@dataclass(slots=True, repr=False)
class StorageStatistics:
    """What is stored of a view; None where it was not asked. ``TensorStore.StorageStatistics``.

    >>> store = at.open("memory://a/|zarr3:", create=True, dtype=at.uint8, shape=[3]).result()
    >>> store.storage_statistics(query_not_stored=True).result()
    TensorStore.StorageStatistics(not_stored=True, fully_stored=None)

    Attributes:
        not_stored: Whether no chunk of the view is stored.
        fully_stored: Whether every chunk of the view is stored.
    """

    not_stored: bool | None = None
    fully_stored: bool | None = None

    def __repr__(self) -> str:
        return (
            f"TensorStore.StorageStatistics(not_stored={self.not_stored}, "
            f"fully_stored={self.fully_stored})"
        )


async def storage_statistics(
    driver: ArrayDriver, transform: IndexTransform, none_stored: bool, all_stored: bool
) -> StorageStatistics:
    """Whether no chunk of a view is stored, or every one; only what is asked is looked for."""
    statistics = StorageStatistics()
    if none_stored or all_stored:
        found, total = await driver.stored_chunks(transform, not all_stored)
        if none_stored:
            statistics.not_stored = found == 0
        if all_stored:
            statistics.fully_stored = found == total
    return statistics
