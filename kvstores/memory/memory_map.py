"""The keys and values of a ``memory`` store: sorted, and changed many at a time.

Everything is done under one lock that is held for dictionary operations only.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from asynctensor.runtime.counters import StoreCounters, store_counters
from asynctensor.runtime.sources import SOURCES
from asynctensor.runtime.verbose_flag import verbose_flag
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.key_range import KeyRange


class MemoryMap:
    """The keys and values themselves: what stores with one ``memory_key_value_store`` share.

    A pickle of it is a new, empty map (TensorStore's rule); sharing inside one pickle stays.
    """

    #: What is done to any of these maps.
    counters: StoreCounters

    def __init__(self) -> None:
        self._values: dict[str, tuple[bytes, bytes, float]] = {}
        self._serial = 0
        # Sorted keys, perhaps with some that are gone, and those added since: sorting a sorted
        # list with a tail is nearly linear, so that writes stay O(1) and listings cheap.
        self._sorted: list[str] = []
        self._added: list[str] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self.counters = store_counters("memory")
        self.verbose = verbose_flag("memory")

    def __reduce__(self) -> tuple[object, ...]:
        return (MemoryMap, ())

    def __len__(self) -> int:
        return len(self._values)

    def _held(self) -> threading.Lock:
        # Another thread may have held the lock when this process was forked off.
        if self._pid != os.getpid():
            self._lock, self._pid = threading.Lock(), os.getpid()
        return self._lock

    def get(self, key: str) -> tuple[bytes, bytes, float] | None:
        """Value, generation and time of writing of `key`, or None."""
        if self.verbose.level:
            self.verbose.log("read %s", key)
        return self._values.get(key)

    def apply(
        self,
        expected: Mapping[str, bytes],
        values: Mapping[str, bytes | None],
        cleared: Sequence[KeyRange] = (),
    ) -> tuple[str, None] | tuple[None, dict[str, bytes]]:
        """Makes all of the changes if every key has the generation expected, else none.

        The ranges `cleared` are emptied before `values` are written.

        Returns:
            The first key that has another generation, and None; or None and the new generations.
        """
        with self._held():
            for key, wanted in expected.items():
                found = self._values.get(key)
                if (NO_VALUE if found is None else found[1]) != wanted:
                    return key, None
            for key_range in cleared:
                self._sort()
                start, stop = self._bounds(key_range)
                for key in self._sorted[start:stop]:
                    if key in self._values and key not in values:
                        self._set(key, None)
            return None, {key: self._set(key, value) for key, value in values.items()}

    def _set(self, key: str, value: bytes | None) -> bytes:
        self.counters.write.value += 1
        if self.verbose.level:
            self.verbose.log("write %s", key)
        if value is None:
            self._values.pop(key, None)
            return NO_VALUE
        if key not in self._values:
            self._added.append(key)
        self._serial += 1
        generation = self._serial.to_bytes(8, "big")
        self._values[key] = (value, generation, SOURCES.time())
        self.counters.bytes_written.value += len(value)
        return generation

    def keys(self, key_range: KeyRange) -> list[str]:
        """The keys of the range in order."""
        with self._held():
            self._sort()
            start, stop = self._bounds(key_range)
            return [key for key in self._sorted[start:stop] if key in self._values]

    def directory(self, prefix: str) -> list[str]:
        """The keys directly below `prefix`, and the names there that end in ``/``, in order."""
        found: list[str] = []
        with self._held():
            self._sort()
            at, stop = self._bounds(KeyRange.prefix(prefix))
            while at < stop:
                key = self._sorted[at]
                name, slash, _ = key[len(prefix) :].partition("/")
                if not slash or key not in self._values:
                    found += [key] if key in self._values else []
                    at += 1
                    continue
                found.append(f"{prefix}{name}/")
                at = bisect_left(self._sorted, f"{prefix}{name}0", at, stop)
        return found

    def _bounds(self, key_range: KeyRange) -> tuple[int, int]:
        """Where the range begins and ends among the sorted keys; the lock is held."""
        # Comparing code points orders strings as comparing their UTF-8 bytes does.
        start = bisect_left(self._sorted, key_range.inclusive_min)
        if not key_range.exclusive_max:
            return start, len(self._sorted)
        return start, bisect_left(self._sorted, key_range.exclusive_max)

    def _sort(self) -> None:
        """Takes those added since into the sorted keys; the lock is held."""
        if self._added or len(self._sorted) > 2 * len(self._values):
            live = self._values.keys()
            merged = [key for key in self._sorted if key in live]
            merged += [key for key in self._added if key in live]
            merged.sort()
            # A key deleted and written again stands in both lists.
            self._sorted = list(dict.fromkeys(merged))
            self._added = []
