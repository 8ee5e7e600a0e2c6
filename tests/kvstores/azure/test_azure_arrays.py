"""Arrays in containers, through the front door; and other clients."""

from __future__ import annotations

import numpy as np
import pytest
from azure.storage.blob import ContainerClient

import asynctensor as ts
from tests.kvstores.azure.containers import new_container


def kvstore(azure, path: str = "") -> dict:
    return {
        "driver": "azure",
        "account": azure.access_key,
        "container": new_container(azure),
        "endpoint": azure.endpoint,
        "azure_credentials": {"type": "shared_key"},
        "path": path,
    }


@pytest.mark.parametrize("sharded", [False, True])
async def test_array(azure, sharded) -> None:
    spec = {"driver": "zarr3", "kvstore": kvstore(azure, "some/array/")}
    data = np.arange(64 * 48, dtype="<u2").reshape(64, 48)
    layout = {"read_chunk": {"shape": [8, 8]}}
    if sharded:
        layout["write_chunk"] = {"shape": [32, 24]}
    array = await ts.open(
        spec, create=True, dtype=ts.uint16, shape=data.shape, chunk_layout=ts.ChunkLayout(layout)
    )
    await array[...].write(data)
    await array[5:9, 3:47].write(data[5:9, 3:47] + 1)
    data[5:9, 3:47] += 1
    again = await ts.open(spec, open=True)
    assert np.array_equal(await again[...].read(), data)
    assert np.array_equal(await again[3:21:2, 40:45].read(), data[3:21:2, 40:45])
    again = await ts.open({"driver": "auto", "kvstore": spec["kvstore"]})
    assert np.array_equal(await again[60:, :1].read(), data[60:, :1])


async def test_many_writers_of_one_chunk_lose_nothing(azure) -> None:
    spec = {"driver": "zarr3", "kvstore": kvstore(azure)}
    opening = {"open": True, "create": True, "dtype": ts.uint8, "shape": [8]}
    arrays = [await ts.open(spec, **opening) for _ in range(4)]
    writes = [a[i].write(i + 1) for i, a in enumerate(arrays)]
    for each in writes:
        await each
    assert (await arrays[0].read()).tolist() == [1, 2, 3, 4, 0, 0, 0, 0]


async def test_azures_own_client_reads_what_was_written(azure) -> None:
    spec = kvstore(azure)
    store = await ts.KvStore.open(spec)
    odd = "a b/é%?#日//x"
    await store.write(odd, b"value")
    key = {"account_name": azure.access_key, "account_key": azure.secret_key}
    with ContainerClient(
        azure.endpoint, spec["container"], key, max_single_put_size=99, max_block_size=77
    ) as client:
        found = client.download_blob(odd, validate_content=True)
        assert found.readall() == b"value"
        assert found.properties.content_settings.content_type == "application/octet-stream"
        client.upload_blob("theirs", b"1", metadata={"of": "theirs"})
        client.upload_blob("in/blocks", b"123456" * 100)
    assert (await store.read("theirs")).value == b"1"
    assert (await store.read("in/blocks")).value == b"123456" * 100
    assert sorted(await store.list()) == sorted([odd.encode(), b"theirs", b"in/blocks"])
