"""Drivers that users write: what they are given, what they may return, and their specs."""

from __future__ import annotations

import asyncio
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import (
    AlreadyExists,
    FailedPrecondition,
    IncompatibleType,
    InvalidArgument,
)
from asynctensor.extending import register_driver


class Kept(Exception):
    pass


def ramp(size: int, step: float = 1.0) -> ts.TensorStore:
    def read(domain, chunk, parameters) -> None:
        chunk[...] = step * np.arange(domain[0].inclusive_min, domain[0].exclusive_max)

    return ts.virtual_chunked(read, dtype=ts.float64, shape=[size])


async def test_view_has_the_spec_that_opens_it() -> None:
    register_driver("ramp")(ramp)
    array = await ts.open({"driver": "ramp", "size": 9, "step": 2})
    view = array[2:8:2]
    assert (await view.read()).tolist() == [4, 8, 12]
    assert (
        view.spec().to_json()
        == {
            "driver": "ramp",
            "dtype": "float64",
            "size": 9,
            "step": 2.0,
            "transform": view.spec().transform.to_json(),
        }
        or "dtype" not in view.spec().to_json()
    )
    for again in (await ts.open(view.spec()), pickle.loads(pickle.dumps(view))):
        assert (await again.read()).tolist() == [4, 8, 12]
        assert again.domain == view.domain
    assert array.mode == "r"
    assert array.chunk_layout.read_chunk.shape == (9,)


async def test_transform_of_what_is_returned() -> None:
    @register_driver("part")
    def part(low: int) -> ts.TensorStore:
        return ramp(20)[low : low + 5].translate_to[100]

    array = await ts.open({"driver": "part", "low": 3})
    assert array.domain == ts.IndexDomain(inclusive_min=[100], shape=[5])
    assert (await array[101:103].read()).tolist() == [4, 5]
    again = await ts.open(array[101:103].spec())
    assert (await again.read()).tolist() == [4, 5]


async def test_where_it_runs() -> None:
    threads, loops = [], []

    @register_driver("plain")
    def plain() -> ts.TensorStore:
        threads.append(threading.current_thread().name)
        return ramp(3)

    @register_driver("async")
    async def asynchronous() -> ts.TensorStore:
        loops.append(asyncio.get_running_loop())
        return ramp(3)

    for name in ("plain", "async"):
        await ts.open({"driver": name})
    assert threads[0].startswith("asynctensor-guest-")
    assert loops == [asyncio.get_running_loop()]


async def test_error_is_raised_as_it_is() -> None:
    error = Kept("mine")

    @register_driver("mine")
    def opens() -> ts.TensorStore:
        raise error

    with pytest.raises(Kept) as caught:
        await ts.open({"driver": "mine"})
    assert caught.value is error


async def test_schema_is_checked() -> None:
    register_driver("ramp")(ramp)
    for wanted in ({"dtype": "int8"}, {"shape": [10]}, {"rank": 2}):
        with pytest.raises((FailedPrecondition, InvalidArgument)):
            await ts.open({"driver": "ramp", "size": 9}, **wanted)
    assert (await ts.open({"driver": "ramp", "size": 9}, dtype="float64")).shape == (9,)


async def test_kvstore_context_and_transaction() -> None:
    given: dict[str, Any] = {}

    @register_driver("mine", scheme="mine")
    async def opens(kvstore, context, transaction, schema, factor: int = 2) -> ts.TensorStore:
        given.update(kvstore=kvstore, context=context, transaction=transaction, schema=schema)
        spec = {"driver": "zarr3", "kvstore": kvstore.spec().to_json()}
        return (await ts.open(spec, context=context))[::factor]

    context = ts.Context()
    plain = await ts.open(
        "memory://a/|zarr3:", create=True, dtype="int8", shape=[10], context=context
    )
    await plain.write(range(10))
    array = await ts.open("memory://a/|mine:", context=context)
    assert given["context"] is context
    assert given["kvstore"].path == "a/"
    assert (await array.read()).tolist() == [0, 2, 4, 6, 8]
    assert array.kvstore is not None
    assert array.url == "memory://a/|mine:"
    async with ts.Transaction() as transaction:
        bound = await ts.open("memory://a/|mine:", context=context, transaction=transaction)
        assert given["transaction"] is transaction
        await bound[1].write(50)
        assert (await bound.read()).tolist() == [0, 50, 4, 6, 8]
        assert (await array.read()).tolist() == [0, 2, 4, 6, 8]
    assert (await array.read()).tolist() == [0, 50, 4, 6, 8]


