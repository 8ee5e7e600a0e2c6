"""`NamedDriver`: an array that a user's function opened, under the name of their driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from asynctensor.chunked.array_driver import (
    ArrayDriver,
    ProgressFunction,
    ResizeRequest,
)
from asynctensor.chunked.codec import Array
from asynctensor.chunked.view import View
from asynctensor.errors import FailedPrecondition
from asynctensor.index_space.propagate_bounds import resolve_over
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.future import Future
from asynctensor.runtime.guest import Guest
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Json, KeyValueStore
from asynctensor.transaction.transaction import Transaction


class NamedDriver(ArrayDriver):
    """The array that a view shows, in the indices of the view.

    Args:
        driver: Name in specs.
        below: What the user's function gave.
        spec: The members of the spec that opened it.
        where: Where it is stored, if it uses a kvstore.
        base: The array it stands on, if it is an adapter.
        guest: Where the user's code runs, if the driver below is theirs; None if it is ours.
    """

    def __init__(
        self,
        driver: str,
        below: View,
        spec: Mapping[str, Any],
        where: tuple[KeyValueStore, str] | None,
        base: View | None,
        guest: Guest | None,
    ) -> None:
        self.driver = driver
        self._below, self._spec = below, spec
        self._where, self._base, self._guest = where, base, guest
        self.data_type = below.driver.data_type
        self.transaction = below.driver.transaction
        self.access = "".join(each for each in "rw" if each in below.mode)
        whole = IndexTransform(below.driver.transform().domain)
        self._is_whole = below.transform == whole

    def transform(self) -> IndexTransform:
        if self._is_whole:
            return self._below.driver.transform()
        shown = resolve_over(self._below.transform, self._below.driver.transform())
        return IndexTransform(shown.domain)

    def _through(self, transform: IndexTransform) -> IndexTransform:
        return transform if self._is_whole else self._below.transform[transform]

    def read(
        self,
        transform: IndexTransform,
        order: Literal["C", "F"],
        limit: Deadline,
        progress: ProgressFunction | None,
        batch: Batch | None,
    ) -> Future[Array]:
        return self._below.driver.read(self._through(transform), order, limit, progress, batch)

    def write(
        self,
        transform: IndexTransform,
        source: Array,
        limit: Deadline,
        progress: ProgressFunction | None,
    ) -> WriteFutures:
        return self._below.driver.write(self._through(transform), source, limit, progress)

    async def resize(self, request: ResizeRequest, progress: ProgressFunction | None) -> None:
        if not self._is_whole:
            raise FailedPrecondition(f'arrays of driver "{self.driver}" cannot be resized')
        await self._call(self._below.driver.resize, request, progress)

    async def refresh(self) -> None:
        await self._call(self._below.driver.refresh)

    async def stored_chunks(self, transform: IndexTransform, enough: bool) -> tuple[int, int]:
        counts: tuple[int, int] = await self._call(
            self._below.driver.stored_chunks, self._through(transform), enough
        )
        return counts

    async def _call(self, function: Any, *args: Any) -> Any:
        if self._guest is None:
            return await function(*args)
        return await self._guest.call(function, *args)

    def schema(self) -> Schema:
        return self._below.schema()

    def spec_json(self) -> dict[str, Json]:
        spec: dict[str, Any] = {"driver": self.driver, **self._spec}
        if self._where is not None:
            store, path = self._where
            spec["kvstore"] = store.spec_json(path)
        if self._base is not None:
            spec["base"] = self._base.spec_json()
        return spec

    def kvstore(self) -> tuple[KeyValueStore, str] | None:
        return self._where

    def base(self, transform: IndexTransform) -> View | None:
        # What of it a view shows, the user's code alone knows.
        return self._base

    def bound(self, transaction: Transaction | None) -> ArrayDriver:
        if transaction is self.transaction:
            return self
        below = View(self._below.driver.bound(transaction), self._below.transform, self._below.mode)
        return NamedDriver(self.driver, below, self._spec, self._where, self._base, self._guest)

    def statistics(self) -> Any:
        return self._below.driver.statistics()
