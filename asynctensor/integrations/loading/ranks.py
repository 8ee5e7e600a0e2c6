"""Which of several processes that load together this one is. Pure."""

from __future__ import annotations

from asynctensor.errors import InvalidArgument


def given_ranks(
    rank: int | None, world_size: int | None, known: tuple[int, int] = (0, 1)
) -> tuple[int, int]:
    """This process's rank and how many there are: as given, else as `known`.

    Raises:
        InvalidArgument: Only one is given, or there is no such rank.
    """
    if rank is None and world_size is None:
        return known
    if rank is None or world_size is None:
        raise InvalidArgument("`rank` and `world_size` are given together, or neither")
    if not 0 <= rank < world_size:
        raise InvalidArgument(f"there is no rank {rank} of {world_size}")
    return rank, world_size
