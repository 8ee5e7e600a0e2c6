"""Which transactions of strangers may be committed for them: those that touch nothing else. Pure.

Whoever adopts an intent knows less than its owner: not which values were read, nor how changes
merge. So the rule is the strictest: nothing that the intent read, wrote, listed or emptied may
have been touched since its base (R6, R7). Whatever an owner calls a conflict, this refuses too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from asynctensor.kvstores.repo import key_columns
from asynctensor.kvstores.repo.commit_entry import CommitEntry
from asynctensor.kvstores.repo.conflicts import Footing, run_touches, touches
from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.intent import Intent
from asynctensor.kvstores.repo.key_columns import KeyColumn
from asynctensor.kvstores.repo.read_set import ReadSet
from asynctensor.kvstores.repo.run import Run
from asynctensor.storage.key_range import KeyRange

#: Larger transactions are not offered to strangers, in bytes and in keys.
_MOST_BYTES = 256 * 1024
_MOST_KEYS = 4096


def intent_of(branch: str, entry: CommitEntry, footing: Footing) -> Intent | None:
    """The intent that offers a transaction to strangers; None where it had better not."""
    if (
        entry.kind != "commit"
        or entry.parts
        or entry.caller_key is not None
        or len(footing.expected) > _MOST_KEYS
    ):
        return None
    if len(entry.encoded) > _MOST_BYTES:
        return None
    keys = {
        space: key_columns.of(space, sorted(footing.in_space(space))) for space in footing.spaces
    }
    return Intent(branch, entry, ReadSet(keys, tuple(footing.ranges)))


def may_be_adopted(intent: Intent, others: Iterable[CommitEntry]) -> bool:
    """Whether none of the commits since its base touches what an intent rests on or changes."""
    mine = intent.commit
    if mine.kind != "commit" or mine.parts or mine.caller_key is not None:
        return False
    ranges = (*intent.reads.ranges, *mine.cleared)
    written = {run.space: run for run in mine.runs}
    families = {family.id: family for family in mine.families}
    return not any(
        other.kind not in ("commit", "revert")
        or other.parts
        or any(touches(other, key_range) for key_range in ranges)
        or any(_share(run, intent.reads.keys.get(run.space)) for run in other.runs)
        or any(_overlap(run, written.get(run.space)) for run in other.runs)
        or any(_holds(intent.reads.keys, mine.runs, families, each) for each in other.cleared)
        for other in others
    )


def _share(run: Run, keys: KeyColumn | None) -> bool:
    return keys is not None and bool(key_columns.contained(keys, run.keys).any())


def _overlap(run: Run, mine: Run | None) -> bool:
    return mine is not None and bool(key_columns.contained(mine.keys, run.keys).any())


def _holds(
    reads: Mapping[bytes, KeyColumn],
    runs: Iterable[Run],
    families: Mapping[bytes, Family],
    cleared: KeyRange,
) -> bool:
    """Whether a range that was emptied may have held a key that was read or written.

    Keys that were read in a family of which nothing is written are not spelled in an intent: any
    emptied range counts as theirs.
    """
    for space, keys in reads.items():
        family = families.get(space)
        if space and family is None:
            return True
        for i in range(len(keys)):
            key = key_columns.at(keys, i)
            spelled = family.spell(key) if family else key.decode("utf-8", "surrogatepass")
            if spelled in cleared:
                return True
    return any(run_touches(run, families.get(run.space), cleared) for run in runs)
