"""When a branch's tail of commits is folded into the index. Pure."""

from __future__ import annotations

from asynctensor.kvstores.repo.tail import Tail

#: Records, and commits, after which the tail is folded.
_FOLD_AFTER = 64
_FOLD_COMMITS = 1024
#: Bytes of records after which it is: whoever opens the branch reads them all.
_FOLD_BYTES = 64 * 2**10
#: Changes in parts after which it is folded at once: readers would load them whole.
_FOLD_IN_PARTS = 1 << 16


def is_due(tail: Tail, newest: int) -> bool:
    """Whether it is the turn of whoever wrote the newest record: one process at a time, or all.

    All, once nobody did it.

    Args:
        tail: The state, the newest record included.
        newest: The slot of that record.
    """
    since = newest - tail.base[0]
    if tail.mended or tail.in_parts >= _FOLD_IN_PARTS:
        return True
    if tail.size >= _FOLD_BYTES and tail.size_before_last < _FOLD_BYTES:
        # It is the turn of whoever wrote the record that is one too many.
        return True
    due = since >= _FOLD_AFTER or len(tail) >= _FOLD_COMMITS
    return due and (newest % _FOLD_AFTER == 0 or since >= 4 * _FOLD_AFTER)


def is_overdue(tail: Tail, newest: int) -> bool:
    """Whether a tail is so long that it was somebody's turn while a fold was under way.

    For whoever has just folded: turns that came meanwhile were missed.

    Args:
        tail: What the fold has left.
        newest: The slot of the newest record.
    """
    long = newest - tail.base[0] >= _FOLD_AFTER or len(tail) >= _FOLD_COMMITS
    return long or tail.size >= _FOLD_BYTES or tail.in_parts >= _FOLD_IN_PARTS
