"""Values of a repository that workers read a few at a time."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.kvstores.repo import packed_group
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import state_of
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.opening import open_store
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.storage.commit_domain import Commit
from asynctensor.storage.kvstore import UNREAD, BlockingFace

SIZE = 9000


def value(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


async def made(folder: Path, *commits: dict[str, bytes]) -> RepositoryStore:
    base, path = open_store(KvStoreSpec(f"file://{folder}/lab/"), Context())
    state = state_of(place_of(base, path))
    await start(state.create)
    store = RepositoryStore(state, source_of(state, {}))
    domain = store.commit_domain
    assert domain is not None
    for values in commits:
        await start(domain.commit, Commit(values=values))
    return store


def face(store: RepositoryStore) -> BlockingFace:
    found = store.blocking
    assert found is not None
    return found


def read(face: BlockingFace, keys: list[str], step: int) -> list[object]:
    found: list[object] = []
    with closing(face.group(keys)) as group:
        for at in range(0, len(keys), step):
            count = min(step, len(keys) - at)
            buffer = memoryview(bytearray(count * SIZE))
            for each in group.read(at, at + count, buffer, SIZE):
                found.append(each if each is None or each is UNREAD else bytes(each))
    return found


def the_pack(folder: Path) -> Path:
    (pack,) = [each for each in folder.rglob("data/**/*") if each.is_file()]
    return pack


def flip(pack: Path, at: int) -> None:
    data = bytearray(pack.read_bytes())
    data[at] ^= 1
    pack.write_bytes(data)


#: One pack with many values, packs with one, small ones that stay in the record.
COMMITS = (
    {f"a/{k}": value(k, 1000 + 100 * k) for k in range(12)},
    *({f"a/{k}": value(k, SIZE)} for k in range(12, 16)),
    {"a/16": b"", "a/17": b"x", "a/18": value(18, SIZE + 1)},
)
KEYS = [f"a/{k}" for k in (3, 2, 0, 1, 12, 13, 14, 99, 15, 4, 16, 17, 18, 11, 5)]


@pytest.mark.parametrize("step", [1, 2, 7, 15])
@pytest.mark.parametrize("most_open", [1, 4])
async def test_each_value_is_itself_or_left_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, most_open: int
) -> None:
    monkeypatch.setattr(packed_group, "_MOST_OPEN", most_open)
    here = face(await made(tmp_path, *COMMITS))
    everything = {key: each for commit in COMMITS for key, each in commit.items()}
    found = dict(zip(KEYS, read(here, KEYS, step), strict=True))
    assert found.pop("a/18") is UNREAD  # too long
    assert found.pop("a/16") in (b"", UNREAD)
    assert found == {key: everything.get(key) for key in found}
    buffer = memoryview(bytearray(len(KEYS) * SIZE))
    again = here.read_group(KEYS, buffer, SIZE)
    assert [None if each is None else each is UNREAD for each in again] == [
        None if key == "a/99" else key == "a/18" or (key == "a/16" and each is UNREAD)
        for key, each in zip(KEYS, again, strict=True)
    ]


async def test_what_is_damaged_or_gone_is_left_to_others(tmp_path: Path) -> None:
    values = {f"a/{k}": value(k, 3000) for k in range(8)}
    here = face(await made(tmp_path, values))
    pack = the_pack(tmp_path)
    flip(pack, 3 * 3000 + 7)
    os.truncate(pack, 7 * 3000 + 10)
    found = read(here, list(values), 1)
    assert [k for k in range(8) if found[k] is UNREAD] == [3, 7]
    assert [found[k] for k in (0, 6)] == [values["a/0"], values["a/6"]]
    pack.unlink()
    assert read(here, list(values), 3) == [UNREAD] * 8


async def test_an_object_of_one_value_is_checked_too(tmp_path: Path) -> None:
    here = face(await made(tmp_path, {"a/0": value(0, SIZE)}))
    assert read(here, ["a/0"], 1) == [value(0, SIZE)]
    flip(the_pack(tmp_path), 7)
    assert read(here, ["a/0"], 1) == [UNREAD]


async def test_nothing_stays_open(tmp_path: Path) -> None:
    here = face(await made(tmp_path, *COMMITS))
    read(here, KEYS, 1)
    before = len(os.listdir("/proc/self/fd"))
    for step in (1, 4, 15):
        read(here, KEYS, step)
    assert len(os.listdir("/proc/self/fd")) == before
