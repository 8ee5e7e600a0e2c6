"""What a transaction does to the attributes in one document: single ones, and not all of it."""

from __future__ import annotations

from asynctensor.errors import NotFound
from asynctensor.hierarchy.attribute_changes import AttributeChanges
from asynctensor.hierarchy.node_format import NodeFormat
from asynctensor.transaction.staged_store import StagedValue


class StagedAttributes(StagedValue):
    """Changes of attributes, done to whatever the document says at the commit. Immutable.

    Args:
        fmt: The node's format.
        changes: The changes.
        before: What was staged for the document before; None for what is stored.
        must_exist: Whether there is no node without the document.
    """

    def __init__(
        self,
        fmt: NodeFormat,
        changes: AttributeChanges,
        before: StagedValue | None,
        *,
        must_exist: bool,
    ) -> None:
        self._format, self._changes, self._before = fmt, changes, before
        self._must_exist = must_exist

    def then(self, changes: AttributeChanges) -> StagedAttributes:
        """The same with more changes after these."""
        return StagedAttributes(
            self._format,
            self._changes.then(changes),
            self._before,
            must_exist=self._must_exist,
        )

    @property
    def needs_current(self) -> bool:
        return self._before is None or self._before.needs_current

    async def value(self, current: bytes | None) -> bytes | None:
        """The document with the changes.

        Raises:
            Aborted: Somebody else has changed the same attributes.
            NotFound: The node was deleted.
        """
        if self._before is not None:
            current = await self._before.value(current)
        if current is None and self._must_exist:
            raise NotFound("the node was deleted")
        stored = self._format.attributes(current)
        return self._format.with_attributes(current, self._changes.applied(stored))
