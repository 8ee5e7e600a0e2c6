"""`Repository.diff`: arrays with regions, groups and documents, between commits and branches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as at
from asynctensor.errors import NotFound
from asynctensor.repository.changes import ArrayChange, ChunkCounts


@pytest.fixture
async def repo() -> at.Repository:
    return await at.Repository.open("memory://lab/", create=True)


async def array(repo: at.Repository, path: str, **options: Any) -> at.TensorStore:
    driver, branch = options.pop("driver", "zarr3"), options.pop("branch", None)
    if options.get("create"):
        options = {"dtype": "uint16", "shape": [8, 8], **options}
        options["chunk_layout"] = at.ChunkLayout(chunk_shape=options.pop("chunk", [4, 4]))
    spec = {"driver": driver, "kvstore": repo.kvstore(path, branch=branch)}
    return await at.open(spec, **options)


def boxes(change: ArrayChange | None) -> list[list[tuple[int, int]]]:
    assert change is not None
    assert change.exact
    return [
        list(zip(each.inclusive_min, each.exclusive_max, strict=True)) for each in change.regions
    ]


@pytest.mark.parametrize("driver", ["zarr3", "zarr2", "n5"])
async def test_regions_of_an_array(repo: at.Repository, driver: str) -> None:
    shape = {"shape": [10, 20], "chunk": [4, 5]}
    # A number in the path stands before those of the chunk in "lab/0/1/2" of zarr2.
    image = await array(repo, "lab/0/", driver=driver, create=True, **shape)
    await image[...].write(1)
    await repo.create_tag("v1")
    await image[5:9, 3:11].write(2)
    found = await repo.diff("v1")
    assert [str(each) for each in found] == ["~ array lab/0: chunks 6 changed, in [4:10, 0:15]"]
    change = found.array("lab/0/")
    assert boxes(change) == [[(4, 10), (0, 15)]]
    assert change.driver == ("zarr" if driver == "zarr2" else driver)
    assert boxes((await repo.diff("main", "v1")).array("lab/0")) == [[(4, 10), (0, 15)]]
    assert len(await repo.diff("main", "main")) == 0
    assert "no difference" in repr(await repo.diff("v1", "v1"))


async def test_what_became_of_arrays_groups_and_documents(repo: at.Repository) -> None:
    group = await at.create_group(repo.kvstore("plates/"), attributes={"lab": "x"})
    for path in ("plates/a/", "plates/b/"):
        await (await array(repo, path, create=True))[...].write(1)
    await repo.kvstore().write("notes.txt", b"one")
    await repo.kvstore().write("raw/0/7", b"one")
    await repo.create_tag("v1")
    async with repo.transaction() as txn:
        one = await array(repo, "plates/a/", transaction=txn)
        await one.resize(exclusive_max=[12, 4])
        two = await array(repo, "plates/c/", create=True, dtype="float32", transaction=txn)
        await two[:4].write(1)
        kv = repo.kvstore().with_transaction(txn)
        await kv.delete_range(at.KvStore.KeyRange("plates/b/", "plates/b0"))
        await kv.write("notes.txt", b"two")
        await kv.write("more.txt", b"three")
        await kv.write("raw/0/9", b"two")
    await group.attrs.update({"lab": "y"})
    found = await repo.diff("v1", "main")
    assert (found.base, found.target) != (found.target, found.base)
    assert [(each.path, each.kind) for each in found.arrays] == [
        ("plates/a", "changed"), ("plates/b", "deleted"), ("plates/c", "created"),
    ]  # fmt: skip
    resized, gone, made = found.arrays
    assert resized.resized
    assert resized.members == ("shape",)
    assert (resized.before.shape, resized.after.shape) == ((8, 8), (12, 4))
    assert resized.chunks == ChunkCounts(deleted=2)
    assert boxes(resized) == [[(0, 8), (4, 8)]]
    assert (gone.after, gone.chunks) == (None, ChunkCounts(deleted=4))
    assert (made.before, made.after.dtype) == (None, "float32")
    assert boxes(made) == [[(0, 4), (0, 8)]]
    (changed,) = found.groups
    assert (changed.path, changed.kind) == ("plates", "changed")
    assert (changed.attributes_before, changed.attributes_after) == ({"lab": "x"}, {"lab": "y"})
    assert [(each.key, each.kind) for each in found.documents] == [
        ("more.txt", "created"), ("notes.txt", "changed"),
    ]  # fmt: skip
    (raw,) = found.chunks
    assert (raw.prefix, raw.chunks) == ("raw/", ChunkCounts(created=1))
    text = repr(found)
    assert "3 arrays" not in text
    for line in (
        "~ array plates/a: shape [8, 8] -> [12, 4], chunks 2 deleted, in [0:8, 4:8]",
        "- array plates/b: uint16 [8, 8], chunks 4 deleted, in [0:8, 0:8]",
        "+ more.txt",
        "~ group plates",
    ):
        assert line in text
    streamed = [each async for each in repo.diff("v1", "main")]
    assert sorted(map(str, streamed)) == sorted(map(str, found))


async def test_an_array_made_anew_with_other_chunks(repo: at.Repository) -> None:
    await (await array(repo, "image/", create=True))[...].write(1)
    await repo.create_tag("v1")
    image = await array(
        repo, "image/", create=True, delete_existing=True, shape=[6, 6], chunk=[2, 2]
    )
    await image[2:4, 2:4].write(1)
    change = (await repo.diff("v1")).array("image")
    assert change.members == ("shape", "chunk_shape")
    # Chunk (1, 1) stands for other indices now; the other three of the old grid are gone.
    assert sorted(boxes(change)) == [[(0, 4), (0, 8)], [(2, 4), (2, 4)], [(4, 8), (0, 4)]]


async def test_between_branches(repo: at.Repository) -> None:
    image = await array(repo, "image/", create=True)
    await image[...].write(1)
    await repo.create_branch("fix")
    await image[:4, :4].write(2)
    fix = await array(repo, "image/", branch="fix")
    await fix[4:, 4:].write(3)
    for one, other in (("main", "fix"), ("fix", "main")):
        change = (await repo.diff(one, other)).array("image")
        assert boxes(change) == [[(0, 4), (0, 4)], [(4, 8), (4, 8)]]
    with pytest.raises(NotFound, match="no branch, tag or commit 'nope'"):
        await repo.diff("nope")


async def test_from_nothing(repo: at.Repository) -> None:
    found = await repo.diff("main")
    assert (found.base, found.target, len(found)) == ("", "", 0)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.tuples(st.integers(0, 11), st.integers(1, 6))] * 2), min_size=1, max_size=4
    )
)
async def test_regions_cover_what_was_written(writes: list) -> None:
    repo = await at.Repository.open(
        {"driver": "memory", "path": "r/"}, create=True, context=at.Context()
    )
    image = await array(repo, "image/", create=True, shape=[12, 12], chunk=[3, 4])
    await repo.create_tag("v1")
    touched = np.zeros((4, 3), bool)
    for number, ((row, rows), (column, columns)) in enumerate(writes):
        rows, columns = min(12, row + rows), min(12, column + columns)
        await image[row:rows, column:columns].write(number + 1)
        touched[row // 3 : -(-rows // 3), column // 4 : -(-columns // 4)] = True
    change = (await repo.diff("v1")).array("image")
    covered = np.zeros((12, 12), int)
    for (top, bottom), (left, right) in boxes(change):
        covered[top:bottom, left:right] += 1
    assert covered.tolist() == np.kron(touched, np.ones((3, 4), int)).tolist()
    assert change.chunks.created == touched.sum()
