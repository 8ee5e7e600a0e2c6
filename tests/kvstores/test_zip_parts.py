"""Parts of compressed entries of zip files: the right bytes, and never all of a large entry."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import asynctensor as ts
from asynctensor.errors import DataLoss
from asynctensor.kvstores.file.store import FileStore
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.zip import partial, value
from asynctensor.kvstores.zip.directory import Entry
from asynctensor.kvstores.zip.store import ZipStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.kvstore import KeyValueStore, ReadOptions
from tests.kvstores.zip_files import METHODS, archive, deflated, entry

#: Compressible, and nowhere the same.
DATA = b"".join(b"%d %d\n" % (i, i * i * 977) for i in range(20_000))
PACKED = [method for method in METHODS if method]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file per method, each with an entry before the large one."""
    found = tmp_path_factory.mktemp("zips")
    for method in PACKED:
        made = [entry("before", b"1" * 1000, method), entry("a", DATA, method)]
        (found / str(method)).write_bytes(archive(*made))
    return found


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if entries were much larger than they are here."""
    monkeypatch.setattr("asynctensor.kvstores.zip.store.BLOCK", 5_000)
    monkeypatch.setattr("asynctensor.kvstores.zip.store.LARGE", 100_000)
    monkeypatch.setattr(value, "BLOCK", 5_000)
    monkeypatch.setattr(value, "_KEPT", 100_000)
    monkeypatch.setattr(partial, "_PIECE", 7_000)
    monkeypatch.setattr(partial, "_LEAST_STEP", 50_000)


def parts(seed: int) -> Iterator[tuple[int, int]]:
    chance = random.Random(seed)
    yield 0, 1
    yield len(DATA) - 1, len(DATA)
    yield 1, len(DATA)
    yield 0, len(DATA) - 1
    for _ in range(3):
        begin = chance.randrange(len(DATA))
        yield begin, min(len(DATA), begin + chance.randrange(1, 30_000))


@pytest.mark.parametrize("method", PACKED)
async def test_parts_are_parts(folder: Path, method: int) -> None:
    store = ZipStore(FileStore(f"{folder}"), str(method))
    for begin, end in parts(method):
        options = ReadOptions(ByteRange(begin, end))
        assert (await start(store.read, "a", options)).value == DATA[begin:end]
    assert (await start(store.read, "a", ReadOptions(ByteRange(-5)))).value == DATA[-5:]
    assert (await start(store.read, "a")).value == DATA


@pytest.mark.parametrize("method", PACKED)
def test_parts_are_parts_on_a_worker(folder: Path, method: int) -> None:
    face = ZipStore(FileStore(f"{folder}"), str(method)).blocking
    assert face is not None
    opened = face.open("a")
    assert opened is not None
    for begin, end in parts(method):
        found = bytearray(end - begin)
        opened.read_into(memoryview(found), begin)
        assert found == DATA[begin:end]
    opened.close()


class Counting(partial.Restarts):
    """Tells where decoding begins."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []

    def before(self, entry: Entry, position: int) -> partial._Point:
        found = super().before(entry, position)
        self.begun.append(position - found.position)
        return found


def read_part(store_entry: Entry, stored: bytes, begin: int, end: int, restarts: Counting) -> bytes:
    part = partial.Part(store_entry, begin, end, restarts)
    while not part.done:
        part.feed(memoryview(stored)[part.needed : part.needed + 4_000])
    return bytes(part.value)


def large_entry(data: bytes, stored: bytes) -> Entry:
    return Entry(
        key="a",
        method=8,
        flags=0,
        crc=zlib.crc32(data),
        stored=len(stored),
        size=len(data),
        offset=0,
        limit=2**40,
    )


def test_deflated_parts_begin_near_themselves() -> None:
    data, restarts = DATA * 2, Counting()
    stored = deflated(data)
    made = large_entry(data, stored)
    # One after the other, each begins where the last one ended.
    for begin in range(0, len(data), 30_000):
        end = min(begin + 30_000, len(data))
        assert read_part(made, stored, begin, end, restarts) == data[begin:end]
    assert set(restarts.begun) == {0}
    # In any order, none drops more than the step between two states that are kept, and a part.
    restarts.begun.clear()
    for begin in (700_000, 100, 350_000, 500_000, 690_000, 200_000):
        assert read_part(made, stored, begin, begin + 10, restarts) == data[begin : begin + 10]
    assert max(restarts.begun) < partial._LEAST_STEP + 30_000


def test_what_is_kept_is_bounded() -> None:
    restarts = Counting()
    stored = deflated(DATA)
    for offset in range(20):
        made = large_entry(DATA, stored)
        object.__setattr__(made, "offset", offset)
        for begin in range(0, len(DATA), 90_000):
            read_part(made, stored, begin, min(begin + 9, len(DATA)), restarts)
    assert len(restarts._entries) == partial._MOST_ENTRIES
    for points in restarts._entries.values():
        assert len(points.spread) <= partial._MOST_POINTS + 1
        assert len(points.latest) <= partial._LATEST


@pytest.mark.parametrize("method", PACKED)
@pytest.mark.parametrize("local", [False, True])
async def test_damage_is_found_on_the_way(method: int, local: bool, tmp_path: Path) -> None:
    good = entry("a", DATA, method)
    wrong = bytearray(good.stored)
    wrong[len(wrong) // 2] ^= 0xFF
    cases = {
        "cut off": entry("a", DATA, method, stored=good.stored[: len(good.stored) // 2]),
        "flipped": entry("a", DATA, method, stored=bytes(wrong)),
        "longer": entry("a", DATA, method, size=len(DATA) + 1000),
        "checksum": entry("a", DATA, method, crc=good.crc ^ 1),
    }
    for name, made in cases.items():
        (tmp_path / "z").write_bytes(archive(made))
        base: KeyValueStore = FileStore(str(tmp_path))
        if not local:
            base = MemoryStore()
            await start(base.write, "z", (tmp_path / "z").read_bytes())
        store = ZipStore(base, "z")
        with pytest.raises(DataLoss, match="key='a'"):
            await start(store.read, "a", ReadOptions(ByteRange(1, made.size)))
        if local:
            opened = store.blocking.open("a") if store.blocking else None
            assert opened is not None, name
            with pytest.raises(DataLoss):
                opened.read_into(memoryview(bytearray(made.size - 1)), 1)
            opened.close()


def test_a_part_of_a_huge_entry_takes_little_memory(tmp_path: Path) -> None:
    huge = bytes(64 * 2**20)
    (tmp_path / "z").write_bytes(archive(entry("a", huge, 8), entry("b", huge, 93)))
    del huge
    store = ts.KvStore.open(f"file://{tmp_path}/z|zip:").result()
    for key in ("a", "b"):
        tracemalloc.start()
        found = store.read(key, byte_range=slice(60 * 2**20, 60 * 2**20 + 100)).result()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found.value == bytes(100)
        assert peak < 2**23
