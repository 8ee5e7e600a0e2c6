"""Codecs that users write."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, ClassVar

import pytest

import asynctensor as ts
from asynctensor.chunked.compression.user_codec import OURS
from asynctensor.drivers.zarr3.codec_reading import _READERS
from asynctensor.errors import AlreadyExists, Error, IncompatibleType, Unimplemented
from asynctensor.extending import register_codec
from asynctensor.testing.codec_suite import CodecSuite


class Kept(Exception):
    pass


class Xor:
    threads: ClassVar[set[str]] = set()

    def __init__(self, key: int = 1) -> None:
        self.threads.add(threading.current_thread().name)
        self.key = key

    def encode(self, data: bytes) -> bytes:
        self.threads.add(threading.current_thread().name)
        return bytes(byte ^ self.key for byte in data)

    decode = encode


class TestXor(CodecSuite):
    name = "xor"
    configuration: ClassVar[dict[str, Any]] = {"key": 9}

    @pytest.fixture(autouse=True)
    def registered(self, alone) -> None:
        register_codec("xor")(Xor)


async def made(codec: Any, driver: str = "zarr3", **options: Any) -> ts.TensorStore:
    members = {"codecs": [codec]} if driver == "zarr3" else {"compressor": codec, "filters": None}
    return await ts.open(
        {"driver": driver, "kvstore": "memory://"},
        create=True,
        dtype="uint8",
        shape=[8],
        codec=ts.CodecSpec({"driver": driver, **members}),
        **options,
    )


async def test_runs_on_workers_alone() -> None:
    register_codec("xor")(Xor)
    Xor.threads.clear()
    array = await made({"name": "xor"})
    await array.write(3)
    assert (await array.read() == 3).all()
    assert Xor.threads
    assert "asynctensor-io" not in Xor.threads
    assert threading.current_thread().name not in Xor.threads


async def test_error_is_raised_as_it_is() -> None:
    @register_codec("failing")
    class Failing:
        def encode(self, data):
            return data

        def decode(self, data):
            raise Kept("mine")

    array = await made({"name": "failing"})
    await array.write(3)
    with pytest.raises(Kept, match="mine"):
        await array.read()


@pytest.mark.parametrize("answer", [None, "text", 3, [1, 2]])
async def test_answers_of_a_wrong_type(answer: Any) -> None:
    @register_codec("wrong")
    class Wrong:
        def encode(self, data):
            return answer

        decode = encode

    array = await made({"name": "wrong"})
    with pytest.raises(IncompatibleType, match="must give bytes"):
        await array.write(3)


@pytest.mark.parametrize("driver", ["zarr3", "zarr"])
async def test_configuration_that_is_wrong(driver: str) -> None:
    register_codec("xor")(Xor)
    for values, message in [({"key": "x"}, "Expected 64-bit"), ({"kee": 1}, "kee")]:
        zarr3 = {"name": "xor", "configuration": values}
        with pytest.raises(Error, match=message):
            await made(zarr3 if driver == "zarr3" else {"id": "xor", **values}, driver)
    with pytest.raises(Error, match="did you mean 'xor'"):
        await made({"name": "xorr"} if driver == "zarr3" else {"id": "xorr"}, driver)


async def test_array_whose_codec_is_not_registered() -> None:
    context = ts.Context()
    register_codec("xor")(Xor)
    await made({"name": "xor"}, context=context)
    from asynctensor.chunked.compression import user_codec

    del user_codec.CODECS["xor"]
    with pytest.raises(Unimplemented, match='"xor"'):
        await ts.open({"driver": "zarr3", "kvstore": "memory://"}, context=context)


def test_names_that_are_taken() -> None:
    assert set(_READERS) <= OURS
    register_codec("xor")(Xor)
    for name in ("xor", "gzip", "bytes", "sharding_indexed", "numcodecs.new", "vlen-utf8"):
        with pytest.raises(AlreadyExists):
            register_codec(name, replace=name != "xor")(Xor)
    register_codec("xor", replace=True)(Xor)


def test_what_is_no_codec() -> None:
    class Half:
        def encode(self, data): ...

    class Asynchronous:
        async def encode(self, data): ...

        async def decode(self, data): ...

    for cls in (Half, Asynchronous):
        with pytest.raises(IncompatibleType, match="plain method"):
            register_codec("mine")(cls)
    assert asyncio.iscoroutinefunction(Asynchronous.encode)
