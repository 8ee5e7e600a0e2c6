"""Arrays in buckets, through the front door; and TensorStore, which reads and writes the same."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import numpy as np
import pytest

import asynctensor as ts
from tests.kvstores.gcs.buckets import new_bucket


def kvstore(gcs_server, path: str = "") -> dict:
    endpoint = gcs_server.endpoint
    return {"driver": "gcs", "bucket": new_bucket(gcs_server), "endpoint": endpoint, "path": path}


@pytest.mark.parametrize("sharded", [False, True])
async def test_array(gcs_server, sharded) -> None:
    spec = {"driver": "zarr3", "kvstore": kvstore(gcs_server, "some/array/")}
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


async def test_many_writers_of_one_chunk_lose_nothing(gcs_server) -> None:
    spec = {"driver": "zarr3", "kvstore": kvstore(gcs_server)}
    opening = {"open": True, "create": True, "dtype": ts.uint8, "shape": [8]}
    arrays = [await ts.open(spec, **opening) for _ in range(4)]
    writes = [a[i].write(i + 1) for i, a in enumerate(arrays)]
    for each in writes:
        await each
    assert (await arrays[0].read()).tolist() == [1, 2, 3, 4, 0, 0, 0, 0]


async def test_a_url_and_an_emulator(gcs_server, monkeypatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.endpoint.removeprefix("http://"))
    url = f"gs://{new_bucket(gcs_server)}/a b/"
    array = await ts.open(f"{url}|zarr3", create=True, dtype=ts.int8, shape=[3])
    await array.write([1, 2, 3])
    assert (await (await ts.open(url)).read()).tolist() == [1, 2, 3]
    store = await ts.KvStore.open(url)
    assert store.url == url.replace(" ", "%20")
    await store.delete_range(ts.KvStore.KeyRange())
    assert await store.list() == []


THEIRS = """
import sys, tensorstore as ts
bucket = sys.argv[1]
context = ts.Context({"gcs_request_retries": {"max_retries": 3}})
store = ts.KvStore.open({"driver": "gcs", "bucket": bucket}, context=context).result()
ours = store.read("a b/é%?")
assert ours.result().value == b"ours", ours.result()
print(ours.result().stamp.generation.hex())
made = store.write("theirs//%2F", b"theirs", if_equal=b"\\x02").result()
print(made.generation.hex())
array = ts.open({"driver": "zarr3", "kvstore": f"gs://{bucket}/array/"}, context=context).result()
assert array.read().result().tolist() == [1, 2, 3, 4]
array[1:3] = 7
"""


async def test_tensorstore_reads_and_writes_the_same(gcs_server) -> None:
    spec = kvstore(gcs_server)
    store = await ts.KvStore.open(spec)
    made = await store.write("a b/é%?", b"ours")
    array = await ts.open(
        {"driver": "zarr3", "kvstore": {**spec, "path": "array/"}},
        create=True, dtype=ts.uint8, shape=[4],
    )  # fmt: skip
    await array.write([1, 2, 3, 4])
    environment = {
        **os.environ, "TENSORSTORE_GCS_HTTP_URL": gcs_server.endpoint, "NO_GCE_CHECK": "true",
        # Nobody listens there: it goes on without credentials.
        "GCE_METADATA_ROOT": "127.0.0.1:9",
    }  # fmt: skip
    command = [sys.executable, "-c", THEIRS, spec["bucket"]]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ours, theirs = done.stdout.split()
    # The generations are the same bytes.
    assert ours == made.generation.hex()
    found = await store.read("theirs//%2F")
    assert (found.value, found.stamp.generation.hex()) == (b"theirs", theirs)
    assert (await array.read()).tolist() == [1, 7, 7, 4]
