"""`KeyValueStoreSuite`: checks that a store keeps the whole contract of `asynctensor.storage`.

Subclass it in a test module for pytest (with pytest-asyncio), and say how to make a store::

    class TestMyStore(KeyValueStoreSuite):
        @pytest.fixture
        def store(self, tmp_path):
            return MyStore(tmp_path)

Each test gets a new, empty store. What a store cannot do, its capabilities say; the suite then
checks that it says so with `Unimplemented`.
"""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Sequence
from typing import ClassVar

import pytest

from asynctensor.errors import Aborted, OutOfRange, Unimplemented
from asynctensor.runtime.event_loop import start
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.commit_domain import Commit
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.kvstore import KeyValueStore, ListEntry, ReadOptions, Replacement
from asynctensor.testing.kvstore_calls import entries, fill, keys, read, write
from asynctensor.testing.kvstore_list_suite import KeyValueStoreListSuite
from asynctensor.testing.kvstore_race_suite import KeyValueStoreRaceSuite


@pytest.mark.asyncio
class KeyValueStoreSuite(KeyValueStoreListSuite, KeyValueStoreRaceSuite):
    """The tests. See the module."""

    #: Keys that stores with fewer allowed characters replace by their own.
    special_keys: ClassVar[Sequence[str]] = (
        "a b", "a%20b", "q?x=1&y", "frag#ment", "back\\slash", "quo\"te'", "star*", "<>|", "+", "é",
        "日本/語", "\U0001f9e0", "..a", "a..", ".hidden", "x.json", "~", "a:b", "c/0/0", "-", "%2F",
        "$a",
    )  # fmt: skip
    #: Whether a store that was pickled and loaded shows the same keys.
    pickles_share: ClassVar[bool] = True
    large_value_size: ClassVar[int] = 5_000_003
    #: Whether equal bytes may be one generation, before and after others (S3's ETag is a hash).
    equal_bytes_may_be_equal_generations: ClassVar[bool] = False

    @pytest.fixture
    def store(self) -> KeyValueStore:
        """The store to be tested, new and empty."""
        raise NotImplementedError("say how to make a store: define a fixture `store`")

    # -- Reading and writing ------------------------------------------------------------------

    async def test_missing_key_is_a_result(self, store: KeyValueStore) -> None:
        found = await read(store, "no/such/key")
        assert (found.state, found.value) == ("missing", b"")
        assert found.stamp.generation == NO_VALUE
        assert found.stamp.time > 0

    async def test_written_value_is_read(self, store: KeyValueStore) -> None:
        stamp = await write(store, "a/b", b"value")
        assert stamp.generation not in (UNKNOWN, NO_VALUE)
        found = await read(store, "a/b")
        assert (found.state, found.value) == ("value", b"value")
        assert found.stamp.generation == stamp.generation
        assert found.stamp.time >= stamp.time

    async def test_empty_value_is_a_value(self, store: KeyValueStore) -> None:
        await write(store, "k", b"")
        found = await read(store, "k")
        assert (found.state, found.value) == ("value", b"")
        assert await entries(store) == [ListEntry("k", 0)]

    async def test_shorter_value_replaces_a_longer_one(self, store: KeyValueStore) -> None:
        await write(store, "k", b"a long value")
        await write(store, "k", b"short")
        assert (await read(store, "k")).value == b"short"

    async def test_no_generation_ever_comes_back(self, store: KeyValueStore) -> None:
        if not store.capabilities.can_compare_and_swap or self.equal_bytes_may_be_equal_generations:
            return
        seen = set()
        for round_ in range(40):
            seen.add((await write(store, "k", b"same")).generation)
            if round_ % 4 == 3:
                await write(store, "k", None)
        assert len(seen) == 40

    async def test_deleted_key_is_missing(self, store: KeyValueStore) -> None:
        await write(store, "a/b", b"1")
        assert (await write(store, "a/b", None)).generation == NO_VALUE
        assert (await read(store, "a/b")).state == "missing"
        assert await keys(store) == []

    async def test_key_of_a_deleted_folder(self, store: KeyValueStore) -> None:
        await write(store, "a/b", b"1")
        await write(store, "a/b", None)
        await write(store, "a", b"2")
        assert (await read(store, "a")).value == b"2"
        assert await keys(store) == ["a"]

    async def test_deleting_nothing_is_done_at_once(self, store: KeyValueStore) -> None:
        assert (await write(store, "a/b", None)).generation == NO_VALUE

    async def test_values_of_all_buffers(self, store: KeyValueStore) -> None:
        for value in (b"bytes", bytearray(b"array"), memoryview(b"a view")):
            await write(store, "k", value)
            assert (await read(store, "k")).value == bytes(value)
        numbers = memoryview(bytearray(range(8))).cast("H")
        await write(store, "k", numbers)
        assert (await read(store, "k")).value == bytes(range(8))

    async def test_value_does_not_change_with_the_callers_buffer(
        self, store: KeyValueStore
    ) -> None:
        buffer = bytearray(b"before")
        await write(store, "k", buffer)
        buffer[:] = b"after!"
        assert (await read(store, "k")).value == b"before"

    async def test_large_value(self, store: KeyValueStore) -> None:
        value = bytes(range(251)) * (self.large_value_size // 251)
        await write(store, "large", value)
        assert (await read(store, "large")).value == value
        middle = len(value) // 2
        part = await read(store, "large", ReadOptions(ByteRange(middle, middle + 1000)))
        assert part.value == value[middle : middle + 1000]

    async def test_special_characters(self, store: KeyValueStore) -> None:
        await fill(store, self.special_keys)
        for key in self.special_keys:
            assert (await read(store, key)).value == key.encode(), key
        assert await keys(store) == sorted(self.special_keys)
        for key in self.special_keys:
            await write(store, key, None)
        assert await keys(store) == []

    # -- Byte ranges --------------------------------------------------------------------------

    async def test_byte_ranges(self, store: KeyValueStore) -> None:
        stamp = await write(store, "k", b"0123456789")
        wanted = {(0, None): b"0123456789", (3, 5): b"34", (7, None): b"789", (0, 0): b"",
                  (10, None): b"", (4, 4): b"", (0, 10): b"0123456789"}  # fmt: skip
        if store.capabilities.suffix_ranges:
            wanted |= {(-3, None): b"789", (-10, None): b"0123456789"}
        for (low, high), value in wanted.items():
            found = await read(store, "k", ReadOptions(ByteRange(low, high)))
            assert (found.state, found.value) == ("value", value), (low, high)
            assert found.stamp.generation == stamp.generation

    async def test_byte_range_outside_the_value(self, store: KeyValueStore) -> None:
        await write(store, "k", b"0123")
        bad = [(0, 5), (5, None), (5, 6)]
        if store.capabilities.suffix_ranges:
            bad.append((-5, None))
        for low, high in bad:
            with pytest.raises(OutOfRange):
                await read(store, "k", ReadOptions(ByteRange(low, high)))

    async def test_byte_range_of_a_missing_key(self, store: KeyValueStore) -> None:
        found = await read(store, "k", ReadOptions(ByteRange(5, 10)))
        assert found.state == "missing"

    # -- Conditions ---------------------------------------------------------------------------

    async def test_read_conditions(self, store: KeyValueStore) -> None:
        old = (await write(store, "k", b"1")).generation
        now = (await write(store, "k", b"2")).generation
        for options, state in (
            (ReadOptions(if_equal=now), "value"),
            (ReadOptions(if_equal=old), "unspecified"),
            (ReadOptions(if_equal=NO_VALUE), "unspecified"),
            (ReadOptions(if_not_equal=now), "unspecified"),
            (ReadOptions(if_not_equal=old), "value"),
            (ReadOptions(if_not_equal=NO_VALUE), "value"),
        ):
            found = await read(store, "k", options)
            assert found.state == state, options
            assert found.value == (b"2" if state == "value" else b"")
        assert (await read(store, "none", ReadOptions(if_not_equal=now))).state == "missing"

    async def test_compare_and_swap(self, store: KeyValueStore) -> None:
        if not store.capabilities.can_compare_and_swap:
            return await self._refuses_conditions(store)
        first = (await write(store, "k", b"1")).generation
        second = (await write(store, "k", b"2", first)).generation
        assert second not in (UNKNOWN, NO_VALUE, first)
        assert (await write(store, "k", b"3", first)).generation == UNKNOWN
        assert (await write(store, "k", b"3", NO_VALUE)).generation == UNKNOWN
        assert (await write(store, "none", b"3", first)).generation == UNKNOWN
        assert (await read(store, "k")).value == b"2"
        assert await keys(store) == ["k"]
        return None

    async def _refuses_conditions(self, store: KeyValueStore) -> None:
        stamp = await write(store, "k", b"1")
        try:
            await write(store, "k", b"2", stamp.generation)
        except Unimplemented:
            assert (await read(store, "k")).value == b"1"

    async def test_conditional_delete(self, store: KeyValueStore) -> None:
        if not store.capabilities.can_compare_and_swap:
            return
        old = (await write(store, "k", b"1")).generation
        now = (await write(store, "k", b"2")).generation
        try:
            assert (await write(store, "k", None, old)).generation == UNKNOWN
        except Unimplemented:
            # Some compare when they write only.
            assert (await read(store, "k")).value == b"2"
            return
        assert (await write(store, "k", None, NO_VALUE)).generation == UNKNOWN
        assert (await read(store, "k")).value == b"2"
        assert (await write(store, "k", None, now)).generation == NO_VALUE
        assert (await write(store, "k", None, NO_VALUE)).generation == NO_VALUE
        assert (await write(store, "k", None, now)).generation == UNKNOWN
        assert (await read(store, "k")).state == "missing"

    async def test_generation_does_not_survive_a_delete(self, store: KeyValueStore) -> None:
        if not store.capabilities.can_compare_and_swap or self.equal_bytes_may_be_equal_generations:
            return
        old = (await write(store, "k", b"1")).generation
        await write(store, "k", None)
        await write(store, "k", b"1")
        assert (await write(store, "k", b"2", old)).generation == UNKNOWN

    async def test_create_only_if_absent(self, store: KeyValueStore) -> None:
        if not store.capabilities.can_create_if_absent:
            return
        stamp = await write(store, "a/b", b"1", NO_VALUE)
        assert stamp.generation not in (UNKNOWN, NO_VALUE)
        assert (await read(store, "a/b")).stamp.generation == stamp.generation
        assert (await write(store, "a/b", b"2", NO_VALUE)).generation == UNKNOWN
        assert (await read(store, "a/b")).value == b"1"
        await write(store, "a/b", None)
        assert (await write(store, "a/b", b"3", NO_VALUE)).generation != UNKNOWN
        assert await keys(store) == ["a/b"]

    # -- What it says of itself ---------------------------------------------------------------

    async def test_pickle(self, store: KeyValueStore) -> None:
        await write(store, "k", b"1")
        loaded = pickle.loads(pickle.dumps(store))  # noqa: S301 -- our own
        if self.pickles_share:
            assert (await read(loaded, "k")).value == b"1"
            assert loaded.identity == store.identity
        else:
            assert (await read(loaded, "k")).state == "missing"
        await write(loaded, "new", b"2")
        assert (await read(loaded, "new")).value == b"2"

    async def test_description(self, store: KeyValueStore) -> None:
        hash(store.identity)
        spec = store.spec_json("a/b")
        assert spec["driver"] == store.driver
        assert json.loads(json.dumps(spec)) == spec
        assert str(spec["path"]).endswith("a/b")
        try:
            url = store.url("a b/")
        except Unimplemented:
            return
        assert url.endswith("a%20b/")

    async def test_at_finds_what_a_spec_names(self, store: KeyValueStore) -> None:
        await write(store, "a/b", b"1")
        moved, path = store.at(str(store.spec_json("a/").get("path", "")))
        assert (await read(moved, path + "b")).value == b"1"

    # -- The blocking face and commits --------------------------------------------------------

    async def test_blocking_face_agrees(self, store: KeyValueStore) -> None:
        if store.blocking is None:
            return
        stamp = await write(store, "a/b", b"0123456789")
        await asyncio.to_thread(self._check_blocking, store, stamp.generation)
        found = await read(store, "made/here")
        assert found.value == b"by the face"

    def _check_blocking(self, store: KeyValueStore, generation: bytes) -> None:
        face = store.blocking
        assert face is not None
        assert face.open("none") is None
        assert face.generation("none") == NO_VALUE
        assert face.generation("a/b") == generation
        opened = face.open("a/b")
        assert opened is not None
        assert (opened.size, opened.generation) == (10, generation)
        assert opened.value in (None, b"0123456789")
        part = bytearray(4)
        opened.read_into(memoryview(part), 3)
        assert part == b"3456"
        words = memoryview(bytearray(4)).cast("H")
        opened.read_into(words, 0)
        assert words.tobytes() == b"0123"
        for offset in (7, 10, 11):
            with pytest.raises(OutOfRange):
                opened.read_into(memoryview(part), offset)
        group = [
            Replacement("made/here", b"by the face"),
            Replacement("a/b", b"too late", NO_VALUE),
            Replacement("a/b", b"new"),
            Replacement("gone", None),
        ]
        outcomes = face.replace(group)
        assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        made, late, new, gone = (getattr(outcome, "generation", None) for outcome in outcomes)
        assert (late, gone) == (UNKNOWN, NO_VALUE)
        assert face.generation("made/here") == made
        assert face.generation("a/b") == new
        # An open value stays what it was.
        opened.read_into(memoryview(part), 0)
        assert part == b"0123"
        opened.close()
        opened.close()

    async def test_commits_are_atomic(self, store: KeyValueStore) -> None:
        domain = store.commit_domain
        if domain is None:
            return
        hash(domain.identity)
        old = (await write(store, "a", b"1")).generation
        commit = Commit({"a": old, "b": NO_VALUE}, {"a": b"2", "b": b"2", "c": None})
        generations = (await start(domain.commit, commit)).generations
        assert generations["c"] == NO_VALUE
        for key in ("a", "b"):
            found = await read(store, key)
            assert (found.value, found.stamp.generation) == (b"2", generations[key])
        with pytest.raises(Aborted) as caught:
            await start(domain.commit, Commit({"a": old}, {"a": b"3", "b": b"3"}))
        assert caught.value.key == "a"
        assert [(await read(store, key)).value for key in ("a", "b")] == [b"2", b"2"]
