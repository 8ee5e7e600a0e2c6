"""`KvStoreHandle`: what is known of a key-value store and a path in it, without any I/O."""

from __future__ import annotations

from typing import Any, Self

from asynctensor.display.page import Display, Displayed
from asynctensor.errors import Error
from asynctensor.kvstore_spec import KvStoreSpec, joined
from asynctensor.kvstore_values import KeyLike, to_key
from asynctensor.public_kvstore_spec import PublicKvStoreSpec
from asynctensor.scheduler.scheduled_store import ScheduledStore
from asynctensor.scheduler.statistics import QueueStatistics
from asynctensor.schema.keywords import optional_type
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.transaction.transaction import Transaction


class KvStoreHandle(Displayed):
    """A store, a path prefix in it and a transaction; for what each is, see `KvStore`."""

    __slots__ = ("_context", "_opened", "_path", "_store", "_transaction")

    def __init__(
        self,
        store: KeyValueStore,
        path: str = "",
        *,
        transaction: Transaction | None = None,
        context: Any = None,
        opened: KvStoreSpec | None = None,
    ) -> None:
        self._store = store
        self._opened = opened
        self._path = path
        self._transaction = transaction
        self._context = context

    # -- what it is ----------------------------------------------------------------------------

    @property
    def store(self) -> KeyValueStore:
        """The store itself, without path and transaction."""
        return self._store

    @property
    def key_prefix(self) -> str:
        """The prefix of every key in `store`; `path` is the same as a spec says it."""
        return self._path

    @property
    def path(self) -> str:
        """Path prefix within the store."""
        return str(self._store.spec_json(self._path).get("path", ""))

    @path.setter
    def path(self, value: KeyLike) -> None:
        self._store, self._path = self._store.at(to_key(value))

    @property
    def url(self) -> str:
        """The URL of the store and its path.

        Raises:
            Unimplemented: There is none.
        """
        return self._store.url(self._path)

    @property
    def base(self) -> Self | None:
        """What an adapter is put on; None for a store that is no adapter."""
        below = self._store.below
        if below is None:
            return None
        return type(self)(*below, transaction=self._transaction, context=self._context)

    def statistics(self) -> QueueStatistics:
        """What its reads came to so far, where there is a network below; else all is zero.

        Counted are the reads of all in this process who read the same store with the same
        credentials, limits and retries. Of an adapter, ask its `base`.
        """
        store = self._store
        return store.statistics() if isinstance(store, ScheduledStore) else QueueStatistics()

    @property
    def context(self) -> Any:
        """The `Context` it was opened with; None if it is not known."""
        return self._context

    @property
    def transaction(self) -> Transaction | None:
        """What reads and writes belong to; None if they happen at once."""
        return self._transaction

    @transaction.setter
    def transaction(self, value: Transaction | None) -> None:
        self._transaction = optional_type(value, Transaction, "transaction")

    def with_transaction(self, transaction: Transaction | None) -> Self:
        """The same store, with reads and writes that belong to `transaction`.

        Raises:
            IncompatibleType: It is no transaction.
        """
        return self._with(self._path, optional_type(transaction, Transaction, "transaction"))

    def _with(self, path: str, transaction: Transaction | None) -> Self:
        return type(self)(
            self._store,
            path,
            transaction=transaction,
            context=self._context,
            opened=self._opened,
        )

    def spec(
        self, *, retain_context: bool | None = None, unbind_context: bool | None = None
    ) -> PublicKvStoreSpec:
        """The spec that opens it again.

        Args:
            retain_context: Keep it bound to the same context resources, which who opens it shares;
                by default it says nothing of them.
            unbind_context: Name the resources, and define the names in the member ``context``.
        """
        value = KvStoreSpec(self._store.spec_json(self._path))
        if (retain_context or unbind_context) and self._opened is not None:
            value = value.bound_as(self._opened)
        return PublicKvStoreSpec(value.unbound() if unbind_context else value)

    @property
    def bound_spec(self) -> KvStoreSpec:
        """What stands for it where the JSON of a kvstore may stand, in a spec say."""
        return self.spec(retain_context=True).value

    def copy(self) -> Self:
        """A copy, whose path and transaction can be set by themselves."""
        return self.with_transaction(self._transaction)

    def __copy__(self) -> Self:
        return self.copy()

    def __add__(self, suffix: KeyLike) -> Self:
        """The store with `suffix` put after the path as it is."""
        return self._below(self._path + to_key(suffix))

    def __truediv__(self, component: KeyLike) -> Self:
        """The store with `component` after the path, and a ``/`` between them."""
        return self._below(joined(self._path, to_key(component)))

    def _below(self, path: str) -> Self:
        return self._with(path, self._transaction)

    @property
    def place(self) -> str:
        """The URL, or where there is none the driver and the path."""
        try:
            return self.url
        except Error:
            return f"{self._store.driver}:{self._path}"

    def _display(self) -> Display:
        can = self._store.capabilities
        said = {
            "listed": can.listable,
            "written": can.writable,
            "compared and swapped": can.can_compare_and_swap,
            "committed together": self._store.commit_domain is not None,
        }
        rows = [("path", self._path), ("can be", ", ".join(k for k, v in said.items() if v))]
        if self._transaction is not None:
            rows.append(("transaction", "open" if self._transaction.open else "ended"))
        return Display("KvStore", self.place, tuple(row for row in rows if row[1]))
