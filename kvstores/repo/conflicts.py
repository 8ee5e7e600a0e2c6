"""Whether what a transaction rests on still holds after commits that it did not see. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo.family import DOCUMENTS, Family
from asynctensor.kvstores.repo.located import located
from asynctensor.kvstores.repo.part_ref import PartPage, Span
from asynctensor.kvstores.repo.record import CommitEntry
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.tail import Version
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.key_range import KeyRange

_GENERATION = struct.Struct(">6sQH")
#: Conflicts that are told apart; more are only counted.
_MOST_NAMED = 64


def generation_of(branch: str, version: Version) -> bytes:
    """The generation, in a state of `branch`, of a value that the commit `version` wrote.

    The branch is a part of it, as the same name may come to mean another branch.
    """
    return _GENERATION.pack(bytes.fromhex(branch), *version)


@dataclass(frozen=True, slots=True)
class Conflict:
    """One thing that was changed under a transaction.

    Attributes:
        key: The key, or the beginning of the range that was listed.
        by: The commit that changed it.
        read: Whether the transaction had read it for its user; else it only rested on it.
        listed: Whether it is a range that was listed.
    """

    key: str
    by: Version
    read: bool
    listed: bool = False


@dataclass(frozen=True)
class Footing:
    """What a transaction rests on, looked up by space.

    Attributes:
        expected: Key to the generation that it must have (`NO_VALUE`: none) at the commit.
        read: Those of them that the transaction read for its user.
        ranges: Ranges of keys that were listed.
    """

    expected: Mapping[str, bytes] = field(default_factory=dict)
    read: frozenset[str] | set[str] = frozenset()
    ranges: Sequence[KeyRange] = ()
    _spaces: dict[bytes, dict[bytes, str]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for key in self.expected:
            space, inside, _ = located(key)
            self._spaces.setdefault(space, {})[inside] = key

    def in_space(self, space: bytes) -> Mapping[bytes, str]:
        """The expected keys of one space, as they are spelled there."""
        return self._spaces.get(space, {})

    @property
    def spaces(self) -> list[bytes]:
        """The spaces of the expected keys."""
        return list(self._spaces)

    @property
    def empty(self) -> bool:
        """Whether it rests on nothing."""
        return not self.expected and not self.ranges


def conflicts(
    footing: Footing,
    branch: str,
    later: Iterable[tuple[Version, CommitEntry]],
    *,
    most: int = _MOST_NAMED,
) -> list[Conflict]:
    """What of `footing` does not hold after the commits `later` of a branch, in their order.

    A key that was changed, and has the expected generation again, is no conflict: it was read
    after that change.
    """
    if footing.empty:
        return []
    now: dict[str, tuple[bytes, Version]] = {}
    found: dict[str, Conflict] = {}
    for version, entry in later:
        if entry.kind == "reset":
            for key in footing.expected:
                now[key] = (b"reset", version)
            for key_range in footing.ranges:
                found.setdefault("/" + key_range.inclusive_min, _listed(key_range, version))
            continue
        _note_cleared(footing, entry, version, now)
        for run in entry.runs:
            _note_run(footing, branch, run, version, now)
        for key_range in footing.ranges:
            if touches(entry, key_range):
                found.setdefault("/" + key_range.inclusive_min, _listed(key_range, version))
    for key, (generation, version) in now.items():
        if generation != footing.expected[key]:
            found[key] = Conflict(key, version, key in footing.read)
        if len(found) >= most:
            break
    return list(found.values())


def _listed(key_range: KeyRange, version: Version) -> Conflict:
    return Conflict(key_range.inclusive_min, version, read=True, listed=True)


def _note_run(
    footing: Footing,
    branch: str,
    run: Run,
    version: Version,
    now: dict[str, tuple[bytes, Version]],
) -> None:
    wanted = footing.in_space(run.space)
    if len(run) <= len(wanted):
        for i in range(len(run)):
            key = wanted.get(run.key(i))
            if key is not None:
                now[key] = (_generation(branch, run, i, version), version)
        return
    for inside, key in wanted.items():
        i = run.find(inside)
        if i >= 0:
            now[key] = (_generation(branch, run, i, version), version)


def _generation(branch: str, run: Run, i: int, version: Version) -> bytes:
    return NO_VALUE if run.ref(i) is None else generation_of(branch, version)


def _note_cleared(
    footing: Footing, entry: CommitEntry, version: Version, now: dict[str, tuple[bytes, Version]]
) -> None:
    for key_range in entry.cleared:
        for key in footing.expected:
            if key in key_range:
                now[key] = (NO_VALUE, version)


def touches(entry: CommitEntry, key_range: KeyRange) -> bool:
    """Whether a commit wrote, deleted or cleared a key in a range."""
    if any(not key_range.intersection(each).empty for each in entry.cleared):
        return True
    families = {family.id: family for family in entry.families}
    return any(run_touches(run, families.get(run.space), key_range) for run in entry.runs)


def parts_in_question(footing: Footing, entry: CommitEntry) -> list[PartPage]:
    """The parts of a commit that must be read to tell whether it touches what `footing` names."""
    families = {family.id: family for family in entry.families}
    return [
        page
        for part in entry.parts
        for span, page in zip(part.spans, part.pages(), strict=True)
        if any(span.may_hold(key) for key in footing.in_space(span.space))
        or any(_may_touch(span, families.get(span.space), each) for each in footing.ranges)
    ]


def _may_touch(span: Span, family: Family | None, key_range: KeyRange) -> bool:
    if family is None:
        low = key_range.inclusive_min.encode("utf-8", "surrogatepass")
        high = key_range.exclusive_max.encode("utf-8", "surrogatepass")
        return low <= span.last and (not high or span.first < high)
    first, last = family.extent(key_range)
    return first <= span.last and span.first <= last


def run_touches(run: Run, family: Family | None, key_range: KeyRange) -> bool:
    """Whether a run has a key, as it is spelled, in a range."""
    if run.space == DOCUMENTS:
        low = key_range.inclusive_min.encode("utf-8", "surrogatepass")
        high = key_range.exclusive_max.encode("utf-8", "surrogatepass") or None
        start, stop = run.between(low, high)
        return start < stop
    if family is None:
        raise DataLoss("a commit names chunks of a family that it does not define")
    all_of_it = KeyRange.prefix(family.prefix)
    shared = key_range.intersection(all_of_it)
    if shared.empty and key_range.exclusive_max:
        return False
    if shared == all_of_it:
        return len(run) > 0
    return any(family.spell(run.key(i)) in key_range for i in range(len(run)))
