"""Processes that commit to a repository on local files, and are killed at any moment.

Each child counts: a commit writes the next number to an array, to an attribute of it and to a plain
value, and is acknowledged on a pipe once it has landed. After the kill, whoever opens the
repository must find every acknowledged number, in all three places or in none.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import asynctensor as at
from tests.torture.stranger import misread

#: Seconds within which the children are killed after each of them has committed once.
_LONGEST = 0.3


@dataclass(frozen=True, slots=True)
class Killed:
    """How one loop went.

    Attributes:
        kills: Processes that were killed.
        acknowledged: Commits that were acknowledged.
        landed: Commits that are in the log: some landed, and nobody was told.
        wrong: What must not be, in words.
    """

    kills: int
    acknowledged: int
    landed: int
    wrong: tuple[str, ...]


async def _child(folder: str, name: str) -> None:
    repo = await at.Repository.open(folder)
    number = 0
    while True:
        number += 1
        async with repo.transaction(message=f"{name} {number}") as txn:
            spec = {"driver": "zarr3", "kvstore": repo.kvstore(f"{name}/")}
            array = await at.open(
                spec, open=True, create=True, dtype="int64", shape=[4], transaction=txn
            )
            await array[...].write(number)
            await repo.kvstore(transaction=txn).write(f"{name}.txt", b"%d" % number)
        print(number, flush=True)
        if number == 1:
            # All go on together.
            sys.stdin.readline()


def run(folder: Path, *, kills: int, children: int, seed: int) -> Killed:
    """Starts children and kills them, so many times, and looks at what they left.

    Args:
        folder: An empty folder.
        kills: Rounds.
        children: Processes that commit at the same time.
        seed: Of the moments.
    """
    chance = random.Random(f"killing {seed}")
    place = f"file://{folder}/"
    asyncio.run(_created(place))
    acknowledged: dict[str, int] = {}
    for round_ in range(kills):
        names = [f"r{round_}c{i}" for i in range(children)]
        command = [sys.executable, "-m", "tests.torture.killing", place]
        processes = [_started([*command, name]) for name in names]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "1\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        time.sleep(chance.random() * _LONGEST)
        for process in processes:
            process.kill()
        for name, process in zip(names, processes, strict=True):
            # Closes the pipes. A last line that is not whole was cut off by the kill.
            numbers = ["1", *process.communicate()[0].split("\n")[:-1]]
            acknowledged[name] = int(numbers[-1])
    found = asyncio.run(_looked_at(place, acknowledged, kills * children))
    differing = asyncio.run(_read_by_a_stranger(place, folder, chance))
    return replace(found, wrong=(*found.wrong, *differing))


def _started(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def _created(place: str) -> None:
    await at.Repository.open(place, create=True)


async def _read_by_a_stranger(place: str, folder: Path, chance: random.Random) -> list[str]:
    return await misread(await at.Repository.open(place, context=at.Context()), folder, chance)


async def _looked_at(place: str, acknowledged: dict[str, int], kills: int) -> Killed:
    repo = await at.Repository.open(place)
    wrong: list[str] = []
    for name, least in acknowledged.items():
        text = (await repo.kvstore().read(f"{name}.txt")).value.decode() or "0"
        number = 0
        if int(text):
            spec = {"driver": "zarr3", "kvstore": repo.kvstore(f"{name}/")}
            values = await (await at.open(spec)).read()
            number = int(values[0])
            if len(set(values.tolist())) != 1:
                wrong.append(f"{name} has {values.tolist()}")
        if number != int(text):
            wrong.append(f"{name} has {number} in the array and {text} beside it")
        if number < least:
            wrong.append(f"{name} acknowledged {least} and has {number}")
    messages = [each.message async for each in repo.log()]
    if len(set(messages)) != len(messages):
        wrong.append("a commit is in the log twice")
    return Killed(kills, sum(acknowledged.values()), len(messages), tuple(wrong))


if __name__ == "__main__":
    asyncio.run(_child(*sys.argv[1:3]))
