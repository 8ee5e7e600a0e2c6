"""Random programs on arrays of every chunked format agree with a NumPy model.

Hypothesis draws the array (format, shape, chunks, encoding, store, cache) and the operations, and
shortens what fails. Operations that are under way at once are drawn too: whatever their order, each
element holds what one of those that wrote it has written, and what nobody wrote is as it was.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import asynctensor as ts
from asynctensor.testing.model_array import ModelArray, View

CHANCE = st.randoms(use_true_random=False)
DTYPES = ["uint8", "int16", "uint32", "int64", "float32", "float64"]
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
BIG = {"name": "bytes", "configuration": {"endian": "big"}}
#: Per format, metadata that choose an encoding.
ENCODINGS: dict[str, list[dict[str, Any]]] = {
    "zarr3": [
        {"codecs": [LITTLE]},
        {"codecs": [BIG, {"name": "gzip", "configuration": {"level": 1}}, {"name": "crc32c"}]},
        {"codecs": [{"name": "transpose", "configuration": {"order": "F"}}, {"name": "zstd"}]},
        {"codecs": [{"name": "blosc"}], "chunk_key_encoding": {"name": "v2"}},
    ],
    "zarr": [
        {"compressor": None, "order": "F"},
        {"compressor": {"id": "zlib", "level": 1}, "dimension_separator": "/"},
        {"compressor": {"id": "blosc"}},
    ],
    "n5": [
        {"compression": {"type": "xz", "preset": 0}},
        *({"compression": {"type": name}} for name in ("raw", "gzip", "bzip2", "zstd", "lz4")),
    ],
}


class Programs(RuleBasedStateMachine):
    """One array, its model, and what can be done with it."""

    driver: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.folder: tempfile.TemporaryDirectory[str] | None = None

    @initialize(data=st.data())
    def make(self, data: st.DataObject) -> None:
        rank = data.draw(st.integers(0, 3), "rank")
        shape = data.draw(st.tuples(*[st.integers(1, 9)] * rank), "shape")
        inner = data.draw(st.tuples(*[st.integers(1, 4)] * rank), "read chunk")
        metadata = data.draw(st.sampled_from(ENCODINGS[self.driver]), "encoding")
        chunk = inner
        if self.driver == "zarr3" and data.draw(st.booleans(), "shards"):
            chunk = tuple(n * data.draw(st.integers(1, 3), "inner chunks") for n in inner)
            metadata = {**metadata, "codecs": [sharded(metadata["codecs"])]}
        fill = 0 if self.driver == "n5" else data.draw(st.sampled_from([0, 7]), "fill value")
        kvstore: Any = "memory://a/"
        if data.draw(st.sampled_from(["memory", "memory", "file"]), "store") == "file":
            self.folder = tempfile.TemporaryDirectory()
            path = f"{self.folder.name}/a/"
            kvstore = {"driver": "file", "path": path, "file_io_sync": False}
        cache = data.draw(st.sampled_from([0, 200, 10**6]), "cache")
        self.store = ts.open(
            {
                "driver": self.driver,
                "kvstore": kvstore,
                "metadata": metadata,
                "store_data_equal_to_fill_value": data.draw(st.booleans(), "store fill values"),
                "recheck_cached_data": data.draw(st.sampled_from([True, False, "open"]), "recheck"),
            },
            context=ts.Context({"cache_pool": {"total_bytes_limit": cache}}),
            create=True,
            dtype=data.draw(st.sampled_from(DTYPES), "dtype"),
            shape=shape,
            fill_value=fill,
            chunk_layout=ts.ChunkLayout(write_chunk_shape=chunk, read_chunk_shape=inner),
        ).result()
        self.model = ModelArray(self.store, fill, chunk)

    # -- one after the other ------------------------------------------------------------------

    @rule(chance=CHANCE, order=st.sampled_from(["C", "F"]))
    def read(self, chance: Any, order: Any) -> None:
        view = self.model.view(self.store, chance)
        note(f"read {view.steps}")
        found = view.store.read(order=order).result()
        assert found.flags.c_contiguous if order == "C" else found.flags.f_contiguous
        np.testing.assert_array_equal(found, view.expected)

    @rule(chance=CHANCE)
    def write(self, chance: Any) -> None:
        view = self.model.view(self.store, chance)
        note(f"write {view.steps}")
        view.store.write(self.model.assign(view, chance)).result()

    @rule(data=st.data())
    def resize(self, data: st.DataObject) -> None:
        sizes = st.one_of(st.none(), st.integers(1, 12))
        upper = data.draw(st.lists(sizes, min_size=self.store.rank, max_size=self.store.rank))
        self.store = self.store.resize(exclusive_max=upper).result()
        found = self.store.read().result()
        self.model.take_resized(found)

    @rule()
    def open_again(self) -> None:
        self.store = ts.open(self.store.spec(), context=self.store.context, open=True).result()

    # -- at once ------------------------------------------------------------------------------

    @rule(chance=CHANCE, count=st.integers(2, 6), readers=st.integers(0, 2))
    def write_and_read_at_once(self, chance: Any, count: int, readers: int) -> None:
        views = [self.model.view(self.store, chance) for _ in range(count + readers)]
        writing, reading = views[:count], views[count:]
        sources = [self._source(view, chance) for view in writing]
        note(f"at once: write {[v.steps for v in writing]}, read {[v.steps for v in reading]}")
        writes = [view.store.write(s) for view, s in zip(writing, sources, strict=True)]
        reads = [view.store.read() for view in reading]
        for future in writes:
            future.result()
        after = [self._after(view, source) for view, source in zip(writing, sources, strict=True)]
        for view, future in zip(reading, reads, strict=True):
            found = future.result()
            may_be = [each.reshape(-1)[view.places] for each in (self.model.data, *after)]
            assert np.any([found == each for each in may_be], axis=0).all()
        found = self.store.read().result()
        unwritten = np.ones(found.shape, np.bool_)
        explained = np.zeros(found.shape, np.bool_)
        for view, each in zip(writing, after, strict=True):
            covered = np.zeros(found.shape, np.bool_)
            covered.reshape(-1)[view.places] = True
            unwritten &= ~covered
            explained |= covered & (found == each)
        np.testing.assert_array_equal(found[unwritten], self.model.data[unwritten])
        assert (unwritten | explained).all(), "an update was lost"
        self.model.data = found

    @rule(chance=CHANCE, count=st.integers(2, 8))
    def write_from_threads(self, chance: Any, count: int) -> None:
        """Views that share chunks and no element: none of their updates is lost."""
        views = self.model.interleaved_views(self.store, count)
        work = [(view, self.model.assign(view, chance)) for view in views if view.places.size]
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(lambda each: each[0].store.write(each[1]).result(), work))
        np.testing.assert_array_equal(self.store.read().result(), self.model.data)

    @rule(chance=CHANCE, writes=st.integers(1, 3), commit=st.booleans())
    def write_in_a_transaction(self, chance: Any, writes: int, commit: bool) -> None:
        transaction = ts.Transaction(atomic=self.folder is None)
        before = self.model.data.copy()
        inside = self.store.with_transaction(transaction)
        for _ in range(writes):
            view = self.model.view(inside, chance)
            note(f"{'commit' if commit else 'abort'} {view.steps}")
            view.store.write(self.model.assign(view, chance)).result()
        np.testing.assert_array_equal(inside.read().result(), self.model.data)
        np.testing.assert_array_equal(self.store.read().result(), before)
        if commit:
            transaction.commit_async().result()
        else:
            transaction.abort()
            self.model.data = before

    def _source(self, view: View, chance: Any) -> np.ndarray:
        numbers = np.random.default_rng(chance.randrange(2**32))
        return numbers.integers(0, 100, view.places.shape).astype(self.model.data.dtype)

    def _after(self, view: View, source: np.ndarray) -> np.ndarray:
        """The array as it would be after this write alone."""
        after = self.model.data.copy()
        after.reshape(-1)[view.places] = source
        return after

    @precondition(lambda self: hasattr(self, "store"))
    @rule()
    def compare(self) -> None:
        np.testing.assert_array_equal(self.store.read().result(), self.model.data)

    def teardown(self) -> None:
        try:
            if hasattr(self, "store"):
                self.compare()
        finally:
            if self.folder is not None:
                self.folder.cleanup()


def sharded(codecs: list[Any]) -> dict[str, Any]:
    return {"name": "sharding_indexed", "configuration": {"codecs": codecs}}


class Zarr3Programs(Programs):
    driver = "zarr3"


class Zarr2Programs(Programs):
    driver = "zarr"


class N5Programs(Programs):
    driver = "n5"


SETTINGS = settings(
    max_examples=20,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
for machine in (Zarr3Programs, Zarr2Programs, N5Programs):
    machine.TestCase.settings = SETTINGS

TestZarr3Programs = Zarr3Programs.TestCase
TestZarr2Programs = Zarr2Programs.TestCase
TestN5Programs = N5Programs.TestCase
