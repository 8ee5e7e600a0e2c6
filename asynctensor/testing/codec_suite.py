"""`CodecSuite`: checks a codec from bytes to bytes that somebody registered.

Subclass it in a test module for pytest (with pytest-asyncio), and say which::

    class TestMyCodec(CodecSuite):
        name = "my_codec"
        configuration = {"level": 3}
"""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import pytest

from asynctensor.chunked.compression.user_codec import build_user_codec, user_codec
from asynctensor.errors import DataLoss, Error
from asynctensor.opening import open as open_array
from asynctensor.runtime.context import Context
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.tensorstore import TensorStore


@pytest.mark.asyncio
class CodecSuite:
    """The tests. See the module."""

    #: Name under which it is registered, and a configuration.
    name: ClassVar[str]
    configuration: ClassVar[dict[str, Any]] = {}
    #: Whether every change of a stored byte is noticed, and told by `DataLoss`.
    detects_damage: ClassVar[bool] = False

    def _step(self) -> Any:
        codec = user_codec(self.name, self.configuration, "configuration")
        assert codec is not None, f"no codec {self.name!r} is registered"
        return build_user_codec(codec)

    def _samples(self) -> list[bytes]:
        chance = random.Random(0)  # noqa: S311 -- not for secrets
        noise = [chance.randbytes(size) for size in (0, 1, 2, 3, 17, 256, 4099, 100_003)]
        return [*noise, bytes(5000), b"\xff" * 333, bytes(range(256)) * 4]

    async def test_every_value_comes_back(self) -> None:
        step = self._step()
        for data in self._samples():
            encoded = bytes(step.encode(data))
            assert bytes(step.decode(encoded, len(data))) == data
            assert bytes(step.decode_exactly(encoded, len(data))) == data

    async def test_other_lengths_are_refused(self) -> None:
        step = self._step()
        encoded = bytes(step.encode(b"12345678"))
        with pytest.raises(DataLoss):
            step.decode_exactly(encoded, 7)
        with pytest.raises(DataLoss):
            step.decode(encoded, 7)

    async def test_many_threads(self) -> None:
        step = self._step()

        def there_and_back(data: bytes) -> bool:
            return bytes(step.decode(bytes(step.encode(data)), len(data))) == data

        def all_threads() -> list[bool]:
            with ThreadPoolExecutor(4) as threads:
                return list(threads.map(there_and_back, self._samples() * 4))

        assert all(await asyncio.to_thread(all_threads))

    async def test_damage(self) -> None:
        step = self._step()
        chance = random.Random(0)  # noqa: S311
        data = chance.randbytes(50)
        encoded = bytes(step.encode(data))
        for place in range(len(encoded)):
            changed = bytearray(encoded)
            changed[place] ^= 1 << chance.randrange(8)
            try:
                found = step.decode_exactly(bytes(changed), len(data))
            except DataLoss:
                continue
            except Exception:  # noqa: BLE001 -- a codec may have errors of its own
                assert not self.detects_damage
                continue
            assert not self.detects_damage, f"a change of byte {place} was not noticed"
            assert len(found) == len(data)

    # -- in arrays ----------------------------------------------------------------------------

    async def _made(self, driver: str, codec: dict[str, Any], context: Context) -> TensorStore:
        return await open_array(
            {"driver": driver, "kvstore": "memory://array/"},
            create=True,
            dtype="int32",
            shape=[40, 30],
            chunk_layout=ChunkLayout(write_chunk_shape=[16, 10]),
            codec=CodecSpec({"driver": driver, **codec}),
            context=context,
        )

    async def _check(self, driver: str, codec: dict[str, Any]) -> None:
        context = Context()
        array = await self._made(driver, codec, context)
        values = np.arange(1200, dtype=np.int32).reshape(40, 30)
        await array.write(values)
        await array[5:20, ::3].write(-1)
        values[5:20, ::3] = -1
        again = await open_array({"driver": driver, "kvstore": "memory://array/"}, context=context)
        assert again.codec == array.codec
        assert (await again.read() == values).all()

    def _in_zarr3(self) -> dict[str, Any]:
        return {"name": self.name, "configuration": self.configuration}

    async def test_zarr3(self) -> None:
        await self._check("zarr3", {"codecs": [self._in_zarr3()]})

    async def test_zarr3_between_others(self) -> None:
        codecs = [{"name": "zstd"}, self._in_zarr3(), {"name": "crc32c"}]
        await self._check("zarr3", {"codecs": codecs})

    async def test_zarr3_in_shards(self) -> None:
        configuration = {"chunk_shape": [8, 5], "codecs": [{"name": "bytes"}, self._in_zarr3()]}
        codecs = [{"name": "sharding_indexed", "configuration": configuration}]
        await self._check("zarr3", {"codecs": codecs})

    async def test_zarr2(self) -> None:
        compressor = {"id": self.name, **self.configuration}
        await self._check("zarr", {"compressor": compressor, "filters": None})

    async def test_zarr2_filter(self) -> None:
        filters = [{"id": self.name, **self.configuration}]
        await self._check("zarr", {"compressor": {"id": "zlib"}, "filters": filters})

    async def test_unknown_members_are_refused(self) -> None:
        codec = self._in_zarr3()
        codec["configuration"] = {**self.configuration, "no such member": 1}
        with pytest.raises(Error, match="no such member"):
            await self._made("zarr3", {"codecs": [codec]}, Context())
