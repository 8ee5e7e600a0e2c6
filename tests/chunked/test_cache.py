"""`ChunkCache`: bounded, least recently used first, never an outdated entry."""

from __future__ import annotations

import gc
import random
import threading
import weakref

import numpy as np
import pytest

from asynctensor.chunked.cache import CachedChunk, ChunkCache

KEY = ("array", (0,), 0)


def entry(size: int = 1000, time: float = 0.0) -> CachedChunk:
    return CachedChunk(np.zeros(size, np.uint8), b"g", time)


def key(number: int) -> tuple[str, tuple[int, ...], int]:
    return ("array", (number,), 0)


def test_the_least_recently_used_goes_first() -> None:
    cache = ChunkCache(5000)
    for number in range(3):
        cache.put(key(number), entry())
    assert cache.get(key(0)) is not None
    cache.put(key(3), entry())
    assert [cache.get(key(n)) is not None for n in range(4)] == [True, False, True, True]
    assert cache.statistics().bytes <= 5000


def test_what_is_larger_than_the_limit_is_not_kept() -> None:
    cache = ChunkCache(5000)
    cache.put(key(0), entry())
    cache.put(key(1), entry(6000))
    assert cache.get(key(0)) is not None
    assert cache.get(key(1)) is None


def test_empty_chunks_count_too() -> None:
    cache = ChunkCache(5000)
    for number in range(1000):
        cache.put(key(number), CachedChunk(None, b"", 0.0))
    assert 0 < cache.statistics().entries < 20


def test_an_older_entry_does_not_replace_a_newer_one() -> None:
    cache = ChunkCache(5000)
    newer = entry(time=2.0)
    cache.put(KEY, newer)
    cache.put(KEY, entry(time=1.0))
    assert cache.get(KEY) is newer


def test_entries_cannot_be_changed() -> None:
    cache = ChunkCache(5000)
    cache.put(KEY, entry())
    found = cache.get(KEY)
    assert found is not None
    assert found.array is not None
    with pytest.raises(ValueError, match="read-only"):
        found.array[0] = 1


def test_an_entry_that_is_outdated_when_it_comes_is_not_kept() -> None:
    cache = ChunkCache(5000)
    cache.put(KEY, entry(), lambda: False)
    assert cache.get(KEY) is None


def test_arrays_are_shared_while_somebody_holds_them() -> None:
    class Held:
        pass

    cache = ChunkCache(0)
    first = cache.shared("a", Held)
    assert cache.shared("a", Held) is first
    assert cache.shared("b", Held) is not first
    forgotten = weakref.ref(first)
    del first
    gc.collect()
    assert forgotten() is None
    assert isinstance(cache.shared("a", Held), Held)


def test_the_count_of_bytes_stays_right_among_threads() -> None:
    cache = ChunkCache(30_000)

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(2000):
            number = chance.randrange(40)
            match chance.randrange(4):
                case 0:
                    cache.discard(key(number))
                case 1:
                    cache.get(key(number))
                case _:
                    cache.put(key(number), entry(chance.randrange(4000), chance.random()))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < cache.statistics().bytes <= 30_000
    for number in range(40):
        cache.discard(key(number))
    found = cache.statistics()
    assert (found.entries, found.bytes) == (0, 0)


def test_chunks_go_before_indexes() -> None:
    cache = ChunkCache(16_000)
    index = ("array", (0,), -1)
    cache.put(index, entry(1000))
    for number in range(100):
        cache.put(key(number), entry())
    assert cache.get(index) is not None
    assert cache.get(key(99)) is not None
    assert cache.statistics().bytes <= 16_000
    cache.discard(index)
    assert cache.get(index) is None
    # They have an eighth to themselves; the oldest of them go first.
    for number in range(50):
        cache.put(("array", (number,), -1), entry(100))
    for number in range(100):
        cache.put(key(number), entry())
    kept = [cache.peek(("array", (number,), -1)) is not None for number in range(50)]
    assert kept == sorted(kept)
    assert 1 <= sum(kept) <= 2000 // 612
    # A large one is kept like a chunk, and found like any other.
    cache.put(index, entry(9000))
    assert cache.get(index) is not None
    cache.put(index, entry(100, time=1.0))
    cache.put(key(100), entry(9000))
    small = cache.peek(index)
    assert small is not None
    assert small.nbytes < 1000
    for number in range(100):
        cache.discard(("array", (number,), -1))
        cache.discard(key(number))
    cache.discard(key(100))
    assert (cache.statistics().entries, cache.statistics().bytes) == (0, 0)
