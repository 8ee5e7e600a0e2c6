"""Crashes of the machine: every state in which the disk may be left, from first file to last."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from tests.kvstores.repo.holes.disk import Recorded, recorded


@dataclass(frozen=True, slots=True)
class Crashes:
    """What became of commits on a disk that forgets what was not flushed.

    Attributes:
        points: How far its journal had come when it crashed, at most.
        states: Different states that were opened, read and written to afterwards.
        commits: That were acknowledged.
        wrong: What was acknowledged and is gone, or is there in part, in words.
    """

    points: int
    states: int
    commits: int
    wrong: tuple[str, ...]


def run(folder: Path, *, commits: int, seed: int) -> Crashes:
    """Records commits, one after the other and by several processes, and crashes everywhere.

    Args:
        folder: An empty folder.
        commits: How many.
        seed: Chooses sizes, and who commits.
    """
    chance = random.Random(seed)

    async def scenario(disk: Recorded) -> None:
        processes = [disk.process() for _ in range(2)]
        for number in range(commits):
            # Some lie in the record itself, some in objects of their own.
            size = chance.choice([1, 100, 20_000])
            value = f"{number} ".encode() * size
            await disk.put(chance.choice(processes), f"key {number}", value)

    disk = recorded(folder, scenario)
    states, problems = disk.problems(folder)
    return Crashes(disk.position + 1, states, len(disk.claims), tuple(problems))
