"""`Attributes`: what users keep beside a group or an array."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from asynctensor.errors import NotFound, PermissionDenied
from asynctensor.hierarchy.attribute_values import (
    MISSING,
    Missing,
    attribute_conditions,
    attribute_values,
    check_conditions,
)
from asynctensor.hierarchy.attributes_reliance import AttributesReliance
from asynctensor.hierarchy.consolidation import drop_copies_above
from asynctensor.hierarchy.documents import (
    change_document,
    glance_documents,
    glance_node,
)
from asynctensor.hierarchy.node_format import NodeFormat
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.loop_lock import LoopLock
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_name import store_name
from asynctensor.transaction.staged_store import StagedStore

#: Of a document that the transaction has not looked at: no store gives such a generation.
_UNSEEN = b"unseen"


class Attributes(Mapping[str, Any]):
    """The attributes of a group or an array: a mapping of names to JSON values.

    Reading it never waits: it shows what was stored when the node was opened, or at the last
    `refresh` or write through this object. Writes are awaitable, and conditional on what is stored
    then: whoever changes *other* attributes at the same time, in whichever process, loses nothing,
    and neither do you.

    In a transaction, writes are staged. Two transactions that write different attributes of one
    node both succeed; of two that write one attribute, or of which one looked at what the other
    wrote, the later fails with `Aborted`, which names it.
    """

    #: As `if_equal`: there is no such attribute.
    MISSING: ClassVar[Missing] = MISSING
    __slots__ = ("_format", "_prefix", "_reliance", "_shown", "_store", "_turn", "_writable")

    def __init__(
        self,
        store: KeyValueStore,
        prefix: str,
        fmt: NodeFormat,
        shown: Mapping[str, Any],
        *,
        writable: bool = True,
    ) -> None:
        """Made by `asynctensor.open_attributes`, `Group.attrs` and `TensorStore`.

        Args:
            store: Where the node is, as its transaction sees it.
            prefix: The node's directory: empty, or ending in ``/``.
            fmt: The node's format.
            shown: The attributes as they are known.
            writable: Whether they may be changed.
        """
        self._store, self._prefix, self._format = store, prefix, fmt
        self._shown = dict(shown)
        self._writable = writable
        self._reliance: AttributesReliance | None = None
        # One after the other within this object: what it shows is the last that was stored. Others,
        # here and in other processes, are held off by conditions alone.
        self._turn = LoopLock()

    # -- what is known ------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Any:
        """A copy of the value: changing it changes nothing stored."""
        self._rely([name])
        return copy.deepcopy(self._shown[name])

    def __iter__(self) -> Iterator[str]:
        self._rely(None)
        return iter(list(self._shown))

    def __len__(self) -> int:
        self._rely(None)
        return len(self._shown)

    def __contains__(self, name: object) -> bool:
        if isinstance(name, str):
            self._rely([name])
        return name in self._shown

    def asdict(self) -> dict[str, Any]:
        """A copy of all."""
        self._rely(None)
        return copy.deepcopy(self._shown)

    def __repr__(self) -> str:
        return f"Attributes({self._shown!r})"

    @property
    def stored_in(self) -> tuple[KeyValueStore, str]:
        """The store, outside of any transaction, and the key of the document they are in."""
        store = self._store.base if isinstance(self._store, StagedStore) else self._store
        return store, self._prefix + self._format.attributes_document

    @property
    def node_format(self) -> NodeFormat:
        """The format of the node."""
        return self._format

    def _rely(self, names: Iterable[str] | None, *, needed: bool = False) -> None:
        """Has the commit of the transaction, if there is one, rest on attributes (None: all).

        Args:
            names: Which.
            needed: Whether they were conditions of a write, which every isolation checks.
        """
        store = self._store
        if not isinstance(store, StagedStore) or not store.transaction.open:
            return
        key = self._prefix + self._format.attributes_document
        if self._reliance is None:
            seen = store.staging().seen.get(key)
            known, generation = self._shown, _UNSEEN
            if seen is not None:
                stored = bytes(seen.value) if seen.state == "value" else None
                known, generation = self._format.attributes(stored), seen.stamp.generation
            self._reliance = AttributesReliance(generation, self._format, known)
        self._reliance.add(names, needed=needed)
        store.rely_on(key, self._reliance)

    # -- what is stored -----------------------------------------------------------------------

    def refresh(
        self, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[Attributes]:
        """Looks at what is stored now.

        Args:
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of this object.
        """
        return start(self._refresh, timeout=timeout, deadline=deadline)

    async def _refresh(self) -> Attributes:
        async with self._turn:
            return await self._looked()

    async def _looked(self) -> Attributes:
        found = await glance_documents(self._store, self._prefix, self._format.documents)
        if not found:
            raise NotFound("the node was deleted", key=self._prefix)
        self._shown = self._format.attributes(found.get(self._format.attributes_document))
        return self

    def set(
        self,
        name: str,
        value: Any,
        *,
        if_equal: Any = ...,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[None]:
        """Sets one attribute.

        Args:
            name: Its name.
            value: A JSON value (NumPy scalars become numbers, tuples lists); copied before this
                returns.
            if_equal: Only if this is its value now; `Attributes.MISSING`: only if it has none.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future that is done when it is stored (in a transaction: staged). It fails with
            `FailedPrecondition`, and nothing is changed, if the condition does not hold. A
            cancelled call has changed it or never will.

        Raises:
            InvalidArgument: JSON cannot hold the value, or the format not the name.
            IncompatibleType: The name is no string.
            PermissionDenied: The node was opened for reading only.
        """
        conditions = {} if if_equal is ... else {name: if_equal}
        return self.update({name: value}, if_equal=conditions, timeout=timeout, deadline=deadline)

    def update(
        self,
        values: Mapping[str, Any],
        *,
        if_equal: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[None]:
        """Sets several attributes at once, atomically.

        Args:
            values: JSON values by name.
            if_equal: Only if each of these attributes has this value now; see `set`.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            See `set`.
        """
        new = attribute_values(values)
        return self._change(
            lambda stored: {**stored, **new}, attribute_conditions(if_equal), timeout, deadline
        )

    def delete(
        self,
        *names: str,
        if_equal: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[None]:
        """Deletes attributes; those that are not there stay away.

        Args:
            *names: Their names.
            if_equal: See `update`.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            See `set`.
        """
        gone = frozenset(names)

        def without(stored: dict[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in stored.items() if name not in gone}

        return self._change(without, attribute_conditions(if_equal), timeout, deadline)

    def replace(
        self,
        values: Mapping[str, Any],
        *,
        if_equal: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[None]:
        """Replaces all attributes by others: what somebody else has just set is lost.

        Args:
            values: JSON values by name.
            if_equal: See `update`.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            See `set`.
        """
        new = attribute_values(values)
        self._rely(None, needed=True)
        return self._change(lambda stored: new, attribute_conditions(if_equal), timeout, deadline)

    def _change(
        self,
        change: Callable[[dict[str, Any]], dict[str, Any]],
        conditions: Mapping[str, Any],
        timeout: float | None,
        deadline: float | None,
    ) -> Future[None]:
        if not self._writable:
            raise PermissionDenied("the node was opened for reading only; open it with write=True")
        # Refuses names with a meaning in the format before anything is asked of the store.
        self._format.check_attributes(change({}))
        return start(self._written, change, conditions, timeout=timeout, deadline=deadline)

    async def _written(
        self, change: Callable[[dict[str, Any]], dict[str, Any]], conditions: Mapping[str, Any]
    ) -> None:
        store, prefix, fmt = self._store, self._prefix, self._format
        key = fmt.attributes_document
        if key != fmt.group_document and await glance_node(store, prefix, fmt) is None:
            raise NotFound("the node was deleted", key=prefix, store=store_name(store))
        outcome: dict[str, Any] = {}

        def changed(document: bytes | None) -> bytes:
            nonlocal outcome
            stored = fmt.attributes(document)
            check_conditions(stored, conditions)
            outcome = change(stored)
            return fmt.with_attributes(document, outcome)

        must_exist = key == fmt.group_document and not fmt.implicit_groups
        async with self._turn:
            await drop_copies_above(store, prefix, fmt)
            await change_document(
                store, prefix + key, changed, rules=fmt.merge_rules(key), required=must_exist
            )
            if conditions:
                self._rely(conditions, needed=True)
            self._shown = copy.deepcopy(outcome)

    def __reduce__(self) -> tuple[Any, ...]:
        shown = copy.deepcopy(self._shown)
        return _restored, (self._store, self._prefix, self._format, shown, self._writable)


def _restored(
    store: KeyValueStore, prefix: str, fmt: NodeFormat, shown: dict[str, Any], writable: bool
) -> Attributes:
    return Attributes(store, prefix, fmt, shown, writable=writable)
