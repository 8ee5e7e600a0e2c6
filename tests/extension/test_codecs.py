"""Codecs that users write."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, ClassVar

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.chunked.compression.user_codec import OURS
from asynctensor.drivers.zarr3.codec_reading import _READERS
from asynctensor.errors import (
    Aborted,
    AlreadyExists,
    Error,
    IncompatibleType,
    InvalidArgument,
    Unimplemented,
)
from asynctensor.extending import register_codec
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.testing.codec_suite import CodecSuite
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over


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


class Ended(BaseException):
    pass


@pytest.mark.parametrize("error", [Ended, SystemExit, asyncio.CancelledError])
@pytest.mark.parametrize("far", [False, True])
async def test_what_would_end_a_worker_or_the_loop_does_not(error, far: bool) -> None:
    failing: set[str] = set()

    @register_codec("ending")
    class Ending:
        def encode(self, data):
            if "encode" in failing:
                raise error("mine")
            return data

        def decode(self, data):
            if "decode" in failing:
                raise error("mine")
            return data

    store = FaultyStore(MemoryStore()) if far else MemoryStore()
    codec = ts.CodecSpec({"driver": "zarr3", "codecs": [{"name": "ending"}]})
    array = await open_over(store, dtype="uint8", shape=[64], codec=codec)
    await array.write(3)
    failing.add("decode")
    for operation in (array.read, array[7].read, lambda: array[7].write(4)):
        with pytest.raises(Aborted, match=r"decode of the codec .* raised .*mine") as caught:
            await operation()
        assert isinstance(caught.value.__cause__, error)
    failing.add("encode")
    with pytest.raises(Aborted, match=r"encode of the codec .* raised .*mine"):
        await array.write(5)
    failing.clear()
    await array[7].write(4)
    assert (await array[6:9].read()).tolist() == [3, 4, 3]


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


class Negated:
    """From arrays to arrays of the same type."""

    def encode(self, array: Any) -> Any:
        assert not array.flags.writeable
        return -array

    decode = encode


class Halved:
    """From floats to smaller ones."""

    encoded_dtype = "float16"

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def encode(self, array: Any) -> Any:
        return (array * self.scale).astype("f2")

    def decode(self, array: Any) -> Any:
        return (array / self.scale).astype("f4")


class Text:
    """From arrays to bytes."""

    def encode(self, array: Any) -> bytes:
        return " ".join(map(repr, array.ravel().tolist())).encode()

    def decode(self, data: bytes, shape: tuple[int, ...], dtype: Any) -> Any:
        return np.array([float(each) for each in data.split()]).astype(dtype).reshape(shape)


def _registered() -> None:
    register_codec("negated", kind="array_to_array")(Negated)
    register_codec("halved", kind="array_to_array")(Halved)
    register_codec("text", kind="array_to_bytes")(Text)
    register_codec("xor")(Xor)


def _sharded(*codecs: Any) -> dict[str, Any]:
    configuration = {"chunk_shape": [2, 4], "codecs": list(codecs)}
    return {"name": "sharding_indexed", "configuration": configuration}


HALVED = {"name": "halved", "configuration": {"scale": 2}}
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


@pytest.mark.parametrize(
    "codecs",
    [
        ["negated", LITTLE],
        [HALVED, LITTLE],
        [HALVED, "negated", {"name": "transpose", "configuration": {"order": [1, 0]}}, LITTLE],
        ["text"],
        ["negated", "text", "xor", {"name": "gzip", "configuration": {"level": 1}}],
        [HALVED, "text"],
        [_sharded(HALVED, "text", "xor")],
        [_sharded("negated", LITTLE)],
    ],
)
async def test_codecs_of_arrays(codecs: list[Any]) -> None:
    _registered()
    context = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
    spec = {"driver": "zarr3", "kvstore": "memory://a/"}
    array = await ts.open(
        spec,
        create=True,
        dtype=ts.float32,
        shape=[5, 9],
        context=context,
        chunk_layout=ts.ChunkLayout(write_chunk_shape=[4, 8]),
        codec=ts.CodecSpec({"driver": "zarr3", "codecs": codecs}),
        fill_value=3,
    )
    data = np.arange(45, dtype="f4").reshape(5, 9)
    await array.write(data)
    await array[2:, 3].write(-5)
    data[2:, 3] = -5
    np.testing.assert_array_equal(await array.read(), data)
    again = await ts.open(spec, context=context)
    np.testing.assert_array_equal(await again[1:3].read(), data[1:3])
    assert again.codec == array.codec
    whole = await ts.open(array.spec(), context=context)
    assert whole.spec() == array.spec()


async def test_what_an_array_codec_stores() -> None:
    _registered()
    store = await ts.KvStore.open("memory://")
    spec = {"driver": "zarr3", "kvstore": {"driver": "memory"}}
    for codecs, stored in (
        (["text"], b"1.0 2.0 3.0"),
        ([HALVED, LITTLE], np.array([2, 4, 6], "<f2").tobytes()),
        (["negated", "text"], b"-1.0 -2.0 -3.0"),
    ):
        array = await ts.open(
            spec,
            create=True,
            delete_existing=True,
            dtype=ts.float32,
            shape=[3],
            codec=ts.CodecSpec({"driver": "zarr3", "codecs": codecs}),
        )
        await array.write([1, 2, 3])
        assert (await array.kvstore.read("c/0")).value == stored
    assert await store.list() == []


async def test_array_filters_of_zarr2() -> None:
    _registered()
    filters = [{"id": "halved", "scale": 2}, {"id": "negated"}, {"id": "shuffle", "elementsize": 2}]
    array = await ts.open(
        "memory://|zarr2:",
        create=True,
        dtype=ts.float32,
        shape=[4, 4],
        codec=ts.CodecSpec({"driver": "zarr", "compressor": {"id": "xor"}, "filters": filters}),
    )
    await array.write(np.arange(16, dtype="f4").reshape(4, 4))
    assert (await array[3, 2].read()) == 14
    with pytest.raises(Error, match="there is no place in zarr v2"):
        await made({"id": "text"}, "zarr")
    with pytest.raises(Error, match="it is a filter"):
        await made({"id": "negated"}, "zarr")


@pytest.mark.parametrize(
    ("codecs", "message"),
    [
        ([LITTLE, "negated"], "no array codec after bytes"),
        (["text", "text"], "only one codec from array to bytes"),
        (["xor", "negated"], "no array codec after bytes"),
        (["negated", _sharded("text")], 'cannot stand before "sharding_indexed"'),
    ],
)
async def test_codecs_in_the_wrong_place(codecs: list[Any], message: str) -> None:
    _registered()
    with pytest.raises(Error, match=message):
        await ts.open(
            {"driver": "zarr3", "kvstore": "memory://"},
            create=True,
            dtype=ts.float32,
            shape=[4, 8],
            codec=ts.CodecSpec({"driver": "zarr3", "codecs": codecs}),
        )


@pytest.mark.parametrize(
    "wrong", [lambda array: array[1:], lambda array: array.astype("f8"), lambda array: 5]
)
async def test_what_array_codecs_give_is_checked(wrong: Any) -> None:
    class Wrong:
        def encode(self, array: Any) -> Any:
            return wrong(array)

        def decode(self, data: Any, *shape: Any) -> Any:
            return data

    register_codec("wrong", kind="array_to_array")(Wrong)
    array = await ts.open(
        {"driver": "zarr3", "kvstore": "memory://"},
        create=True,
        dtype=ts.float32,
        shape=[3],
        codec=ts.CodecSpec({"driver": "zarr3", "codecs": ["wrong", LITTLE]}),
    )
    with pytest.raises(IncompatibleType, match='encode of the codec "wrong" must give'):
        await array.write(1)


async def test_what_is_decoded_by_a_serializer_is_checked() -> None:
    class Short(Text):
        def decode(self, data: bytes, shape: tuple[int, ...], dtype: Any) -> Any:
            return super().decode(data, shape, dtype)[:-1]

    register_codec("short", kind="array_to_bytes")(Short)
    context = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
    array = await ts.open(
        {"driver": "zarr3", "kvstore": "memory://"},
        context=context,
        create=True,
        dtype=ts.float32,
        shape=[3],
        codec=ts.CodecSpec({"driver": "zarr3", "codecs": ["short"]}),
    )
    await array.write(1)
    with pytest.raises(IncompatibleType, match=r"float32 of shape \(3,\), but gave"):
        await array.read()


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn", "int4", "int16"])
async def test_what_is_encoded_may_be_of_any_data_type(name: str) -> None:
    class Converted:
        encoded_dtype = name

        def encode(self, array: Any) -> Any:
            return array.astype(ts.dtype(name).numpy_dtype)

        def decode(self, array: Any) -> Any:
            return array.astype("f4")

    register_codec("converted", kind="array_to_array")(Converted)
    array = await ts.open(
        {"driver": "zarr3", "kvstore": "memory://"},
        create=True,
        dtype=ts.float32,
        shape=[4],
        codec=ts.CodecSpec({"driver": "zarr3", "codecs": [{"name": "converted"}, LITTLE]}),
    )
    await array.write([1, -2, 3, 0])
    assert (await array.read()).tolist() == [1, -2, 3, 0]
    stored = (await array.kvstore.read("c/0")).value
    expected = np.array([1, -2, 3, 0]).astype(ts.dtype(name).numpy_dtype)
    assert stored == expected.tobytes()


def test_wrong_kinds() -> None:
    with pytest.raises(InvalidArgument, match="no kind of codec"):
        register_codec("a", kind="bytes")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="encoded_dtype"):
        register_codec("a", kind="array_to_bytes")(Halved)


async def test_array_codecs_run_on_workers_alone() -> None:
    threads = set()

    class Seen(Negated):
        def __init__(self) -> None:
            threads.add(threading.current_thread().name)

        def encode(self, array: Any) -> Any:
            threads.add(threading.current_thread().name)
            return super().encode(array)

        decode = encode

    register_codec("seen", kind="array_to_array")(Seen)
    for layout in ([LITTLE], [_sharded(LITTLE)]):
        codecs = ["seen", *layout] if layout == [LITTLE] else [_sharded("seen", LITTLE)]
        array = await ts.open(
            {"driver": "zarr3", "kvstore": "memory://"},
            create=True,
            dtype=ts.float32,
            shape=[4, 8],
            codec=ts.CodecSpec({"driver": "zarr3", "codecs": codecs}),
        )
        await array[1].write(1)
        await array.read()
    assert threads
    assert all("data_copy" in name or "file_io" in name for name in threads), threads


@pytest.mark.parametrize("driver", ["zarr3", "zarr2"])
async def test_arrays_that_are_open_keep_their_codec(alone, driver: str) -> None:
    class Other(Xor):
        def encode(self, data: bytes) -> bytes:
            return bytes(byte ^ 0xFF for byte in data)

        decode = encode

    context = ts.Context({"cache_pool": {"total_bytes_limit": 10**6}})
    register_codec("xor")(Xor)
    codec = {"name": "xor"} if driver == "zarr3" else {"id": "xor"}
    one = await made(codec, driver, context=context)
    await one.write(7)
    register_codec("xor", replace=True)(Other)
    spec = {"driver": driver, "kvstore": "memory://"}
    for recheck in (False, True):
        other = await ts.open(spec, context=context, recheck_cached_data=recheck)
        assert (await other.read() == 7 ^ 1 ^ 0xFF).all()
        assert (await one.read() == 7).all()
