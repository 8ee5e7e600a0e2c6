"""`Repository.diff` where objects are lost or damaged: right, or an error that names them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import asynctensor as at
from asynctensor.errors import DataLoss, Error, NotFound
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.kvstores.repo.lookup import family_root
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.part import Part
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.opening import open_store
from asynctensor.repository.changes import Change
from asynctensor.runtime.event_loop import start


async def array(repo: at.Repository, path: str, txn: at.Transaction, **options) -> at.TensorStore:
    spec = {"driver": "zarr3", "kvstore": repo.kvstore(path)}
    return await at.open(spec, transaction=txn, **options)


async def fold(repo: at.Repository) -> None:
    branch = await start(repo._state.branch, "main")
    await start(fold_branch, branch, repo._state.place)


async def lived(folder: Path, *, folded: bool = True) -> at.Repository:
    """Two states, each with a checkpoint: `v1`, and the newest one, in which all of it differs.

    If not folded, the newest has none: what differs stands in the parts of its commit.
    """
    repo = await at.Repository.open(f"file://{folder}/", create=True)
    made = {"create": True, "dtype": "uint16", "shape": [40, 40]}
    layout = at.ChunkLayout(chunk_shape=[2, 2])
    async with repo.transaction() as txn:
        for path in ("one/", "two/", "three/"):
            image = await array(repo, path, txn, chunk_layout=layout, **made)
            await image.write(1)
        await repo.kvstore(transaction=txn).write("note", b"first")
    await fold(repo)
    await repo.create_tag("v1")
    txn = repo.transaction()
    for path, rows in (("one/", 4), ("two/", 6)):
        async with await at.Transaction.join(txn.share()) as part:
            await (await array(repo, path, part))[:rows].write(2)
            txn.add(await part.finish(worker=path))
    async with await at.Transaction.join(txn.share()) as part:
        attributes = await at.open_attributes(repo.kvstore("three/"), transaction=part)
        await attributes.update({"long": "x" * 20000})
        txn.add(await part.finish(worker="three/"))
    await repo.kvstore(transaction=txn).write("note", b"second")
    await txn.commit_async()
    if folded:
        await fold(repo)
    return repo


async def fresh(folder: Path) -> at.Repository:
    """The repository as a process has it that knows nothing of it yet."""
    spec = KvStoreSpec.of("file", f"{folder}/")
    context = at.Context()
    state = RepositoryState(place_of(*open_store(spec.bound(context), context)))
    await start(state.description)
    return at.Repository(state, spec, context)


async def differing(folder: Path) -> tuple[list[Change], Error | None]:
    """What whoever opens the repository anew is told, and how that ended."""
    found: list[Change] = []
    try:
        async for change in (await fresh(folder)).diff("v1", "main"):
            found.append(change)
    except Error as error:
        return found, error
    return found, None


async def put(path: Path, data: bytes | None) -> None:
    await asyncio.to_thread(path.unlink if data is None else lambda: path.write_bytes(data))


EXPECTED = {
    "~ array one: chunks 40 changed, in [0:4, 0:40]",
    "~ array two: chunks 60 changed, in [0:6, 0:40]",
    "~ array three: attributes",
    "~ note",
}


async def test_each_object_that_is_lost_or_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "lab"
    await lived(folder)
    truth, error = await differing(folder)
    assert ({str(each) for each in truth}, error) == (EXPECTED, None)
    kinds: set[tuple[str, bool]] = set()
    for path in [each for each in sorted(folder.rglob("*")) if each.is_file()]:
        name = path.relative_to(folder).as_posix()
        data = path.read_bytes()
        flipped = bytearray(data)
        flipped[len(data) // 2] ^= 0x20
        for damaged in (None, bytes(flipped), data[: len(data) // 2]):
            await put(path, damaged)
            if name == "repo.json" and damaged is None:
                await put(path, data)
                continue
            found, error = await differing(folder)
            told = [str(each) for each in found]
            assert len(told) == len(set(told))
            assert set(told) <= EXPECTED
            if error is None:
                assert set(told) == EXPECTED
            elif name.startswith("ref/") and damaged is None:
                assert isinstance(error, NotFound)
            else:
                assert isinstance(error, DataLoss)
                assert error.key is not None
            kinds.add((name.partition("/")[0], error is None))
            await put(path, data)
    # What can be made up for is, and what a diff does not need is not missed.
    assert {("idx", True), ("ckpt", True), ("hint", True), ("data", True)} <= kinds
    assert not kinds & {("idx", False), ("ckpt", False), ("hint", False)}
    assert caplog.text.count("are lost") > 3


async def flip(path: Path, at_: int) -> None:
    data = bytearray(await asyncio.to_thread(path.read_bytes))
    data[at_] ^= 1
    await put(path, bytes(data))


@pytest.mark.parametrize("path", ["one/", "two/"])
async def test_what_does_not_need_the_lost_is_told(tmp_path: Path, path: str) -> None:
    """A page of one array is lost, and so is what was folded into it."""
    folder = tmp_path / "lab"
    repo = await lived(folder)
    snapshot = (await start(repo._state.branch, "main")).newest()
    family = Family.of(f"{path}c/", "/", 2)
    root = await start(snapshot.pages.run, family_root(snapshot.tail, family))
    assert root is not None
    await flip(folder / root.object, root.offset + root.size // 2)
    for part in (folder / "part").rglob("*/*/*"):
        if Part.decode(part.read_bytes(), object=part.name).worker == path:
            await put(part, None)
    found, error = await differing(folder)
    assert isinstance(error, DataLoss)
    assert error.key == root.object
    lost = f"~ array {path[:-1]}:"
    assert {str(each) for each in found} == {each for each in EXPECTED if not each.startswith(lost)}
    with pytest.raises(DataLoss, match=root.object):
        await (await fresh(folder)).diff("v1")


@pytest.mark.parametrize("path", ["one/", "two/", "three/"])
@pytest.mark.parametrize("damage", ["gone", "flipped"])
async def test_what_does_not_need_a_lost_part_of_a_commit_is_told(
    tmp_path: Path, path: str, damage: str
) -> None:
    folder = tmp_path / "lab"
    await lived(folder, folded=False)
    truth, error = await differing(folder)
    assert ({str(each) for each in truth}, error) == (EXPECTED, None)
    lost = ""
    for part in (folder / "part").rglob("*/*/*"):
        if Part.decode(part.read_bytes(), object=part.name).worker == path:
            lost = part.relative_to(folder).as_posix()
            if damage == "gone":
                await put(part, None)
            else:
                await flip(part, 40)
    found, error = await differing(folder)
    assert isinstance(error, DataLoss)
    assert error.key == lost
    unknown = f"~ array {path[:-1]}:"
    expected = {each for each in EXPECTED if not each.startswith(unknown)}
    assert {str(each) for each in found} == expected
    assert len(found) == len(expected)


async def test_a_document_that_is_lost_hides_its_node_alone(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    repo = await lived(folder)
    snapshot = (await start(repo._state.branch, "main")).newest()
    found = await start(snapshot.find, "three/zarr.json")
    assert found is not None
    await flip(folder / found[1].object, found[1].offset + 5)
    changes, error = await differing(folder)
    assert isinstance(error, DataLoss)
    assert "three/zarr.json" in str(error)
    assert {str(each) for each in changes} == EXPECTED - {"~ array three: attributes"}
