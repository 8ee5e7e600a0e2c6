"""What one process of `tests.torture.programmes` does: anything, in any order, until it is killed.

It says on its standard output, a line of JSON each, what it is about to do and what became of it.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asynctensor as at
from asynctensor.errors import Aborted, CommitUnknown
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.runtime.event_loop import start

#: Lists that all processes read and append to: documents, and chunks of a family.
LISTS = ["list-a", "list-b", "lists/0/0", "lists/0/1"]
#: Gets an object of its own, or stands among the pages, or in the record.
_SIZES = (10, 700, 9000)


class Programme:
    """One process.

    Args:
        repo: The repository.
        name: Of the process; nobody else has it.
        chance: What its choices depend on.
    """

    def __init__(self, repo: at.Repository, name: str, chance: random.Random) -> None:
        self._repo, self._name, self._chance = repo, name, chance
        self._serial = 0

    async def run(self) -> None:
        """Goes on for ever."""
        kinds: list[tuple[float, Callable[[str], Awaitable[None]]]] = [
            (8, self._lists), (4, self._values), (1, self._tag), (1.5, self._branch),
            (1.5, self._share), (0.7, self._fold), (1, self._revert),
        ]  # fmt: skip
        weights = [weight for weight, _ in kinds]
        while True:
            self._serial += 1
            name = f"{self._name}.{self._serial}"
            (kind,) = self._chance.choices([each for _, each in kinds], weights)
            if self._chance.random() < 0.3:
                await self._repo.refresh()
            await kind(name)

    async def _told(self, what: dict[str, Any], act: Callable[[], Awaitable[object]]) -> object:
        """Says what is tried, does it, and says what became of it."""
        _say({"begun": what, "at": time.monotonic()})
        result: object = None
        try:
            result, outcome = await act(), "committed"
        except Aborted:
            outcome = "aborted"
        except CommitUnknown:
            outcome = "unknown"
        _say({"ended": what["name"], "outcome": outcome, "at": time.monotonic(), "gave": result})
        return result

    def _value(self, name: str) -> bytes:
        return name.encode() * (self._chance.choice(_SIZES) // len(name) + 1)

    async def _lists(self, name: str) -> None:
        """Reads lists and appends to them, in one transaction."""
        operations: list[tuple[str, str, Any]] = []
        txn = self._repo.transaction(message=name)
        view = self._repo.kvstore(transaction=txn)
        for at_ in range(self._chance.randint(1, 4)):
            key = self._chance.choice(LISTS)
            found = await view.read(key)
            seen = json.loads(found.value) if found.state == "value" else []
            if self._chance.random() < 0.6:
                await view.write(key, json.dumps([*seen, f"{name}.{at_}"]).encode())
                operations.append(("append", key, f"{name}.{at_}"))
            else:
                operations.append(("read", key, seen))

        async def commit() -> object:
            await txn.commit_async()
            return txn.commit_id

        await self._told({"name": name, "kind": "lists", "operations": operations}, commit)

    async def _values(self, name: str) -> None:
        """Some writes at once, each a commit of its own."""
        keys = [f"values/{name}/{i}" for i in range(self._chance.randint(1, 4))]
        value = self._value(name)
        store = self._repo.kvstore()
        await self._told(
            {"name": name, "kind": "values", "keys": keys, "value": value.decode()},
            lambda: _all(*(store.write(key, value) for key in keys)),
        )

    async def _tag(self, name: str) -> None:
        await self._told({"name": name, "kind": "tag"}, lambda: self._repo.create_tag(name))

    async def _branch(self, name: str) -> None:
        """A branch, commits to it, a reset, and perhaps its end."""
        repo = self._repo
        await self._told({"name": name, "kind": "branch"}, lambda: repo.create_branch(name))
        store = repo.kvstore(branch=name)
        ids: list[str] = []
        for i in range(self._chance.randint(1, 3)):
            part = f"{name}/{i}"

            async def commit(part: str = part) -> object:
                async with repo.transaction(message=part, branch=name) as txn:
                    await store.with_transaction(txn).write("mine", part.encode())
                return txn.commit_id

            what = {"name": part, "kind": "on branch", "branch": name}
            found = await self._told(what, commit)
            ids += [found] if isinstance(found, str) else []
        if ids and self._chance.random() < 0.5:
            to = self._chance.choice(ids)
            what = {"name": f"{name}/reset", "kind": "reset", "branch": name, "to": to}
            await self._told(what, lambda: repo.reset(name, to))
        if self._chance.random() < 0.4:
            what = {"name": f"{name}/end", "kind": "end", "branch": name}
            await self._told(what, lambda: repo.delete_branch(name))

    async def _share(self, name: str) -> None:
        """A transaction of two workers, each with a part."""
        value = self._value(name)
        keys = [f"shared/{name}/{i}" for i in range(2)]
        what = {"name": name, "kind": "values", "keys": keys, "value": value.decode(), "one": True}

        async def work(token: at.SharedTransaction, key: str) -> at.Receipt:
            async with await at.Transaction.join(token) as part:
                await self._repo.kvstore().with_transaction(part).write(key, value)
                return await part.finish(worker=key)

        async def commit() -> object:
            txn = self._repo.transaction(message=name)
            token = txn.share()
            txn.add_many(await asyncio.gather(*(work(token, key) for key in keys)))
            await txn.commit_async()
            return txn.commit_id

        await self._told(what, commit)

    async def _fold(self, name: str) -> None:
        state = self._repo._state

        async def fold() -> None:
            branch = await state.branch("main")
            if branch.log.tail:
                await fold_branch(branch, state.place)

        await start(fold)

    async def _revert(self, name: str) -> None:
        """A commit of its own, which is undone."""
        key = f"undone/{name}"

        async def commit() -> object:
            async with self._repo.transaction(message=name) as txn:
                await self._repo.kvstore(transaction=txn).write(key, self._value(name))
            return txn.commit_id

        what = {"name": name, "kind": "values", "keys": [key], "value": None}
        id_ = await self._told(what, commit)
        if isinstance(id_, str):
            what = {"name": f"{name}/undone", "kind": "undone", "key": key}
            await self._told(what, lambda: self._repo.revert(id_, branch="main"))


async def _all(*waiting: Awaitable[object]) -> None:
    await asyncio.gather(*waiting)


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def main(place: str, name: str, seed: str) -> None:
    """What a child does."""
    repo = await at.Repository.open(place)
    _say({"ready": name})
    sys.stdin.readline()
    await Programme(repo, name, random.Random(f"programme {name} {seed}")).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