async def test_adapter() -> None:
    register_driver("ramp")(ramp)

    @register_driver("negative")
    def negative(base: ts.TensorStore) -> ts.TensorStore:
        async def read(domain, chunk, parameters) -> None:
            chunk[...] = -await base[domain].read()

        return ts.virtual_chunked(read, dtype=base.dtype, domain=base.domain)

    below = {"driver": "ramp", "size": 5}
    array = await ts.open({"driver": "negative", "base": below})
    assert (await array[1:3].read()).tolist() == [-1, -2]
    assert array.base is not None
    assert (await array.base[1:3].read()).tolist() == [1, 2]
    assert array.spec().to_json()["base"]["driver"] == "ramp"
    with pytest.raises(InvalidArgument, match="base"):
        await ts.open({"driver": "negative"})


async def test_what_is_no_array() -> None:
    @register_driver("mine")
    def opens() -> int:
        return 3

    with pytest.raises(IncompatibleType, match="must give a TensorStore"):
        await ts.open({"driver": "mine"})


async def test_spec_that_is_wrong() -> None:
    register_driver("ramp", scheme="ramp")(ramp)
    for spec, message in [
        ({"driver": "ramp"}, '"size": member is missing'),
        ({"driver": "ramp", "size": "x"}, 'member "size": Expected 64-bit'),
        ({"driver": "ramp", "size": 3, "y": 1}, 'extra members: "y"'),
        ({"driver": "rampe"}, "did you mean 'ramp'"),
        ("memory://|rampe:", "did you mean 'ramp'"),
    ]:
        with pytest.raises(InvalidArgument, match=message):
            await ts.open(spec)


def test_registration_that_is_refused() -> None:
    register_driver("ramp")(ramp)
    for name, scheme, replace in [
        ("ramp", None, False),
        ("zarr3", None, True),
        ("zarr2", None, True),
        ("new", "file", False),
    ]:
        with pytest.raises(AlreadyExists):
            register_driver(name, scheme=scheme, replace=replace)(ramp)
    register_driver("ramp", replace=True)(ramp)
    with pytest.raises(InvalidArgument, match="rename"):
        register_driver("mine")(lambda dtype: None)
    with pytest.raises(IncompatibleType):
        register_driver("mine")(3)  # type: ignore[type-var]


@pytest.mark.parametrize("given", ["json", "keywords"])
async def test_open_modes(given: str) -> None:
    seen: list[ts.OpenMode] = []

    @register_driver("moded", scheme="moded")
    def open_moded(kvstore: ts.KvStore, open_mode: ts.OpenMode) -> ts.TensorStore:
        seen.append(open_mode)
        return ts.array(np.zeros(3))

    for flags, meant in (
        ({}, {"open": True}),
        ({"open": True}, {"open": True}),
        ({"create": True}, {"create": True}),
        ({"open": True, "create": True}, {"open": True, "create": True}),
        ({"create": True, "delete_existing": True}, {"create": True, "delete_existing": True}),
        ({"open": True, "assume_metadata": True}, {"open": True, "assume_metadata": True}),
    ):
        spec: dict[str, Any] = {"driver": "moded", "kvstore": "memory://"}
        if given == "json":
            array = await ts.open({**spec, **flags})
            assert ts.Spec({**spec, **flags}).open_mode == ts.OpenMode(**meant)
        else:
            array = await ts.open(spec, **flags)
        assert seen[-1] == ts.OpenMode(**meant)
        # What is open is opened again.
        assert await (await ts.open(array.spec())).read() is not None
    await ts.open("memory://|moded:", create=True)
    assert seen[-1].create
    with pytest.raises(InvalidArgument, match="delete_existing"):
        await ts.open({"driver": "moded", "kvstore": "memory://", "delete_existing": True})


async def test_flags_are_members_only_where_they_are_taken() -> None:
    @register_driver("plain")
    def open_plain(size: int) -> ts.TensorStore:
        return ts.array(np.zeros(size))

    with pytest.raises(InvalidArgument, match="create"):
        ts.Spec({"driver": "plain", "size": 3, "create": True})
    with pytest.raises(InvalidArgument, match="rename the parameter"):

        @register_driver("flagged")
        def open_flagged(create: bool) -> ts.TensorStore:
            return ts.array(np.zeros(3))
