"""`TaskPart`: what one task writes to several arrays of a shared transaction."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from asynctensor.opening import open as open_array
from asynctensor.runtime.context import Context
from asynctensor.storage.shared_transaction import Receipt, SharedTransaction
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction


class TaskPart:
    """A part of a transaction, written by a task; nobody sees it before the commit.

    Used by ``with``: what is left by an exception, or without `finish`, is forgotten.
    """

    def __init__(
        self,
        token: SharedTransaction,
        specs: Mapping[str, Mapping[str, Any]],
        context: Context | None = None,
    ) -> None:
        """Joins the transaction when something is first written.

        Args:
            token: Of the transaction.
            specs: Of the arrays, as JSON, by their names.
            context: Resources to use.
        """
        self._token, self._specs = token, specs
        self._context = Context() if context is None else context
        self._part: Transaction | None = None
        self._arrays: dict[str, TensorStore] = {}

    def array(self, name: str) -> TensorStore:
        """An array, to be written.

        Raises:
            Aborted: The transaction was aborted.
            FailedPrecondition: It was committed.
            Error: The store failed.
        """
        if self._part is None:
            self._part = Transaction.join(self._token, context=self._context).result()
        if name not in self._arrays:
            opening = open_array(
                dict(self._specs[name]), context=self._context, transaction=self._part, open=True
            )
            self._arrays[name] = opening.result()
        return self._arrays[name]

    def finish(self, task: str, attempt: int = 0) -> Receipt | None:
        """Stores what was written.

        Args:
            task: The name of the task: of several parts of one name, one counts.
            attempt: At which try of it.

        Returns:
            The receipt, for whoever commits; None if nothing was written.

        Raises:
            Error: See `Transaction.finish`.
        """
        if self._part is None:
            return None
        return self._part.finish(worker=task, attempt=attempt).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._part is not None and self._part.open:
            self._part.abort()
