"""`Repository`: arrays with a history, from commit to revert, over memory, files and clouds."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unimplemented,
)
from asynctensor.runtime.event_loop import start


async def array(repo: at.Repository, path: str = "image/", **options) -> at.TensorStore:
    made = {"dtype": "uint16", "shape": [8, 8], "chunk_layout": {"chunk": {"shape": [4, 4]}}}
    made = {**made, "create": True, "open": True} if "transaction" in options else {}
    state = {k: options.pop(k) for k in ("branch", "tag", "snapshot", "as_of") if k in options}
    if made:
        made["chunk_layout"] = at.ChunkLayout(chunk_shape=[4, 4])
    spec = {"driver": "zarr3", "kvstore": repo.kvstore(path, **state)}
    return await at.open(spec, **made, **options)


async def written(repo: at.Repository, value: int, message: str) -> str:
    async with repo.transaction(message=message, author="ada") as txn:
        image = await array(repo, transaction=txn)
        await image[...].write(value)
    assert txn.commit_id is not None
    return txn.commit_id


async def log(repo: at.Repository, source: str = "main") -> list[str | None]:
    return [each.message async for each in repo.log(source)]


async def test_a_log_is_a_list_to_who_awaits_it(repo) -> None:
    for number in range(3):
        await repo.kvstore().write(f"key{number}", b"value")
    found = [each async for each in repo.log()]
    assert len(found) == 3
    assert await repo.log() == found
    assert await repo.log(limit=2) == found[:2]
    assert await repo.log().all(timeout=60) == found
    assert await asyncio.to_thread(repo.log().result) == found
    with pytest.raises(at.errors.NotFound):
        await repo.log("nothing")


async def test_two_arrays_are_committed_at_once(repo) -> None:
    outside = repo.kvstore()
    async with repo.transaction(message="plate 7", author="ada", metadata={"plate": 7}) as txn:
        image = await array(repo, transaction=txn)
        labels = await array(repo, "labels/", transaction=txn)
        await asyncio.gather(image[...].write(3), labels[2:, :].write(4))
        assert (await image.read()).tolist() == np.full((8, 8), 3).tolist()
        assert await outside.list() == []
    found = [each async for each in repo.log()]
    assert [(each.id, each.message, each.author) for each in found] == [
        (txn.commit_id, "plate 7", "ada")
    ]
    assert found[0].metadata == {"plate": 7}
    assert found[0].parents == ()
    assert found[0].changes.documents == ("image/zarr.json", "labels/zarr.json")
    assert found[0].changes.chunks == {"image/c/": 4, "labels/c/": 4}
    assert (await (await array(repo, "labels/")).read())[1:3, 0].tolist() == [0, 4]


async def test_an_aborted_transaction_leaves_nothing(repo) -> None:
    with pytest.raises(KeyError):
        async with repo.transaction() as txn:
            await (await array(repo, transaction=txn))[...].write(1)
            raise KeyError
    assert txn.commit_id is None
    assert await repo.kvstore().list() == []
    assert await log(repo) == []


async def test_older_states_stay(repo) -> None:
    first = await written(repo, 1, "one")
    await repo.create_tag("v1", message="first")
    await written(repo, 2, "two")
    assert (await (await array(repo)).read())[0, 0] == 2
    for state in ({"tag": "v1"}, {"snapshot": first}):
        old = await array(repo, **state)
        assert (await old.read())[0, 0] == 1
        with pytest.raises(FailedPrecondition, match="never changes"):
            await old[0, 0].write(9)
    when = [each.time async for each in repo.log()][1]
    old = await array(repo, as_of=when.isoformat())
    assert (await old.read())[0, 0] == 1
    with pytest.raises(NotFound, match="did not exist"):
        await array(repo, as_of="2001-01-01")


async def test_a_url_names_a_state(repo, place) -> None:
    if not str(place).startswith("file"):
        return
    await written(repo, 1, "one")
    await repo.create_tag("v1")
    await written(repo, 2, "two")
    for name, value in (("main", 2), ("@v1", 1), ("", 2)):
        image = await at.open(f"{place}|repo:{name}/|zarr3:image/")
        assert (await image.read())[0, 0] == value
        assert (await at.open(image.url)).spec() == image.spec()


async def test_revert_undoes_one_commit(repo) -> None:
    await written(repo, 1, "one")
    async with repo.transaction(message="corner") as txn:
        image = await array(repo, transaction=txn)
        await image[:4, :4].write(2)
    corner = txn.commit_id
    async with repo.transaction(message="other corner") as txn:
        await (await array(repo, transaction=txn))[4:, 4:].write(3)
    await repo.revert(corner, author="bob")
    image = await array(repo)
    assert (await image.read())[::7, ::7].tolist() == [[1, 1], [1, 3]]
    assert (await log(repo))[0] == f"Revert {corner}: corner"
    with pytest.raises(Aborted, match="written again"):
        await repo.revert(corner)


async def test_reset_is_a_commit(repo) -> None:
    first = await written(repo, 1, "one")
    second = await written(repo, 2, "two")
    with pytest.raises(Aborted, match="newer"):
        await repo.reset("main", first, expected=first)
    await repo.reset("main", first, expected=second, message="back")
    assert (await (await array(repo)).read())[0, 0] == 1
    assert await log(repo) == ["back", "one"]
    assert (await (await array(repo, snapshot=second)).read())[0, 0] == 2
    await written(repo, 5, "five")
    assert await log(repo) == ["five", "back", "one"]


async def test_branches_go_their_own_ways(repo) -> None:
    first = await written(repo, 1, "one")
    await repo.create_branch("fix", first)
    fix = await array(repo, branch="fix")
    await fix[0, 0].write(7)
    await written(repo, 2, "two")
    assert (await fix.read())[0, :2].tolist() == [7, 1]
    assert (await (await array(repo)).read())[0, :2].tolist() == [2, 2]
    assert await log(repo, "fix") == [None, "one"]
    assert [each.name for each in await repo.branches()] == ["fix", "main"]
    with pytest.raises(AlreadyExists):
        await repo.create_branch("fix")
    await repo.delete_branch("fix")
    with pytest.raises(FailedPrecondition, match="deleted"):
        await fix[0, 0].write(8)
    with pytest.raises(NotFound):
        await array(repo, branch="fix")
    await repo.create_branch("fix", "main")
    assert (await (await array(repo, branch="fix")).read())[0, 0] == 2
    with pytest.raises(InvalidArgument, match="'main' is the branch of whoever names none"):
        await repo.delete_branch("main")
    assert (await (await array(repo)).read())[0, 0] == 2


async def test_a_tag_is_never_made_anew(repo) -> None:
    with pytest.raises(FailedPrecondition, match="no commit yet"):
        await repo.create_tag("v1")
    await written(repo, 1, "one")
    await repo.create_tag("v1")
    with pytest.raises(AlreadyExists):
        await repo.create_tag("v1")
    await repo.delete_tag("v1")
    with pytest.raises(AlreadyExists, match="never made anew"):
        await repo.create_tag("v1")
    with pytest.raises(NotFound):
        await repo.delete_tag("v1")


async def test_disjoint_writes_do_not_conflict(repo) -> None:
    await written(repo, 0, "zero")
    one, two = repo.transaction(message="a"), repo.transaction(message="b")
    image = await array(repo)
    await image[:4].with_transaction(one).write(1)
    await image[4:].with_transaction(two).write(2)
    await asyncio.gather(one.commit_async(), two.commit_async())
    assert (await image.read())[::7, 0].tolist() == [1, 2]


async def test_parts_of_one_chunk_are_merged(repo) -> None:
    await written(repo, 0, "zero")
    image = await array(repo)
    rows = [repo.transaction(message=str(i)) for i in range(4)]
    for i, txn in enumerate(rows):
        await image[i, :4].with_transaction(txn).write(i + 1)
    await asyncio.gather(*(txn.commit_async() for txn in rows))
    assert (await image.read())[:4, 0].tolist() == [1, 2, 3, 4]


async def test_write_skew_is_refused(repo) -> None:
    async with repo.transaction() as txn:
        for name in ("x", "y"):
            await repo.kvstore(transaction=txn).write(name, b"1")
    one, two = repo.transaction(), repo.transaction()
    for txn, read, write in ((one, "x", "y"), (two, "y", "x")):
        store = repo.kvstore(transaction=txn)
        assert (await store.read(read)).value == b"1"
        await store.write(write, b"0")
    await one.commit_async()
    with pytest.raises(Aborted, match=r"branch 'main' has changed meanwhile: 'y'") as caught:
        await two.commit_async()
    assert caught.value.conflicts[0].key == "y"
    assert (await repo.kvstore().read("x")).value == b"1"


async def test_a_listing_is_part_of_what_was_read(repo) -> None:
    one = repo.transaction()
    store = repo.kvstore(transaction=one)
    assert await store.list() == []
    await store.write("count", b"0")
    await repo.kvstore().write("new", b"1")
    with pytest.raises(Aborted):
        await one.commit_async()


@pytest.mark.parametrize(("isolation", "lands"), [("snapshot", True), ("blind", True)])
async def test_weaker_isolation(repo, isolation, lands) -> None:
    await repo.kvstore().write("x", b"1")
    txn = repo.transaction(isolation=isolation)
    store = repo.kvstore(transaction=txn)
    await store.read("x")
    await store.write("y", b"0")
    await repo.kvstore().write("x", b"2")
    await txn.commit_async()
    assert (await repo.kvstore().read("y")).value == b"0"


async def test_a_transaction_reads_one_state(repo) -> None:
    await written(repo, 1, "one")
    txn = repo.transaction()
    image = (await array(repo)).with_transaction(txn)
    assert (await image[0, 0].read()) == 1
    await written(repo, 2, "two")
    assert (await image[7, 7].read()) == 1
    txn.abort()


async def test_a_transaction_that_only_reads_is_no_commit(repo) -> None:
    await repo.kvstore().write("x", b"1")
    async with repo.transaction() as txn:
        assert (await repo.kvstore(transaction=txn).read("x")).value == b"1"
    assert txn.commit_id is None
    assert len(await log(repo)) == 1
    async with repo.transaction(message="looked at") as txn:
        await repo.kvstore(transaction=txn).read("x")
    assert (await log(repo))[0] == "looked at"


async def test_a_second_repository_is_refused_when_staged(repo, tmp_path) -> None:
    other = await at.Repository.open(tmp_path / "other", create=True)
    txn = repo.transaction()
    with pytest.raises(FailedPrecondition, match="cannot span"):
        await other.kvstore(transaction=txn).write("a", b"1")
    await repo.kvstore(transaction=txn).write("a", b"1")
    await txn.commit_async()


async def test_many_tasks_commit_in_groups(repo) -> None:
    stores = [repo.kvstore() for _ in range(50)]
    await asyncio.gather(*(s.write(f"key{i}", b"%d" % i) for i, s in enumerate(stores)))
    found = [each async for each in repo.log()]
    assert len(found) == 50
    assert len({each.id.split("-")[1].split(".")[0] for each in found}) < 50
    assert len(await repo.kvstore().list()) == 50


async def test_a_long_history_is_folded(repo, place) -> None:
    image = await array(repo, transaction=(txn := repo.transaction()))
    await txn.commit_async()
    image = await array(repo)
    expected = np.zeros((8, 8), np.uint16)
    for i in range(70):
        expected[i % 8, i % 5] = i
        await image[i % 8, i % 5].write(i)
    branch = repo._state.named["main"]
    assert branch.folding is not None or branch.newest().tail.base[0]
    await start(_settled, branch)
    assert branch.newest().tail.base[0] >= 64
    assert (await image.read()).tolist() == expected.tolist()
    names = [each.key async for each in repo._state.place.names("")]
    assert any(name.startswith("ckpt/") for name in names)
    assert any(name.startswith("hint/") for name in names)
    if place != "memory://lab/":
        from asynctensor.kvstores.repo import state

        state._KNOWN.clear()
        again = await at.Repository.open(place)
        assert (await (await array(again)).read()).tolist() == expected.tolist()
        assert len([each async for each in again.log()]) == 71
        assert sorted(await again.kvstore().list()) == sorted(await repo.kvstore().list())


async def _settled(branch) -> None:
    if branch.folding is not None:
        await branch.folding


async def test_bad_names(repo) -> None:
    for name in ("", "a" * 300, "\ud800"):
        with pytest.raises(InvalidArgument):
            await repo.create_branch(name)
    with pytest.raises(InvalidArgument, match="one"):
        repo.kvstore(branch="a", tag="b")
    with pytest.raises(NotFound, match="no repository"):
        await at.Repository.open("memory://nowhere/")


async def test_a_callers_key_is_committed_once(repo) -> None:
    """Whoever does not know whether it was done does it again."""

    async def job(value: bytes, key: str | None = "job 7") -> str | None:
        async with repo.transaction(message="import", caller_key=key) as txn:
            await repo.kvstore(transaction=txn).write("table", value)
            await repo.kvstore(transaction=txn).write("large", value * 10_000)
        assert txn.caller_key == key
        return txn.commit_id

    first = await job(b"1")
    assert first is not None
    assert await job(b"again") == first
    assert (await repo.kvstore().read("table")).value == b"1"
    assert [each.message async for each in repo.log()] == ["import"]
    assert await job(b"2", "job 8") != first
    assert await job(b"3", None) != first
    for bad in ("", "x" * 256, 7):
        with pytest.raises(InvalidArgument, match="caller_key"):
            repo.transaction(caller_key=bad)
    with pytest.raises(InvalidArgument, match="atomic"):
        at.Transaction(atomic=False, caller_key="k")


async def test_a_callers_key_needs_a_repository() -> None:
    store = await at.KvStore.open("memory://")
    with pytest.raises(Unimplemented, match="caller_key"):
        async with at.Transaction(caller_key="k") as txn:
            await store.with_transaction(txn).write("a", b"1")
