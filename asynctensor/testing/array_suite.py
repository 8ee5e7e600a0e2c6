"""`ArraySuite`: random operations on an array, checked against a NumPy model.

Subclass it in a test module for pytest (with pytest-asyncio), and say how to make an array::

    class TestMyFormat(ArraySuite):
        @pytest.fixture
        def make_array(self, tmp_path):
            async def make(**schema):
                return await asynctensor.open(my_spec(tmp_path), create=True, **schema)
            return make

Each test makes one array. What `make_array` is given are keyword arguments of
`asynctensor.open`: ``dtype``, ``shape``, ``chunk_layout`` and ``fill_value``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeAlias

import numpy as np
import pytest

from asynctensor.chunked.codec import Array
from asynctensor.errors import OutOfRange
from asynctensor.opening import open as open_array
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.tensorstore import TensorStore
from asynctensor.testing.model_array import ModelArray, View

MakeArray: TypeAlias = Callable[..., Awaitable[TensorStore]]


@pytest.mark.asyncio
class ArraySuite:
    """The tests. See the module."""

    #: Shape of the arrays, and of what one key holds.
    shape: ClassVar[tuple[int, ...]] = (13, 10, 5)
    chunk_shape: ClassVar[tuple[int, ...]] = (4, 6, 5)
    #: Shape of what can be read by itself; None: the same.
    read_chunk_shape: ClassVar[tuple[int, ...] | None] = None
    dtype: ClassVar[str] = "int32"
    fill_value: ClassVar[Any] = 7
    seeds: ClassVar[Sequence[int]] = range(3)
    #: Operations per seed.
    operations: ClassVar[int] = 60
    #: Dimensions whose size can change.
    resizable: ClassVar[Sequence[int]] = (0, 1, 2)
    #: Whether the spec of an array opens it again, with the same context.
    reopens: ClassVar[bool] = True

    @pytest.fixture
    def make_array(self) -> MakeArray:
        """Makes the array to be tested, new and empty."""
        raise NotImplementedError("say how to make an array: define a fixture `make_array`")

    async def _made(self, make_array: MakeArray, **schema: Any) -> TensorStore:
        given: dict[str, Any] = {
            "dtype": self.dtype,
            "shape": self.shape,
            "fill_value": self.fill_value,
            "chunk_layout": ChunkLayout(
                write_chunk_shape=self.chunk_shape,
                read_chunk_shape=self.read_chunk_shape or self.chunk_shape,
            ),
        }
        return await make_array(**given | schema)

    def _model(self, store: TensorStore) -> ModelArray:
        return ModelArray(store, self.fill_value, self.chunk_shape)

    # -- one after the other ------------------------------------------------------------------

    async def test_a_new_array_is_its_fill_value(self, make_array: MakeArray) -> None:
        store = await self._made(make_array)
        data = await store.read()
        assert (data.shape, data.dtype) == (self.shape, store.dtype.numpy_dtype)
        assert (data == np.full(self.shape, self.fill_value, data.dtype)).all()

    async def test_random_operations(self, make_array: MakeArray) -> None:
        store = await self._made(make_array)
        for seed in self.seeds:
            chance = random.Random(seed)  # noqa: S311 -- not for secrets
            model = self._model(store)
            await model.load(store)
            for number in range(self.operations):
                what = f"seed {seed}, operation {number}"
                store = await self._step(store, model, chance, what)
            assert (await store.read() == model.data).all(), f"seed {seed}, at the end"

    async def _step(
        self, store: TensorStore, model: ModelArray, chance: random.Random, what: str
    ) -> TensorStore:
        kind = chance.choice(
            ["read", "read", "write", "write", "write", "writes", "resize", "open"]
        )
        if kind == "read":
            view = model.view(store, chance)
            how = chance.randrange(3)
            if how == 0:
                found = await view.store.read()
                assert found.flags.c_contiguous
            elif how == 1:
                found = await view.store.read(order="F")
                assert found.flags.f_contiguous
            else:
                found = await self._read_into(view.store, chance, what)
            assert found.shape == view.expected.shape == view.store.shape, (what, view.steps)
            assert (found == view.expected).all(), (what, view.steps)
        elif kind == "write":
            view = model.view(store, chance)
            await view.store.write(model.assign(view, chance))
        elif kind == "writes":
            views = model.disjoint_views(store, chance)
            await asyncio.gather(*(v.store.write(model.assign(v, chance)) for v in views))
        elif kind == "open" and self.reopens:
            store = await open_array(store.spec(), context=store.context, open=True)
        elif kind == "resize" and self.resizable:
            store = await self._resized(store, model, chance)
        return store

    async def _read_into(self, store: TensorStore, chance: random.Random, what: str) -> Array:
        """What is read into a part of an array; its rest stays as it is."""
        steps = tuple(chance.choice([1, 2, -1, -3]) for _ in store.shape)
        whole = np.full(
            [1 + abs(step) * size for size, step in zip(store.shape, steps, strict=True)],
            self.fill_value,
            store.dtype.numpy_dtype,
            chance.choice(["C", "F"]),
        )
        rest = np.ones(whole.shape, bool)
        place = tuple(
            slice(0, size * step, step) if step > 0 else slice(size * -step, 0, step)
            for size, step in zip(store.shape, steps, strict=True)
        )
        rest[place] = False
        found = await store.read(out=whole[place])
        assert np.shares_memory(found, whole) or not found.size, what
        assert (whole[rest] == np.asarray(self.fill_value, whole.dtype)).all(), what
        return found

    async def _resized(
        self, store: TensorStore, model: ModelArray, chance: random.Random
    ) -> TensorStore:
        upper: list[int | None] = [None] * store.rank
        for dim in self.resizable:
            upper[dim] = chance.choice([None, chance.randint(1, 2 * self.shape[dim])])
        store = await store.resize(exclusive_max=upper)
        await model.resized(store)
        return store

    async def test_every_element_by_itself(self, make_array: MakeArray) -> None:
        store = await self._made(make_array)
        places = [(0,) * store.rank, tuple(n - 1 for n in self.shape)]
        for number, place in enumerate(places, start=1):
            value = self.fill_value + number
            await store[place].write(value)
            assert (await store[place].read()).shape == ()
            assert await store[place].read() == value
        data = await store.read()
        assert (data != self.fill_value).sum() == len(places)

    async def test_what_is_read_belongs_to_the_caller(self, make_array: MakeArray) -> None:
        store = await self._made(make_array)
        await store.write(1)
        first = await store.read()
        assert first.flags.writeable
        assert first.ctypes.data % 64 == 0
        assert first.dtype.isnative
        first[...] = 2
        assert (await store.read() == 1).all()

    async def test_source_may_change_once_copied(self, make_array: MakeArray) -> None:
        store = await self._made(make_array)
        source = np.ones(self.shape, store.dtype.numpy_dtype)
        written = store.write(source)
        await written.copy
        source[...] = 2
        await written
        assert (await store.read() == 1).all()

    async def test_sources_are_broadcast(self, make_array: MakeArray) -> None:
        store = await self._made(make_array)
        row = np.arange(self.shape[-1]).astype(store.dtype.numpy_dtype)
        await store.write(row)
        assert (await store.read() == np.broadcast_to(row, self.shape)).all()

    async def test_outside_is_refused(self, make_array: MakeArray) -> None:
        store = await self._made(make_array)
        for dim, size in enumerate(self.shape):
            key: list[Any] = [0] * store.rank
            for outside in (-1, size + 10**6):
                key[dim] = outside
                with pytest.raises(IndexError):
                    await store[tuple(key)].read()
            # Index arrays stay within the view that they index, not only within the array.
            part = store[tuple(slice(1, 2) if at == dim else 0 for at in range(store.rank))]
            for select in (part.oindex, part.vindex):
                with pytest.raises(IndexError):
                    await select[[0, 1]].read()
                assert (await select[[1, 1]].read()).shape == (2,)
        if len(self.resizable) < store.rank:
            return
        smaller = await store.resize(exclusive_max=[1] * store.rank)
        with pytest.raises(OutOfRange):
            await store[: self.shape[0]].read()
        assert (await store.read()).shape == (1,) * store.rank
        assert smaller.shape == (1,) * store.rank

    async def test_empty_views(self, make_array: MakeArray) -> None:
        store = await self._made(make_array)
        empty = store[1:1]
        await empty.write(3)
        assert (await empty.read()).shape == (0, *self.shape[1:])
        assert (await store.read() == self.fill_value).all()

    # -- many at once -------------------------------------------------------------------------

    async def test_no_update_of_a_task_is_lost(self, make_array: MakeArray) -> None:
        store = await self._made(make_array)
        model = self._model(store)
        await model.load(store)
        for seed in self.seeds:
            chance = random.Random(seed)  # noqa: S311
            views = model.interleaved_views(store, 24)
            async with asyncio.TaskGroup() as group:
                for view in views:
                    group.create_task(self._write(view, model.assign(view, chance)))
            assert (await store.read() == model.data).all()

    async def _write(self, view: View, source: Array) -> None:
        await view.store.write(source)

    async def test_no_update_of_a_thread_is_lost(self, make_array: MakeArray) -> None:
        store = await self._made(make_array)
        model = self._model(store)
        await model.load(store)
        chance = random.Random(0)  # noqa: S311
        work = [(v, model.assign(v, chance)) for v in model.interleaved_views(store, 24)]

        def write(share: list[tuple[View, Array]]) -> None:
            for view, source in share:
                view.store.write(source).result()

        def all_threads() -> None:
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(write, [work[i::4] for i in range(4)]))

        await asyncio.to_thread(all_threads)
        assert (await store.read() == model.data).all()

    async def test_readers_see_whole_writes(self, make_array: MakeArray) -> None:
        store = await self._made(make_array)
        sizes = zip(self.chunk_shape, self.shape, strict=True)
        one = store[tuple(slice(0, min(chunk, size)) for chunk, size in sizes)]
        await one.write(0)

        async def write() -> None:
            for number in range(1, 20):
                await one.write(number)

        async def read() -> None:
            last = 0
            while last < 19:
                found = np.unique(await one.read())
                assert len(found) == 1, "a chunk was seen half written"
                assert found[0] >= last, "a chunk went back in time"
                last = int(found[0])

        await asyncio.gather(write(), read(), read())

    async def test_of_writes_in_order_the_last_stays(self, make_array: MakeArray) -> None:
        store = await self._made(make_array)
        for number in range(5):
            await store[1:3].write(number)
        assert (await store[1:3].read() == 4).all()
        await asyncio.gather(*[store[1:3].write(number) for number in range(10, 15)])
        assert (await store[1:3].read() == 14).all()
