"""Every operation in transactions of a repository, against arrays in memory."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import asynctensor as at
from asynctensor.errors import AlreadyExists, NotFound

NAMES = st.sampled_from(["a", "g/b", "g/c"])
KINDS = st.sampled_from(["zarr3", "shards", "zarr2", "n5"])
CHUNK, WIDTH = 4, 3


@dataclass
class Model:
    """One array, or JSON value, as it should be."""

    kind: str
    data: np.ndarray
    attributes: dict[str, Any] = field(default_factory=dict)


class Transactions(RuleBasedStateMachine):
    """A transaction at a time; what it sees, and what everybody else sees."""

    @initialize()
    def begin(self) -> None:
        self.repo = at.Repository.open("memory://lab/", create=True, context=at.Context()).result()
        self.stored: dict[str, Model] = {}
        self.staged: dict[str, Model] = {}
        self.txn: at.Transaction | None = None

    def spec(self, name: str, kind: str) -> dict[str, Any]:
        kvstore = self.repo.kvstore(f"{name}/")
        return {"driver": "zarr3" if kind == "shards" else kind, "kvstore": kvstore}

    def store(self, name: str, *, staged: bool = True) -> at.TensorStore:
        kind = (self.staged if staged else self.stored)[name].kind
        txn = self.txn if staged else None
        return at.open(self.spec(name, kind), transaction=txn).result()

    @precondition(lambda self: self.txn is None)
    @rule()
    def start(self) -> None:
        self.txn = self.repo.transaction(message="machine")
        self.staged = copy.deepcopy(self.stored)

    @precondition(lambda self: self.txn is not None)
    @rule()
    def commit(self) -> None:
        assert self.txn is not None
        self.txn.commit_sync(timeout=60)
        self.stored, self.txn = self.staged, None

    @precondition(lambda self: self.txn is not None)
    @rule()
    def abort(self) -> None:
        assert self.txn is not None
        self.txn.abort()
        self.txn, self.staged = None, copy.deepcopy(self.stored)

    @precondition(lambda self: self.txn is not None)
    @rule(
        name=NAMES, kind=KINDS, size=st.integers(0, 9), mode=st.sampled_from(["", "open", "anew"])
    )
    def create(self, name: str, kind: str, size: int, mode: str) -> None:
        inner = [2, WIDTH] if kind == "shards" else [CHUNK, WIDTH]
        known = self.staged.get(name)
        if known is not None and mode != "anew":
            if known.kind != kind or mode == "open":
                return
            try:
                self.made(name, kind, size, inner)
            except AlreadyExists:
                return
            raise AssertionError("it was created twice")
        self.made(name, kind, size, inner, open=mode == "open", delete_existing=mode == "anew")
        self.staged[name] = Model(kind, np.zeros((size, WIDTH), "i4"))

    def made(self, name: str, kind: str, size: int, inner: list[int], **mode: bool) -> None:
        layout = at.ChunkLayout(write_chunk_shape=[CHUNK, WIDTH], read_chunk_shape=inner)
        at.open(
            self.spec(name, kind), create=True, dtype="int32", shape=[size, WIDTH],
            chunk_layout=layout, transaction=self.txn, **mode,
        ).result(timeout=60)  # fmt: skip

    @precondition(lambda self: self.txn is not None and self.staged)
    @rule(
        pick=st.integers(0, 9),
        low=st.integers(0, 9),
        count=st.integers(0, 9),
        value=st.integers(0, 3),
    )
    def write(self, pick: int, low: int, count: int, value: int) -> None:
        model, store = self.picked(pick)
        low = min(low, len(model.data))
        high = min(low + count, len(model.data))
        store[low:high, 1:].write(value).result(timeout=60)
        model.data[low:high, 1:] = value
        store[low:high].write(model.data[low:high]).result(timeout=60)

    @precondition(lambda self: self.txn is not None and self.staged)
    @rule(pick=st.integers(0, 9), size=st.integers(0, 12))
    def resize(self, pick: int, size: int) -> None:
        model, store = self.picked(pick)
        if size < len(model.data):
            # What is left of a chunk in which the array ends is not erased.
            size -= size % CHUNK
        store.resize(exclusive_max=[size, WIDTH]).result(timeout=60)
        model.data = np.concatenate([model.data, np.zeros((20, WIDTH), "i4")])[:size]

    @precondition(lambda self: self.txn is not None and self.staged)
    @rule(pick=st.integers(0, 9), count=st.integers(1, 5), value=st.integers(1, 3))
    def append(self, pick: int, count: int, value: int) -> None:
        model, store = self.picked(pick)
        block = np.full((count, WIDTH), value, "i4")
        assert store.append(block).result(timeout=60).shape == (len(model.data) + count, WIDTH)
        model.data = np.concatenate([model.data, block])

    @precondition(lambda self: self.txn is not None and self.staged)
    @rule(pick=st.integers(0, 9), name=st.sampled_from("xyz"), value=st.integers(0, 2))
    def attribute(self, pick: int, name: str, value: int) -> None:
        model, store = self.picked(pick)
        attributes = at.open_attributes(store).result(timeout=60)
        if value:
            attributes.set(name, value).result(timeout=60)
            model.attributes[name] = value
        else:
            attributes.delete(name).result(timeout=60)
            model.attributes.pop(name, None)

    @precondition(lambda self: self.txn is not None and self.staged)
    @rule(pick=st.integers(0, 9))
    def delete(self, pick: int) -> None:
        name = sorted(self.staged)[pick % len(self.staged)]
        store = self.repo.kvstore(f"{name}/", transaction=self.txn)
        store.delete_range(at.KvStore.KeyRange()).result(timeout=60)
        del self.staged[name]

    def picked(self, pick: int) -> tuple[Model, at.TensorStore]:
        name = sorted(self.staged)[pick % len(self.staged)]
        return self.staged[name], self.store(name)

    @invariant()
    def everybody_sees_what_is_theirs(self) -> None:
        self.check(self.stored, staged=False)
        if self.txn is not None:
            self.check(self.staged, staged=True)

    def check(self, models: dict[str, Model], *, staged: bool) -> None:
        kvstore = self.repo.kvstore(transaction=self.txn if staged else None)
        keys = {key.decode() for key in kvstore.list().result(timeout=60)}
        documents = ("zarr.json", ".zarray", "attributes.json")
        found = {key.rpartition("/")[0] for key in keys if key.rpartition("/")[2] in documents}
        assert found == set(models)
        for name, model in models.items():
            store = self.store(name, staged=staged)
            assert store.shape == model.data.shape
            assert store.read().result(timeout=60).tolist() == model.data.tolist()
            assert at.open_attributes(store).result(timeout=60).asdict() == model.attributes
        for name in {"a", "g/b", "g/c"} - models.keys():
            try:
                at.open(self.spec(name, "zarr3"), transaction=self.txn if staged else None).result()
            except NotFound:
                continue
            raise AssertionError(f"{name} is there")


TestTransactions = Transactions.TestCase
TestTransactions.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
