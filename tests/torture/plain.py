"""Processes that write parts of the same chunks of a plain array on files, and are killed.

``python -m tests.torture.plain --seconds 60`` starts processes that share one folder without any
transaction. Each has rows of its own, which lie in chunks of all; they also count by writing a
number on condition of the one before, and create names of which each is given out once. After the
kills every row must be whole and hold what was acknowledged, or what was on its way; every number
was counted by one; every name is its creator's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asynctensor as at

#: Columns of the array, in two chunks; what of a row is in one chunk is written at once.
_COLUMNS, _CHUNK = 12, 8
#: Numbers that one process writes at most.
_MANY = 10**6


@dataclass(slots=True)
class Findings:
    """How one attack went.

    Attributes:
        killed: Processes that were killed.
        acknowledged: Writes that were acknowledged.
        wrong: What must not be, in words.
    """

    killed: int = 0
    acknowledged: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Said:
    """What the processes said that they did: tried, and acknowledged."""

    rows: dict[int, tuple[int, set[int]]] = field(default_factory=dict)
    counted: list[int] = field(default_factory=list)
    undecided: int = 0
    names: dict[int, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def _spec(folder: str) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder}/array/"}}


async def _child(folder: str, row: int, serial: int) -> None:
    chance = random.Random(f"plain {row} {serial}")
    store = await at.KvStore.open({"driver": "file", "path": f"{folder}/"})
    array = await at.open(_spec(folder))
    for number in range(serial * _MANY + 1, (serial + 1) * _MANY):
        _say({"row": number})
        await array[row].write(number)
        _say({"row done": number})
        if number == serial * _MANY + 1:
            # All go on together.
            sys.stdin.readline()
        if chance.random() < 0.5:
            await _count(store)
        if chance.random() < 0.3:
            await _name(store, chance.randrange(200), f"{row}.{number}")


async def _count(store: at.KvStore) -> None:
    found = await store.read("count")
    number = int(found.value or b"0")
    _say({"count": number})
    stamp = await store.write("count", b"%d" % (number + 1), if_equal=found.stamp.generation)
    _say({"counted": number if stamp.generation else None})


async def _name(store: at.KvStore, which: int, mine: str) -> None:
    key = f"names/{which % 7}/{which}"
    stamp = await store.write(key, mine.encode(), if_equal=b"\0")
    if stamp.generation:
        _say({"named": which, "as": mine})


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def run(folder: Path, *, seconds: float, children: int, seed: int) -> Findings:
    """Attacks an empty folder.

    Args:
        folder: The folder.
        seconds: For so long; one round at least.
        children: Processes at a time, each with a row.
        seed: Of the moments when they die.
    """
    chance = random.Random(f"plain {seed}")
    asyncio.run(_created(str(folder), children))
    findings, said = Findings(), _Said()
    longest = max(0.3, min(4.0, seconds / 3))
    until = time.monotonic() + seconds
    for round_ in itertools.count():
        running = [_started(folder, row, round_ * children + row) for row in range(children)]
        first = [_line(process) + _line(process) for process in running]
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in chance.sample(running, len(running)):
            time.sleep(chance.random() * longest / children)
            process.kill()
        for row, process in enumerate(running):
            _heard(said, row, first[row] + process.communicate()[0])
            findings.killed += 1
        if time.monotonic() >= until:
            break
    findings.acknowledged = len(said.counted) + len(said.names)
    findings.acknowledged += sum(len(tried) for _, tried in said.rows.values())
    findings.wrong = said.wrong + asyncio.run(_judged(str(folder), said))
    return findings


def _started(folder: Path, row: int, serial: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.torture.plain", "--child", str(folder)]
    return subprocess.Popen(
        [*command, str(row), str(serial)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _heard(said: _Said, row: int, text: str) -> None:
    """Takes in what one process said; a last line that is not whole was cut off by the kill."""
    counting = False
    for line in text.split("\n")[:-1]:
        what = json.loads(line)
        least, tried = said.rows.get(row, (0, set()))
        if "row" in what:
            said.rows[row] = least, tried | {what["row"]}
        elif "row done" in what:
            # What was tried before is replaced.
            said.rows[row] = what["row done"], {what["row done"]}
        elif "count" in what:
            counting = True
        elif "counted" in what:
            counting = False
            said.counted += [] if what["counted"] is None else [what["counted"]]
        elif what["named"] in said.names:
            said.wrong.append(f"name {what['named']} was given out twice")
        else:
            said.names[what["named"]] = what["as"]
    said.undecided += counting


async def _created(folder: str, rows: int) -> None:
    await at.open(
        _spec(folder),
        create=True,
        dtype="int64",
        shape=[rows, _COLUMNS],
        chunk_layout=at.ChunkLayout(chunk_shape=[rows, _CHUNK]),
    )


async def _judged(folder: str, said: _Said) -> list[str]:
    store = await at.KvStore.open({"driver": "file", "path": f"{folder}/"}, context=at.Context())
    data = await (await at.open(_spec(folder), context=at.Context())).read()
    wrong: list[str] = []
    for row, (least, tried) in said.rows.items():
        for part in (data[row, :_CHUNK], data[row, _CHUNK:]):
            found = set(part.tolist())
            if len(found) != 1 or not found <= {least, *tried}:
                wrong.append(f"row {row} has {found}; {least} was acknowledged, {tried} tried")
    if len(set(said.counted)) != len(said.counted):
        wrong.append("a number was counted twice")
    count = int((await store.read("count")).value or b"0")
    if not len(said.counted) <= count <= len(said.counted) + said.undecided:
        wrong.append(f"{len(said.counted)} were counted, {said.undecided} perhaps; it is {count}")
    for which, mine in said.names.items():
        found = (await store.read(f"names/{which % 7}/{which}")).value.decode()
        if found != mine:
            wrong.append(f"name {which} is {found!r}, and was given to {mine!r}")
    await store.delete_range(at.KvStore.KeyRange())
    left = [path.name for path in Path(folder).rglob("*")]  # noqa: ASYNC240 -- nobody waits
    return wrong + [f"{name} stays behind" for name in left]


def main() -> int:
    """Does what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.plain", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="at least")
    parser.add_argument("--children", type=int, default=3, help="processes at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=3, metavar=("FOLDER", "ROW", "SERIAL"))
    options = parser.parse_args()
    if options.child:
        folder, row, serial = options.child
        asyncio.run(_child(folder, int(row), int(serial)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = run(
            Path(folder), seconds=options.seconds, children=options.children, seed=options.seed
        )
    print(f"{found.killed:,} killed; {found.acknowledged:,} acknowledged; wrong: {found.wrong}")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
