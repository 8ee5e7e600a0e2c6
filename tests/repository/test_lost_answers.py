"""Each request of a commit in turn is lost, or its answer is, on the wire to each cloud.

The proxy stands before the real stand-ins of S3, Google Cloud Storage and Azure. Whatever is lost:
what was acknowledged is in the log once, with all that it wrote; what failed is not, and never
comes; what is unknown becomes one of both when it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import pytest

import asynctensor as at
from asynctensor.errors import CommitUnknown, Error
from asynctensor.testing.fault_proxy import FaultProxy
from asynctensor.testing.network_faults import Fault, Refuse, Reply, Reset
from tests.servers.cloud_folders import CLOUDS, new_folder

#: Gets a pack of its own, so that the commit is more than its record.
LARGE = bytes(range(256)) * 40
#: What the client tries by itself: once more, and soon.
RETRIES = {"max_retries": 2, "initial_delay": "1ms", "max_delay": "2ms"}
FAULTS: dict[str, Fault] = {
    "request lost": Refuse(),
    "answer lost": Reset(after=0),
    "503": Reply(status=503),
}


@dataclass(slots=True)
class Lab:
    """A repository in a cloud, as one sees it through a proxy, and another beside it."""

    through: dict[str, Any]
    direct: dict[str, Any]
    proxy: FaultProxy

    async def opened(self, *, faulty: bool) -> at.Repository:
        """The repository as somebody knows it who has just come."""
        spec = self.through if faulty else self.direct
        return await at.Repository.open(spec, context=at.Context())


@pytest.fixture(params=CLOUDS)
def lab(request, servers, monkeypatch, fault_proxy_to) -> Lab:
    cloud = request.param
    folder = {
        **new_folder(cloud, servers, monkeypatch),
        f"{cloud}_request_retries": RETRIES,
    }
    parts = urlsplit(folder["endpoint"])
    proxy = fault_proxy_to(parts.hostname, parts.port)
    endpoint = parts._replace(netloc=f"{proxy.host}:{proxy.port}").geturl()
    return Lab({**folder, "endpoint": endpoint}, folder, proxy)


def nth(fault: Fault, wanted: int, times: int = 1) -> Fault:
    """The fault for the request of that number from now on, and those behind it."""
    count = iter(range(10**9))
    return replace(fault, when=lambda head: next(count) >= wanted, times=times)


async def committed(repo: at.Repository, name: str) -> at.Transaction:
    """A commit of two values at once, the one in a pack and the other in the record."""
    store = repo.kvstore()
    async with repo.transaction(message=name) as txn:
        view = store.with_transaction(txn)
        await view.write(f"{name}/large", LARGE)
        await view.write(f"{name}/small", b"1")
    return txn


async def seen(lab: Lab, name: str) -> tuple[int, bool]:
    """How often a commit is in the log, and whether what it wrote is there: all or nothing."""
    repo = await lab.opened(faulty=False)
    count = [each.message async for each in repo.log()].count(name)
    found = [await repo.kvstore().read(f"{name}/{key}") for key in ("large", "small")]
    states = {each.state for each in found}
    assert len(states) == 1, states
    if states == {"value"}:
        assert [each.value for each in found] == [LARGE, b"1"]
    return count, states == {"value"}


async def outcome(lab: Lab, repo: at.Repository, name: str) -> str:
    """What whoever commits is told, and finds out when the wire is whole again."""
    try:
        txn = await committed(repo, name)
    except CommitUnknown as error:
        lab.proxy.forget()
        return "no way to ask" if error.resolve is None else await error.resolve()
    except Error:
        return "aborted"
    assert txn.commit_id is not None
    return "committed"


@pytest.mark.parametrize("fault", FAULTS)
async def test_one_request_of_a_commit_is_lost(lab: Lab, fault: str) -> None:
    await at.Repository.open(lab.direct, create=True)
    repo = await lab.opened(faulty=True)
    await committed(repo, "first")
    lab.proxy.forget()
    await committed(repo, "whole")
    requests = len(lab.proxy.statistics.requests)
    assert requests >= 2
    for number in range(requests):
        lab.proxy.forget()
        lab.proxy.plan(nth(FAULTS[fault], number))
        name = f"{number}"
        # The client repeats what is lost, and finds out what it did.
        assert await outcome(lab, repo, name) == "committed"
        assert lab.proxy.statistics.faults == 1
        assert await seen(lab, name) == (1, True)


@pytest.mark.parametrize("fault", ["request lost", "answer lost"])
async def test_all_requests_from_one_on_are_lost(lab: Lab, fault: str) -> None:
    """Until the commit has failed, or nobody knows; then somebody asks."""
    await at.Repository.open(lab.direct, create=True)
    repo = await lab.opened(faulty=True)
    await committed(repo, "first")
    lab.proxy.forget()
    await committed(repo, "whole")
    requests = len(lab.proxy.statistics.requests)
    told = set()
    for number in range(requests):
        lab.proxy.forget()
        lab.proxy.plan(nth(FAULTS[fault], number, times=10**6))
        name = f"{number}"
        found = await outcome(lab, repo, name)
        lab.proxy.forget()
        told.add(found)
        assert await seen(lab, name) == ((1, True) if found == "committed" else (0, False))
        # The same handle goes on, and still only what was told is there.
        await committed(repo, f"then {number}")
        assert await seen(lab, name) == ((1, True) if found == "committed" else (0, False))
    assert "committed" in told or fault != "answer lost"


def fills_a_slot(head: bytes) -> bool:
    """Whether a request writes a record or reads one; GCS has the name in the body of a write."""
    return b"log" in head or b"uploadType=multipart" in head


async def test_somebody_else_commits_while_an_answer_is_lost(lab: Lab) -> None:
    """A record landed, its answer is lost, and others build on it before it is looked for."""
    await at.Repository.open(lab.direct, create=True)
    repo, other = await lab.opened(faulty=True), await lab.opened(faulty=False)
    await committed(repo, "first")
    await other.refresh()
    lab.proxy.plan(replace(Reset(after=0), when=fills_a_slot, times=10**6))
    with pytest.raises(CommitUnknown) as caught:
        await repo.kvstore().write("mine", b"1")
    await other.refresh()
    await committed(other, "theirs")
    lab.proxy.forget()
    assert caught.value.resolve is not None
    assert await caught.value.resolve() == "committed"
    assert await seen(lab, "theirs") == (1, True)
    await repo.refresh()
    assert (await repo.kvstore().read("mine")).value == b"1"
    assert len([each async for each in repo.log()]) == 3
