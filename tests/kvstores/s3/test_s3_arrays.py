"""Arrays in buckets, through the front door."""

from __future__ import annotations

import botocore.config
import botocore.session
import numpy as np
import pytest

import asynctensor as ts
from tests.kvstores.s3.buckets import conditions_of, new_bucket


def kvstore(s3, path: str = "") -> dict:
    conditions = conditions_of(s3)
    return {
        "driver": "s3",
        "bucket": new_bucket(s3),
        "endpoint": s3.endpoint,
        "aws_region": s3.region,
        "aws_credentials": {"type": "environment"},
        "path": path,
        **({"unquoted_etags": True} if conditions.unquoted else {}),
        **({} if conditions.deletes else {"conditional_delete": False}),
    }


@pytest.mark.parametrize("sharded", [False, True])
async def test_array(s3, sharded) -> None:
    spec = {"driver": "zarr3", "kvstore": kvstore(s3, "some/array/")}
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


async def test_many_writers_of_one_chunk_lose_nothing(s3) -> None:
    spec = {"driver": "zarr3", "kvstore": kvstore(s3)}
    opening = {"open": True, "create": True, "dtype": ts.uint8, "shape": [8]}
    arrays = [await ts.open(spec, **opening) for _ in range(4)]
    writes = [a[i].write(i + 1) for i, a in enumerate(arrays)]
    for each in writes:
        await each
    assert (await arrays[0].read()).tolist() == [1, 2, 3, 4, 0, 0, 0, 0]


async def test_another_client_reads_what_was_written(s3) -> None:
    spec = kvstore(s3)
    store = await ts.KvStore.open(spec)
    await store.write("a b/é%?", b"value")
    client = botocore.session.Session().create_client(
        "s3",
        endpoint_url=s3.endpoint,
        region_name=s3.region,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
        config=botocore.config.Config(s3={"addressing_style": "path"}),
    )
    found = client.get_object(Bucket=spec["bucket"], Key="a b/é%?")
    assert found["Body"].read() == b"value"
    client.put_object(Bucket=spec["bucket"], Key="theirs", Body=b"1")
    assert await store.list() == [b"a b/\xc3\xa9%?", b"theirs"]
    assert (await store.read("theirs")).value == b"1"
    client.close()
