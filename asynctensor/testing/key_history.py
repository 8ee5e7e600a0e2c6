"""What the keys of a store held in the near past, for stores that give stale answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ListEntry, ReadOptions, ReadResult

#: Versions remembered per key.
_MOST = 16


@dataclass(frozen=True, slots=True)
class _Version:
    since: float
    value: bytes | None
    generation: bytes


@dataclass(slots=True)
class KeyHistory:
    """Versions of keys, each with the loop's time at which it came to be."""

    _versions: dict[str, list[_Version]] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        return key in self._versions

    def add(self, key: str, since: float, value: bytes | None, generation: bytes) -> None:
        """A new version; None: the key is missing from then on."""
        versions = self._versions.setdefault(key, [])
        versions.append(_Version(since, value, generation))
        del versions[:-_MOST]

    def _at(self, key: str, when: float) -> _Version | None:
        """The version of that time; None if it is not known."""
        found = None
        for version in self._versions.get(key, ()):
            if version.since <= when:
                found = version
        return found

    def is_new(self, key: str, since: float) -> bool:
        """Whether the key has a value now that it got at or after `since`."""
        newest = self._versions[key][-1] if key in self._versions else None
        return newest is not None and newest.value is not None and newest.since >= since

    def read(self, key: str, when: float, options: ReadOptions) -> ReadResult | None:
        """What a read at that time would have answered; None if that is not known."""
        version = self._at(key, when)
        if version is None:
            return None
        stamp = TimestampedStorageGeneration.now(version.generation)
        unmet = options.if_equal not in (UNKNOWN, version.generation)
        if unmet or (options.if_not_equal == version.generation != NO_VALUE):
            return ReadResult("unspecified", b"", stamp)
        if version.value is None:
            return ReadResult("missing", b"", stamp)
        start, stop = options.byte_range.resolve(len(version.value))
        return ReadResult("value", version.value[start:stop], stamp)

    def listed(self, now: Sequence[ListEntry], among: KeyRange, when: float) -> list[ListEntry]:
        """What a listing at that time would have answered, given what it answers now."""
        found = {entry.key: entry for entry in now}
        for key in self._versions:
            version = self._at(key, when)
            if key not in among or version is None:
                continue
            if version.value is None:
                found.pop(key, None)
            elif key not in found:
                found[key] = ListEntry(key, len(version.value))
        return [found[key] for key in sorted(found)]
