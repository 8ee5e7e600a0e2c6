"""A repository that is deleted, or replaced by another one, while it is open."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import asynctensor as at
from asynctensor.errors import DataLoss, NotFound


async def filled(place: str | dict, value: bytes, context: at.Context) -> at.Repository:
    repo = await at.Repository.open(place, create=True, context=context)
    await repo.kvstore().write("k", value)
    return repo


async def emptied(place: str | dict, context: at.Context) -> None:
    store = await at.KvStore.open(place, context=context)
    await store.delete_range(at.KvStore.KeyRange())


async def values(repo: at.Repository) -> list[bytes]:
    """What the key holds after each commit, the newest first."""
    ids = [commit.id async for commit in repo.log()]
    return [(await repo.kvstore(snapshot=each).read("k")).value for each in ids]


async def test_one_that_is_made_anew_has_nothing_of_the_old(place) -> None:
    context = at.Context()
    old = await filled(place, b"old", context)
    await emptied(place, context)
    new = await at.Repository.open(place, create=True, context=context)
    assert (await new.kvstore().read("k")).state == "missing"
    await new.kvstore().write("k", b"new")
    assert await values(new) == [b"new"]
    assert await values(await at.Repository.open(place, context=context)) == [b"new"]
    del old


async def test_one_that_is_gone_is_not_opened(place) -> None:
    context = at.Context()
    old = await filled(place, b"old", context)
    await emptied(place, context)
    with pytest.raises(NotFound, match="no repository here"):
        await at.Repository.open(place, context=context)
    del old


@pytest.mark.parametrize("replaced", [False, True])
async def test_nothing_is_committed_to_one_that_is_gone(tmp_path: Path, replaced: bool) -> None:
    """On files: what is committed there is found by nobody."""
    lab, other = tmp_path / "lab", tmp_path / "other"
    context = at.Context()
    old = await filled(f"file://{lab}/", b"old", context)
    await filled(f"file://{other}/", b"other", context)
    txn = old.transaction()
    await old.kvstore(transaction=txn).write("k", b"lost")
    shutil.rmtree(lab)
    if replaced:
        other.rename(lab)
    for attempt in (
        txn.commit_async(),
        old.kvstore().write("k", b"lost"),
        old.create_tag("v1"),
        old.create_branch("b"),
    ):
        with pytest.raises(DataLoss, match="gone, or another one is in its place"):
            await attempt
    assert replaced == lab.exists()
    new = await at.Repository.open(f"file://{lab}/", create=True, context=context)
    await new.kvstore().write("k", b"new")
    assert await values(new) == ([b"new", b"other"] if replaced else [b"new"])
