"""Processes that do anything to one repository on files, and are killed: no promise is broken.

``python -m tests.torture.programmes --seconds 60`` starts processes that run random programs
(`programme.py`), kills each at a random moment, starts others, and judges what all of them were
told against what is there in the end: isolation, all or nothing, exactly once, tags that stay. A
reader that was written from the document of the format alone must find the same there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import asynctensor as at
from asynctensor.errors import NotFound
from asynctensor.testing.history import Append, Operation, Outcome, Read, Transacted
from asynctensor.testing.isolation_checker import check
from tests.torture.programme import LISTS
from tests.torture.stranger import misread


@dataclass(slots=True)
class Told:
    """Something that a process tried, and what it was told.

    Attributes:
        what: What it was.
        began: When it was tried.
        outcome: What it was told; unknown where it was killed before.
        ended: When it was told.
        gave: What it was given.
    """

    what: Mapping[str, Any]
    began: float
    outcome: Outcome = Outcome.UNKNOWN
    ended: float = float("inf")
    gave: Any = None


@dataclass(slots=True)
class Findings:
    """How one attack went.

    Attributes:
        killed: Processes that were killed.
        counts: Things that were tried, by kind and outcome.
        wrong: What must not be, in words.
    """

    killed: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class _Child:
    """A process that runs a program, and what it said so far."""

    def __init__(self, place: str, name: str, seed: int) -> None:
        self.name = name
        command = [sys.executable, "-m", "tests.torture.programme", place, name, str(seed)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self._lines: list[str] = []
        self._errors: list[str] = []
        #: Of what it has told how it ended.
        self._told = threading.Semaphore(0)
        self._readers = [
            threading.Thread(target=self._read, args=(self._process.stdout, self._lines)),
            threading.Thread(target=self._read, args=(self._process.stderr, self._errors)),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str] | None, lines: list[str]) -> None:
        assert stream is not None
        for line in stream:
            lines.append(line)
            if line.startswith('{"ended"'):
                self._told.release()
        # Who waits for more waits in vain.
        self._told.release(1 << 20)

    def has_told(self, count: int) -> None:
        """Returns once it has told of so many things how they ended, or is gone."""
        for _ in range(count):
            self._told.acquire()

    def go(self) -> None:
        """Lets it begin."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def kill(self) -> tuple[list[Told], str]:
        """Ends it; gives what it tried, and what it said if it had ended by itself."""
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            # What could not be told to one that had ended by itself is still to be written.
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        told: dict[str, Told] = {}
        for line in self._lines:
            if not line.endswith("\n"):
                break
            said = json.loads(line)
            if "begun" in said:
                told[said["begun"]["name"]] = Told(said["begun"], said["at"])
            else:
                each = told[said["ended"]]
                each.outcome, each.ended = Outcome(said["outcome"]), said["at"]
                each.gave = said["gave"]
        return list(told.values()), "".join(self._errors[-12:])


def run(folder: Path, *, seconds: float, children: int, seed: int, least: int = 0) -> Findings:
    """Attacks a new repository in an empty folder.

    Args:
        folder: The folder.
        seconds: For so long, until something was committed and those who run then are killed.
        children: Processes at a time.
        seed: Of what they do, and of when they die.
        least: Things that each has ended before.
    """
    chance = random.Random(f"programmes {seed}")
    place = f"file://{folder}/"
    asyncio.run(_created(place))
    findings = Findings()
    told: list[Told] = []
    until = time.monotonic() + seconds
    serial = 0
    while time.monotonic() < until or not _any_committed(told):
        names = [f"p{serial + i}" for i in range(children)]
        serial += children
        running = [_Child(place, name, seed) for name in names]
        for child in running:
            child.go()
        for child in running:
            child.has_told(least)
            time.sleep(chance.random() * max(0.3, min(4.0, seconds / 3)) / children)
            mine, errors = child.kill()
            told += mine
            findings.killed += 1
            if errors:
                findings.wrong.append(f"{child.name} ended by itself: {errors}")
    findings.counts.update((each.what["kind"], each.outcome.value) for each in told)
    findings.wrong += asyncio.run(_judged(place, told))
    findings.wrong += asyncio.run(_read_by_a_stranger(place, folder, chance))
    return findings


def _any_committed(told: Iterable[Told]) -> bool:
    return any(each.outcome is Outcome.COMMITTED for each in told)


async def _created(place: str) -> None:
    repo = await at.Repository.open(place, create=True)
    # Whoever begins with a tag needs a commit.
    await repo.kvstore().write("begun", b"")


