"""Metadata documents as a transaction sees them: relied upon in part, and merged at the commit."""

from __future__ import annotations

from asynctensor.chunked.document_merge import MergeConflict, MergeRules, merged
from asynctensor.storage.kvstore import KeyValueStore, ReadResult
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.staged_value import Conflicting, Merge


async def glance(view: KeyValueStore, key: str) -> ReadResult:
    """Reads a document without relying on all of it."""
    return await (view.glance(key) if isinstance(view, StagedStore) else view.read(key))


def merge_by(rules: MergeRules) -> Merge:
    """How a transaction merges documents by `rules`."""

    def merge(
        base: bytes | None, ours: bytes | None, theirs: bytes | None, appended: dict[int, int]
    ) -> bytes | None:
        try:
            return merged(rules, base, ours, theirs, appended)
        except MergeConflict as error:
            raise Conflicting(error.members) from None

    return merge


async def created(view: StagedStore, key: str, document: bytes, rules: MergeRules) -> bytes | None:
    """Stages a new document, which others may make as well if they make it the same.

    Returns:
        Its generation; None if there is a document already.
    """
    new = False

    def make(current: bytes | None) -> bytes | None:
        nonlocal new
        new = current is None
        return document if current is None else current

    await view.change(key, make, merge_by(rules))
    return (await view.glance(key)).stamp.generation if new else None
