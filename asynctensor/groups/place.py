"""`GroupPlace`: where a group is, and how it was opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from asynctensor.hierarchy.node_format import NodeFormat
from asynctensor.opening import open_at
from asynctensor.runtime.context import Context
from asynctensor.spec import Spec
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction


@dataclass(frozen=True, slots=True)
class GroupPlace:
    """Where a group is, and how it was opened; its children share all but the prefix.

    Attributes:
        store: The store, outside of any transaction.
        prefix: Empty, or ending in ``/``.
        path: The same, relative to the group that the user opened; without slashes around it.
        format: The format.
        context: Resources to use.
        transaction: What reads and writes belong to.
        mode: ``"r"``, ``"w"`` or ``"rw"``.
    """

    store: KeyValueStore
    prefix: str
    path: str
    format: NodeFormat
    context: Context
    transaction: Transaction | None
    mode: str

    @property
    def view(self) -> KeyValueStore:
        """The store as the transaction sees it."""
        if self.transaction is None:
            return self.store
        return StagedStore(self.store, self.transaction)

    def child(self, names: Sequence[str]) -> GroupPlace:
        """The place of what is below."""
        path = "/".join([self.path, *names] if self.path else names)
        return replace(self, prefix=f"{self.prefix}{'/'.join(names)}/", path=path)

    async def open_array(self, spec: Spec) -> TensorStore:
        """Opens or creates the array here; what the spec says of the kvstore is not looked at."""
        return await open_at(
            self.store,
            self.prefix,
            spec,
            context=self.context,
            transaction=self.transaction,
            mode=self.mode,
        )