async def _judged(place: str, told: list[Told]) -> list[str]:
    repo = await at.Repository.open(place, context=at.Context())
    verified = await repo.verify()
    wrong = [f"damaged: {each}" for each in verified.damages]
    ids = {each.message: each.id async for each in repo.log()}
    messages = [each.message async for each in repo.log() if each.message]
    wrong += [f"{name} is in the log twice" for name, n in Counter(messages).items() if n > 1]
    wrong += await _isolation(repo, told)
    for each in told:
        kind, name = each.what["kind"], each.what["name"]
        if kind in ("lists", "values") and isinstance(each.gave, str) and ids[name] != each.gave:
            wrong.append(f"{name} was told {each.gave}, and is {ids[name]}")
    undone = {each.what["key"]: each for each in told if each.what["kind"] == "undone"}
    for each in told:
        if each.what["kind"] == "values":
            wrong += await _values(repo, each, undone.get(each.what["keys"][0]))
    wrong += await _names(repo, told)
    return wrong


async def _read_by_a_stranger(place: str, folder: Path, chance: random.Random) -> list[str]:
    return await misread(await at.Repository.open(place, context=at.Context()), folder, chance)


async def _isolation(repo: at.Repository, told: Iterable[Told]) -> list[str]:
    store = repo.kvstore()
    found = [await store.read(key) for key in LISTS]
    final = {
        key: tuple(json.loads(each.value)) if each.state == "value" else ()
        for key, each in zip(LISTS, found, strict=True)
    }
    history = [
        Transacted(
            each.what["name"],
            tuple(_operation(*operation) for operation in each.what["operations"]),
            each.outcome,
            each.began,
            each.ended,
        )
        for each in told
        if each.what["kind"] == "lists"
    ]
    return [str(each) for each in check(history, final=final)]


def _operation(kind: str, key: str, value: Any) -> Operation:
    return Append(key, value) if kind == "append" else Read(key, tuple(value))


async def _values(repo: at.Repository, each: Told, undone: Told | None) -> list[str]:
    """What one who wrote some values was told, against what is there."""
    store = repo.kvstore()
    found = [await store.read(key) for key in each.what["keys"]]
    there = [one.state == "value" for one in found]
    name = each.what["name"]
    wrong: list[str] = []
    if undone is not None:
        if there[0] and undone.outcome is Outcome.COMMITTED:
            wrong.append(f"{name} was undone, and is there")
        return wrong
    if each.outcome is Outcome.COMMITTED and not all(there):
        wrong.append(f"{name} was committed, and is not there")
    if each.outcome is Outcome.ABORTED and any(there):
        wrong.append(f"{name} was aborted, and is there")
    if each.what.get("one") and len(set(there)) != 1:
        wrong.append(f"{name} is there by half")
    value = each.what["value"]
    wrong += [
        f"{name} has another value"
        for one in found
        if value is not None and one.state == "value" and one.value.decode() != value
    ]
    return wrong


async def _names(repo: at.Repository, told: list[Told]) -> list[str]:
    """Tags that moved, and branches that lost what was committed to them."""
    tags = {each.name: each.commit for each in await repo.tags()}
    branches = {each.name for each in await repo.branches()}
    ended = {each.what["branch"]: each for each in told if each.what["kind"] == "end"}
    reset = {each.what["branch"] for each in told if each.what["kind"] == "reset"}
    wrong: list[str] = []
    for each in told:
        kind, name = each.what["kind"], each.what["name"]
        if each.outcome is not Outcome.COMMITTED:
            continue
        if kind == "tag" and tags.get(name) != each.gave:
            wrong.append(f"tag {name} was given {each.gave}, and means {tags.get(name)}")
        elif kind == "branch" and name not in branches and name not in ended:
            wrong.append(f"branch {name} was made, and is not there")
        elif kind == "end" and each.what["branch"] in branches:
            wrong.append(f"branch {each.what['branch']} was deleted, and is there")
        elif kind == "on branch" and each.what["branch"] not in {*ended, *reset}:
            wrong += await _on_branch(repo, each)
    return wrong


async def _on_branch(repo: at.Repository, each: Told) -> list[str]:
    branch, name = each.what["branch"], each.what["name"]
    try:
        messages = [one.message async for one in repo.log(branch)]
        value = (await repo.kvstore(snapshot=each.gave).read("mine")).value.decode()
    except NotFound as error:
        return [f"{name} was committed to {branch}: {error}"]
    if name not in messages or value != name:
        return [f"{name} was committed to {branch}, which has {messages[:3]} and {value}"]
    return []


def main() -> int:
    """Does what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.programmes", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="at least")
    parser.add_argument("--children", type=int, default=3, help="processes at a time")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(
            Path(folder), seconds=options.seconds, children=options.children, seed=options.seed
        )
    for (kind, outcome), count in sorted(found.counts.items()):
        print(f"{kind:10} {outcome:10} {count:6,}")
    print(f"{found.killed:,} killed; wrong: {len(found.wrong)}")
    for each in found.wrong[:40]:
        print("  " + each)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
