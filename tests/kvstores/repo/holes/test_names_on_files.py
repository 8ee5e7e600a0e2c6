"""Names of a repository on files: what is acknowledged rests on nothing that a crash may take.

Each trace has somebody stall before the directory is flushed that a name was linked into, so that
others see it; what they are told must survive every crash from then on (R3, R36).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from asynctensor.errors import NotFound
from asynctensor.kvstores.repo.naming import Naming
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.store import RepositoryStore
from tests.kvstores.repo.holes.disk import Look, Recorded, recorded
from tests.kvstores.repo.holes.wire import Process


def at(key: str, **members: str) -> Look:
    """Sees what a key holds in the state that a name means; None: there is no such name."""

    async def look(process: Process) -> object:
        store = RepositoryStore(process.state, source_of(process.state, members))
        try:
            found = await store.read(key)
        except NotFound:
            return None
        return found.value

    return look


async def on(process: Process, branch: str, key: str, value: bytes) -> None:
    """A commit to a branch."""
    await RepositoryStore(process.state, source_of(process.state, {"branch": branch})).write(
        key, value
    )


async def a_repository_that_is_not_flushed(disk: Recorded) -> None:
    await disk.put(disk.process(), "k", b"1")


async def a_tag_on_a_commit_that_is_not_flushed(disk: Recorded) -> None:
    disk.stalled = True
    await disk.process().put("k", b"1")
    disk.stalled = False
    began = disk.position
    await Naming(disk.process().state).create_tag("v1", "main", None, None)
    disk.claim("the tag is there", at("k", tag="v1"), None, b"1", began)


async def a_branch_from_a_commit_that_is_not_flushed(disk: Recorded) -> None:
    disk.stalled = True
    await disk.process().put("k", b"1")
    disk.stalled = False
    began = disk.position
    await Naming(disk.process().state).create_branch("fix", "main")
    disk.claim("the branch is there", at("k", branch="fix"), None, b"1", began)


async def a_commit_to_a_branch_whose_name_is_not_flushed(disk: Recorded) -> None:
    first = disk.process()
    await first.put("k", b"1")
    disk.stalled = True
    await Naming(first.state).create_branch("fix", "main")
    disk.stalled = False
    began = disk.position
    await on(disk.process(), "fix", "k", b"2")

    async def look(process: Process) -> object:
        found = await at("k", branch="fix")(process)
        return None if found == b"1" else found

    disk.claim("the commit is there", look, None, b"2", began)


async def gone(process: Process) -> object:
    """Whether there is no tag; a repository that is not there is not asked."""
    return "gone" if await at("k", tag="v1")(process) is None else None


async def a_deletion_behind_a_creation_that_is_not_flushed(disk: Recorded) -> None:
    first = disk.process()
    await first.put("k", b"1")
    disk.stalled = True
    await Naming(first.state).create_tag("v1", "main", None, None)
    disk.stalled = False
    await Naming(disk.process().state).delete_tag("v1")
    disk.claim("the tag is gone", gone, None, "gone", 0)


async def a_deletion_that_somebody_else_did_not_flush(disk: Recorded) -> None:
    first = disk.process()
    await first.put("k", b"1")
    await Naming(first.state).create_tag("v1", "main", None, None)
    second = disk.process()
    entry = (await second.state.refs.read("t", "v1")).live
    assert entry is not None
    disk.stalled = True
    await Naming(disk.process().state).delete_tag("v1")
    disk.stalled = False
    await second.state.refs.forget("t", "v1", entry)
    disk.claim("the tag is gone", gone, None, "gone", 0)


SCENARIOS = [
    a_repository_that_is_not_flushed,
    a_tag_on_a_commit_that_is_not_flushed,
    a_branch_from_a_commit_that_is_not_flushed,
    a_commit_to_a_branch_whose_name_is_not_flushed,
    a_deletion_behind_a_creation_that_is_not_flushed,
    a_deletion_that_somebody_else_did_not_flush,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_what_is_acknowledged_survives_every_crash(tmp_path: Path, scenario) -> None:
    stalled = scenario is a_repository_that_is_not_flushed
    count, problems = recorded(tmp_path, scenario, stalled=stalled).problems(tmp_path)
    assert problems == []
    assert count > 10
