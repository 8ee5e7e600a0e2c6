"""What holds of every cloud whose file system of fsspec can create a file only if it is absent."""

from __future__ import annotations

import pytest

import asynctensor as at
from asynctensor.errors import Unavailable
from asynctensor.storage.generation import NO_VALUE, UNKNOWN


async def check_creating(kvstore: at.KvStore) -> None:
    """Whoever comes late changes nothing, and is told so."""
    first = await kvstore.write("k", b"1", if_equal=NO_VALUE)
    assert (await kvstore.write("k", b"2", if_equal=NO_VALUE)).generation == UNKNOWN
    assert (await kvstore.read("k")).stamp.generation == first.generation
    # The file system repeats by itself, and so does not know whose equal value this is.
    with pytest.raises(Unavailable, match="not known"):
        await kvstore.write("k", b"1", if_equal=NO_VALUE)


async def check_a_repository(kvstore: at.KvStore) -> None:
    """A repository in it keeps what was committed."""
    repo = await at.Repository.open(kvstore.spec(), create=True)
    for i in range(3):
        async with repo.transaction(message=f"{i}") as txn:
            await repo.kvstore().with_transaction(txn).write("k", b"%d" % i)
    again = await at.Repository.open(kvstore.spec())
    assert [each.message async for each in again.log()][:3] == ["2", "1", "0"]
    assert (await again.kvstore().read("k")).value == b"2"
