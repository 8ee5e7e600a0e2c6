"""Transactions that change attributes of one node."""

from __future__ import annotations

from typing import Any

import pytest

import asynctensor as ts
from asynctensor.errors import Aborted, Error, FailedPrecondition, InvalidArgument

FORMATS = ["zarr3", "zarr", "n5"]


async def node(driver: str) -> ts.TensorStore:
    spec = {"driver": driver, "kvstore": "memory://n/"}
    array = await ts.open(spec, create=True, dtype="uint8", shape=[3])
    await (await ts.open_attributes(array)).update({"a": 1, "b": 2, "c": 3})
    return array


async def bound(array: ts.TensorStore, transaction: ts.Transaction) -> Any:
    return await ts.open_attributes(array.with_transaction(transaction))


@pytest.mark.parametrize("driver", FORMATS)
async def test_different_attributes_merge(driver: str) -> None:
    array = await node(driver)
    one, other = ts.Transaction(), ts.Transaction()
    first, second = await bound(array, one), await bound(array, other)
    await first.set("a", 10)
    await second.update({"b": 20, "new": True})
    await second.delete("c")
    await first.set("more", [1])
    assert await bound(array, one) == {"a": 10, "b": 2, "c": 3, "more": [1]}
    await one.commit_async()
    await (await ts.open_attributes(array)).set("outside", 0)
    await other.commit_async()
    expected = {"a": 10, "b": 20, "new": True, "more": [1], "outside": 0}
    assert await ts.open_attributes(array) == expected
    assert (await array.resolve()).shape == (3,)


@pytest.mark.parametrize("driver", FORMATS)
@pytest.mark.parametrize(
    "conflict",
    [
        lambda attributes: attributes.set("a", 11),
        lambda attributes: attributes.delete("a"),
        lambda attributes: attributes.replace({}),
        lambda attributes: attributes.set("b", 1, if_equal=2),
    ],
)
async def test_the_same_attribute_conflicts(driver: str, conflict: Any) -> None:
    array = await node(driver)
    one, other = ts.Transaction(), ts.Transaction()
    first, second = await bound(array, one), await bound(array, other)
    await first.update({"a": 10, "b": 3})
    await conflict(second)
    await one.commit_async()
    with pytest.raises(Aborted, match=r"somebody else changed .* of this document") as error:
        await other.commit_async()
    assert any(name in member for member in error.value.members for name in "ab")
    assert await ts.open_attributes(array) == {"a": 10, "b": 3, "c": 3}


async def test_what_was_read_must_still_be_so() -> None:
    array = await node("zarr3")
    for look in (lambda a: a["c"], lambda a: "c" in a, lambda a: list(a), lambda a: a.asdict()):
        transaction = ts.Transaction()
        attributes = await bound(array, transaction)
        look(attributes)
        await attributes.set("a", 5)
        outside = await ts.open_attributes(array)
        await outside.set("c", outside["c"] + 1)
        with pytest.raises(Error) as error:
            await transaction.commit_async()
        assert error.value.kind == "ABORTED"


async def test_conditions_and_names_are_checked_when_it_is_staged() -> None:
    array = await node("n5")
    transaction = ts.Transaction()
    attributes = await bound(array, transaction)
    with pytest.raises(FailedPrecondition):
        await attributes.set("a", 5, if_equal=7)
    with pytest.raises(InvalidArgument):
        await attributes.set("blockSize", [1])
    await attributes.set("a", 5, if_equal=1)
    await attributes.set("a", 6, if_equal=5)
    await transaction.commit_async()
    assert (await ts.open_attributes(array))["a"] == 6


async def test_an_array_that_is_created_with_attributes_in_one_transaction() -> None:
    context, url = ts.Context(), "memory://n/|zarr3:"
    async with ts.Transaction() as transaction:
        array = await ts.open(
            url,
            context=context,
            transaction=transaction,
            create=True,
            dtype="uint8",
            shape=[3],
        )
        await (await ts.open_attributes(array)).set("a", 1)
        await array.write(7)
        await (await ts.open_attributes(array)).set("b", 2)
    found = await ts.open(url, context=context)
    assert await ts.open_attributes(found) == {"a": 1, "b": 2}
    assert (await found.read()).tolist() == [7, 7, 7]
