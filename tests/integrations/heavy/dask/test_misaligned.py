"""Dask's chunks against shards, at random; names across processes; receipts that are lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as at
from asynctensor.errors import Aborted, AlreadyExists, FailedPrecondition
from asynctensor.integrations.dask import Target, gather, store, to_dask
from tests.servers.process import ROOT

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=5)


@settings(max_examples=40)
@given(st.tuples(SIZES, SIZES), st.tuples(st.integers(1, 7), st.integers(1, 7)), st.booleans())
def test_any_chunks_into_any_shards(chunks, inner, in_one) -> None:
    shape = [sum(sizes) for sizes in chunks]
    values = np.arange(1, 1 + shape[0] * shape[1], dtype="int32").reshape(shape)
    context = at.Context()
    repo = at.Repository.open("memory://lab/", create=True, context=context).result()
    layout = at.ChunkLayout(read_chunk_shape=inner, write_chunk_shape=[2 * inner[0], 3 * inner[1]])
    array = at.open(
        {"driver": "zarr3", "kvstore": repo.kvstore("a/")}, create=True, dtype="int32", shape=shape,
        chunk_layout=layout, context=context,
    ).result()  # fmt: skip
    source = da.from_array(values, chunks=chunks)
    with repo.transaction() as txn:
        into = array.with_transaction(txn)
        if in_one:
            store(source, into, scheduler="sync")
        else:
            da.store(source, Target.of(into), lock=False, scheduler="sync")
            gather(txn).result()
        assert len(txn.receipts) == source.npartitions
    assert (array.read().result() == values).all()
    assert (to_dask(array).compute(scheduler="sync") == values).all()


LISTS = st.lists(st.integers(-12, 11), max_size=20)


@settings(max_examples=40)
@given(LISTS, st.slices(9), st.booleans())
def test_any_list_selects_as_numpy_does(numbers, rest, first) -> None:
    values = np.arange(108, dtype="int32").reshape(12, 9)
    layout = at.ChunkLayout(chunk_shape=[5, 4])
    array = at.open(
        "memory://a/|zarr3:", create=True, dtype="int32", shape=[12, 9], chunk_layout=layout,
        context=at.Context(),
    ).result()  # fmt: skip
    array.write(values).result()
    found, wanted = to_dask(array), values
    if not first:
        found, wanted = to_dask(array.T), values.T
        numbers, rest = [number for number in numbers if -9 <= number < 9], slice(None)
    assert (found[numbers, rest].compute(scheduler="sync") == wanted[numbers, rest]).all()
    assert found[numbers, rest].shape == wanted[numbers, rest].shape


NAME = """
import sys
import asynctensor as at
from asynctensor.integrations.dask import to_dask
array = at.open(sys.argv[1]).result()
print(to_dask(array).name, to_dask(array[3:]).name, to_dask(array)[[1, 5]].name)
"""


def test_names_are_the_same_in_another_process(tmp_path: Path) -> None:
    repo = at.Repository.open(tmp_path, create=True).result()
    url = f"file://{tmp_path}/|repo:|zarr3:a/"
    array = at.open(url, create=True, dtype="int32", shape=[20]).result()
    repo.refresh().result()
    names = [to_dask(array).name, to_dask(array[3:]).name, to_dask(array)[[1, 5]].name]
    done = subprocess.run(
        [sys.executable, "-c", NAME, url], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == names


def target(repo: at.Repository, txn: at.Transaction) -> Target:
    array = at.open(
        {"driver": "zarr3", "kvstore": repo.kvstore("a/")}, create=True, open=True, dtype="int32",
        shape=[10], chunk_layout=at.ChunkLayout(chunk_shape=[4]),
    ).result()  # fmt: skip
    return Target.of(array.with_transaction(txn))


def stored(repo: at.Repository) -> list[int]:
    found = at.open({"driver": "zarr3", "kvstore": repo.kvstore("a/")}).result()
    return found.read().result().tolist()


def test_a_task_that_died_before_its_receipt_came_is_done_again(tmp_path: Path) -> None:
    """What the dead one has stored counts as well, where parts are looked for; and once."""
    repo = at.Repository.open(tmp_path, create=True).result()
    for looked_for in (False, True):
        with repo.transaction() as txn:
            shared = target(repo, txn)
            shared.write((slice(0, 6),), 7)  # Its receipt is lost.
            again = shared.write((slice(0, 6),), 7, attempt=1)
            other = shared.write((slice(6, 10),), 8)
            if looked_for:
                assert len(txn.find_receipts().result()) == 3
                assert gather(txn).result() == 2
            for receipt in (again, other, other):
                txn.add(receipt)
            assert len(txn.receipts) == 2
        assert stored(repo) == [7] * 6 + [8] * 4


def test_tasks_that_come_too_late(tmp_path: Path) -> None:
    repo = at.Repository.open(tmp_path, create=True).result()
    with repo.transaction() as done:
        shared = target(repo, done)
        first = shared.write((slice(0, 4),), 1)
        done.add(first)
    with pytest.raises(FailedPrecondition, match="committed"):
        shared.write((slice(0, 4),), 2)
    with pytest.raises(FailedPrecondition):
        done.add(first)
    again = at.Transaction.resume(shared.token).result()
    again.add(first)
    again.commit_sync()
    assert again.commit_id == done.commit_id
    more = at.Transaction.resume(shared.token).result()
    with pytest.raises(AlreadyExists):
        more.commit_sync()
    assert stored(repo) == [1] * 4 + [0] * 6

    given_up = repo.transaction()
    shared = target(repo, given_up)
    early = shared.write((slice(0, 4),), 3)
    given_up.abort()
    with pytest.raises(Aborted):
        given_up.future.result()
    with pytest.raises(Aborted):
        shared.write((slice(4, 8),), 3)
    with pytest.raises(Aborted):
        at.Transaction.resume(shared.token).result()
    with repo.transaction() as txn:
        target(repo, txn)
        with pytest.raises(at.errors.InvalidArgument, match="of transaction"):
            txn.add(early)
    assert stored(repo) == [1] * 4 + [0] * 6
