"""Conflicts where commits have parts: what matters of them is read first. Pure.

Functions are generators that yield the runs of parts that they need, as pages; see `tree`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from asynctensor.kvstores.repo import key_columns
from asynctensor.kvstores.repo.conflicts import Conflict, Footing, conflicts, parts_in_question
from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.part import PartLeaf
from asynctensor.kvstores.repo.proposal import Proposal
from asynctensor.kvstores.repo.read_set import ReadSet
from asynctensor.kvstores.repo.record import CommitEntry
from asynctensor.kvstores.repo.tail import Version
from asynctensor.kvstores.repo.tree import Pages
from asynctensor.storage.key_range import KeyRange

Later = Sequence[tuple[Version, CommitEntry]]

#: What a key that a part rests on has: no commit gives a key this generation.
_AS_IT_WAS = b"as at the base"


def part_conflicts(proposal: Proposal, branch: str, later: Later) -> Pages[list[Conflict]]:
    """What of a proposal, and of its parts, does not hold after later commits.

    Args:
        proposal: The proposal.
        branch: The branch's id.
        later: The commits, in order.
    """
    found = yield from _against(proposal.footing, branch, later)
    if found or not later or not proposal.reads:
        return found
    families = proposal.entry.families
    together = footing_of([each.coarse for each in proposal.reads], families)
    if not (yield from _against(together, branch, later)):
        return []
    for each in proposal.reads:
        coarse = footing_of([each.coarse], families)
        if not (yield from _against(coarse, branch, later)):
            continue
        (page,) = yield [each.part.reads_page]
        assert isinstance(page, PartLeaf)
        exact = footing_of([page.reads], page.families)
        found += yield from _against(exact, branch, later)
    return found


def _against(footing: Footing, branch: str, later: Later) -> Pages[list[Conflict]]:
    if footing.empty:
        return []
    whole: list[tuple[Version, CommitEntry]] = []
    for version, entry in later:
        wanted = parts_in_question(footing, entry) if entry.parts else []
        if wanted:
            pages = yield [*wanted]
            read = replace(entry, runs=(*entry.runs, *(page.entries for page in pages)))
            whole.append((version, read))
        else:
            whole.append((version, entry))
    return conflicts(footing, branch, whole)


def footing_of(reads: Iterable[ReadSet], families: Iterable[Family]) -> Footing:
    """What parts rest on: all of it must be as it was at the base.

    Args:
        reads: What they read.
        families: Those of the keys, at least.
    """
    known: Mapping[bytes, Family] = {family.id: family for family in families}
    expected: dict[str, bytes] = {}
    ranges: dict[KeyRange, None] = {}
    for each in reads:
        ranges.update(dict.fromkeys(each.ranges))
        for space, keys in each.keys.items():
            for i in range(len(keys)):
                key = key_columns.at(keys, i)
                spelled = known[space].spell(key) if space else key.decode("utf-8", "surrogatepass")
                expected[spelled] = _AS_IT_WAS
    return Footing(expected, set(expected), tuple(ranges))
