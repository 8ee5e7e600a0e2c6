"""Metadata that merges is merged; the rest is refused by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import Aborted


@pytest.fixture
async def repo() -> at.Repository:
    return await at.Repository.open("memory://lab/", create=True, context=at.Context())


@pytest.fixture(params=["zarr3", "zarr2", "n5", "shards"])
def driver(request: pytest.FixtureRequest) -> str:
    return request.param


async def made(repo: at.Repository, driver: str = "zarr3", **given: Any) -> at.TensorStore:
    """An array of 20 x 6 int32 in chunks (or shards) of 8 x 6."""
    inner = [2, 3] if driver == "shards" else [8, 6]
    spec = {
        "driver": "zarr3" if driver == "shards" else driver,
        "kvstore": repo.kvstore("a/", transaction=given.get("transaction")),
    }
    given = {"create": True, "dtype": "int32", "shape": [20, 6], **given}
    layout = at.ChunkLayout(write_chunk_shape=[8, 6], read_chunk_shape=inner)
    return await at.open(spec, chunk_layout=layout, **given)


async def both(repo: at.Repository, store: at.TensorStore) -> tuple[Any, Any]:
    """The array in two transactions that begin at one state."""
    one, two = repo.transaction(message="one"), repo.transaction(message="two")
    found = store.with_transaction(one), store.with_transaction(two)
    for each in found:
        await each.resolve()
    return found


async def attributes(store: at.TensorStore) -> dict[str, Any]:
    return (await at.open_attributes(store)).asdict()


async def test_different_attributes_merge(repo: at.Repository, driver: str) -> None:
    store = await made(repo, driver)
    await (await at.open_attributes(store)).update({"kept": 0, "gone": 0})
    one, two = await both(repo, store)
    await (await at.open_attributes(one)).update({"x": 1})
    first, second = await at.open_attributes(two), await at.open_attributes(two)
    await first.set("y", 2)
    await second.delete("gone")
    assert (await first.refresh()).asdict() == {"kept": 0, "y": 2}
    await two.transaction.commit_async()
    await one.transaction.commit_async()
    assert await attributes(store) == {"kept": 0, "x": 1, "y": 2}
    assert [each.message async for each in repo.log()][:2] == ["one", "two"]


async def test_the_same_attribute_is_refused(repo: at.Repository, driver: str) -> None:
    store = await made(repo, driver)
    one, two = await both(repo, store)
    await (await at.open_attributes(one)).set("x", 1)
    await (await at.open_attributes(two)).set("x", 2)
    await one.transaction.commit_async()
    with pytest.raises(Aborted, match=r"x.* of this document.*a/") as caught:
        await two.transaction.commit_async()
    assert "x" in caught.value.members[0]
    assert caught.value.key.startswith("a/")
    assert await attributes(store) == {"x": 1}


async def test_the_same_change_twice_lands(repo: at.Repository) -> None:
    store = await made(repo)
    for each in await both(repo, store):
        await (await at.open_attributes(each)).set("x", 1)
        await each.transaction.commit_async()
    assert await attributes(store) == {"x": 1}


LOOKS: dict[str, Callable[[at.Attributes], object]] = {
    "item": lambda attrs: attrs["x"],
    "get": lambda attrs: attrs.get("x"),
    "in": lambda attrs: "x" in attrs,
    "all": dict,
    "len": len,
    "asdict": lambda attrs: attrs.asdict(),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("changed", ["x", "y"])
async def test_attributes_that_were_looked_at_must_not_change(
    repo: at.Repository, look: str, changed: str
) -> None:
    store = await made(repo)
    await (await at.open_attributes(store)).set("x", 0)
    one, two = await both(repo, store)
    attrs = await at.open_attributes(one)
    LOOKS[look](attrs)
    await attrs.set("sum", 1)
    await (await at.open_attributes(two)).set(changed, 5)
    await two.transaction.commit_async()
    if changed == "x" or look in ("all", "len", "asdict"):
        with pytest.raises(Aborted, match=changed):
            await one.transaction.commit_async()
    else:
        await one.transaction.commit_async()
        assert await attributes(store) == {"x": 0, "y": 5, "sum": 1}


async def test_conditions_and_replacing_count_in_every_isolation(repo: at.Repository) -> None:
    store = await made(repo)
    await (await at.open_attributes(store)).set("x", 0)
    for change in (
        lambda attrs: attrs.set("z", 1, if_equal=at.Attributes.MISSING),
        lambda attrs: attrs.update({"w": 1}, if_equal={"x": 0}),
        lambda attrs: attrs.replace({"w": 2}),
    ):
        txn = repo.transaction(isolation="blind")
        await change(await at.open_attributes(store.with_transaction(txn)))
        now = await attributes(store)
        await (await at.open_attributes(store)).update({"x": 1, "z": 2, "v": 3})
        with pytest.raises(Aborted):
            await txn.commit_async()
        await (await at.open_attributes(store)).replace(now)


async def test_different_axes_grow(repo: at.Repository, driver: str) -> None:
    store = await made(repo, driver)
    one, two = await both(repo, store)
    await (await one.resize(exclusive_max=[30, 6]))[25, :6].write(1)
    await (await two.resize(exclusive_max=[20, 9]))[3, 8].write(2)
    await one.transaction.commit_async()
    await two.transaction.commit_async()
    store = await store.resolve()
    assert store.shape == (30, 9)
    data = await store.read()
    assert (data[25, :6] == 1).all()
    assert data[3, 8] == 2
    assert data.sum() == 8


async def test_one_axis_is_refused(repo: at.Repository, driver: str) -> None:
    store = await made(repo, driver)
    one, two = await both(repo, store)
    await one.resize(exclusive_max=[30, 6])
    await two.resize(exclusive_max=[31, 6])
    await one.transaction.commit_async()
    with pytest.raises(Aborted, match=r"\[0\]"):
        await two.transaction.commit_async()
    assert (await store.resolve()).shape == (30, 6)


async def test_writes_land_beside_a_resize(repo: at.Repository, driver: str) -> None:
    store = await made(repo, driver)
    one, two = await both(repo, store)
    await one[:5].write(1)
    await two.resize(exclusive_max=[30, 6])
    await (await at.open_attributes(two)).set("x", 1)
    await two.transaction.commit_async()
    await one.transaction.commit_async()
    store = await store.resolve()
    assert store.shape == (30, 6)
    assert (await store.read()).sum() == 30


async def test_writes_beyond_a_smaller_array_are_refused(repo: at.Repository, driver: str) -> None:
    store = await made(repo, driver)
    for isolation in ("serializable", "snapshot", "blind"):
        txn, smaller = repo.transaction(isolation=isolation), repo.transaction()
        staged = store.with_transaction(txn)
        await staged[12:14].write(1)
        await store.with_transaction(smaller).resize(exclusive_max=[13, 6])
        await smaller.commit_async()
        with pytest.raises(Aborted, match=r"\[0\]"):
            await txn.commit_async()
        txn = repo.transaction(isolation=isolation)
        await store.with_transaction(txn)[:12].write(1)
        await txn.commit_async()
        await store.resize(exclusive_max=[20, 6])
        assert (await store[12:20].read()).sum() == 0


async def test_bounds_that_were_read_must_not_change(repo: at.Repository, driver: str) -> None:
    store = await made(repo, driver)
    for bounds in (np.s_[:5], np.s_[...]):
        one, two = await both(repo, store)
        await (await at.open_attributes(one)).set("sum", int((await one[bounds].read()).sum()))
        upper = (await store.resolve()).shape[0] + 1
        await two.resize(exclusive_max=[upper, 6])
        await two.transaction.commit_async()
        if bounds == np.s_[:5]:
            await one.transaction.commit_async()
        else:
            with pytest.raises(Aborted, match=r"\[0\]"):
                await one.transaction.commit_async()


async def test_an_array_made_anew_is_no_place_for_old_writes(
    repo: at.Repository, driver: str
) -> None:
    store = await made(repo, driver)
    txn = repo.transaction(isolation="blind")
    await store.with_transaction(txn)[:5].write(1)
    await made(repo, driver, dtype="uint16", delete_existing=True)
    with pytest.raises(Aborted, match=r"(data_type|dtype|dataType).* of this document"):
        await txn.commit_async()
    txn = repo.transaction()
    again = await at.open(
        {"driver": store.spec().driver, "kvstore": repo.kvstore("a/")}, transaction=txn
    )
    await again[:5].write(1)
    await repo.kvstore().delete_range(at.KvStore.KeyRange("a/", "a0"))
    with pytest.raises(Aborted, match="all of this document"):
        await txn.commit_async()


async def test_the_same_array_may_be_made_twice(repo: at.Repository, driver: str) -> None:
    one, two = repo.transaction(), repo.transaction()
    for number, txn in enumerate((one, two)):
        store = await made(repo, driver, open=True, transaction=txn)
        await store[number * 4 : number * 4 + 4].write(number + 1)
    await one.commit_async()
    await two.commit_async()
    store = await made(repo, driver, open=True)
    assert (await store[:, 0].read()).tolist() == [1] * 4 + [2] * 4 + [0] * 12


async def test_another_array_is_refused(repo: at.Repository) -> None:
    one, two = repo.transaction(), repo.transaction()
    await made(repo, open=True, transaction=one)
    await made(repo, open=True, transaction=two, dtype="int8")
    await one.commit_async()
    with pytest.raises(Aborted, match="data_type"):
        await two.commit_async()


async def test_groups_on_the_way_are_made_by_both(repo: at.Repository) -> None:
    one, two = repo.transaction(), repo.transaction()
    for name, txn in (("a", one), ("b", two)):
        root = await at.open_group(repo.kvstore(), open=True, create=True, transaction=txn)
        await root.create_array(f"x/y/{name}", dtype="int8", shape=[4])
    await asyncio.gather(one.commit_async(), two.commit_async())
    root = await at.open_group(repo.kvstore())
    assert [path async for path, _ in root.members(None)] == ["x", "x/y", "x/y/a", "x/y/b"]


async def test_many_attributes_from_many_tasks(repo: at.Repository) -> None:
    store = await made(repo)

    async def change(number: int) -> None:
        async with repo.transaction() as txn:
            attrs = await at.open_attributes(store.with_transaction(txn))
            await attrs.set(f"x{number}", number)

    await asyncio.gather(*map(change, range(30)))
    assert await attributes(store) == {f"x{n}": n for n in range(30)}


async def test_an_array_that_is_made_anew_has_its_new_shape(repo: at.Repository) -> None:
    store = await made(repo)
    async with repo.transaction() as txn:
        await store.with_transaction(txn).resize(exclusive_max=[0, 6])
        again = await made(repo, delete_existing=True, transaction=txn)
        assert (await again.read()).shape == (20, 6)
        await again.write(1)
        assert (await again.read() == 1).all()
    assert (await (await store.resolve()).read() == 1).all()
