"""Times that no calendar knows."""

from __future__ import annotations

import datetime as dt

import pytest

import asynctensor as at
from asynctensor.runtime.sources import SOURCES


async def test_a_clock_that_is_far_off_makes_no_history_unreadable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repo = await at.Repository.open("memory://lab/", create=True)
    store = repo.kvstore()
    await store.write("a", b"1")
    with monkeypatch.context() as far_off:
        far_off.setattr(SOURCES, "time", lambda: 1e12)
        await store.write("a", b"2")
    # Its time comes behind that one's.
    await store.write("a", b"3")
    times = [commit.time async for commit in repo.log()]
    assert [time.year for time in times[:2]] == [9999, 9999]
    assert times[2] < dt.datetime.now(dt.UTC)
    found = await at.last_changed(store)
    assert found.datetime is not None
    assert found.datetime.year == 9999
    assert "9999" in str(found)
