"""Blocking a loop on what only a coroutine of that loop can give: an error, and nothing is lost."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import asynctensor as ts
from asynctensor.errors import FailedPrecondition
from asynctensor.extending import register_kvstore
from asynctensor.runtime import waiter


class Shelf:
    """Values in memory, with coroutines."""

    values: dict[str, bytes]

    def __init__(self) -> None:
        self.values = {}

    async def read(self, key: str) -> bytes | None:
        await asyncio.sleep(0)
        return self.values.get(key)

    async def write(self, key: str, value: bytes | None) -> None:
        await asyncio.sleep(0)
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = bytes(value)

    async def list(self, prefix: str) -> list[str]:
        return [key for key in self.values if key.startswith(prefix)]


SPEC: dict[str, Any] = {"driver": "zarr3", "kvstore": {"driver": "waiting-shelf", "path": "a/"}}


@pytest.fixture
async def array() -> ts.TensorStore:
    register_kvstore("waiting-shelf")(Shelf)
    layout = ts.ChunkLayout(chunk_shape=[4])
    made = await ts.open(SPEC, create=True, dtype="int8", shape=[8], chunk_layout=layout)
    await made.write(3)
    return made


def assigned(array: ts.TensorStore) -> None:
    array[2] = 5


WAITS: dict[str, Callable[[ts.TensorStore], object]] = {
    "read": lambda array: array.read().result(),
    "exception": lambda array: array.read().exception(),
    "write": lambda array: array.write(4).result(),
    "assignment": assigned,
    "resize": lambda array: array.resize(exclusive_max=[9]).result(),
    "open": lambda array: ts.open(SPEC, context=array.context).result(),
    "list": lambda array: array.kvstore and array.kvstore.list().result(),
    "value": lambda array: array.kvstore and array.kvstore["zarr.json"],
    "pickle": lambda array: pickle.loads(pickle.dumps(array)),
    "after another": lambda array: (array.read(), array.read().result()),
}


@pytest.mark.parametrize("name", WAITS)
async def test_a_loop_that_waits_for_itself(
    name: str, array: ts.TensorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiter, "PATIENCE", 0.05)
    with pytest.raises(FailedPrecondition, match="await the operation there"):
        WAITS[name](array)
    # The loop goes on, and so does what was asked for, unless it failed by this very error.
    assert (await array.read()).shape in ((8,), (9,))
    assert await asyncio.to_thread(lambda: WAITS["list"](array))


@pytest.mark.parametrize("begun", [False, True])
async def test_what_is_waited_for_goes_on(
    begun: bool, array: ts.TensorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiter, "PATIENCE", 0.05)
    writing = array[:2].write(7)
    if begun:
        await asyncio.sleep(0)
    with pytest.raises(FailedPrecondition, match="await the operation there"):
        writing.result()
    await writing
    assert (await array.read()).tolist() == [7, 7, 3, 3, 3, 3, 3, 3]


async def test_what_needs_no_coroutine_of_the_loop_may_be_waited_for(array: ts.TensorStore) -> None:
    reading = array.read()
    assert ts.array([1, 2]).read().result().tolist() == [1, 2]
    assert (await reading).sum() == 24


async def test_an_end_may_come_before(array: ts.TensorStore) -> None:
    with pytest.raises(TimeoutError):
        array.read().result(timeout=0.01)
    assert (await array.read()).sum() == 24
