"""`NamedDriver`: an array that a user's function opened, under the name of their driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from asynctensor.chunked.adapter import AdapterDriver
from asynctensor.chunked.array_driver import ArrayDriver, ProgressFunction, ResizeRequest
from asynctensor.chunked.explanation import Explanation
from asynctensor.chunked.view import View
from asynctensor.errors import FailedPrecondition
from asynctensor.index_space.propagate_bounds import resolve_over
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.guest import Guest
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Json, KeyValueStore


class NamedDriver(AdapterDriver):
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
        super().__init__(below.driver)
        self.driver = driver
        self._view, self._spec = below, spec
        self._where, self._base, self._guest = where, base, guest
        self.access = "".join(each for each in "rw" if each in below.mode)
        whole = IndexTransform(below.driver.transform().domain)
        self._is_whole = below.transform == whole

    def over(self, below: ArrayDriver) -> ArrayDriver:
        view = View(below, self._view.transform, self._view.mode)
        return NamedDriver(self.driver, view, self._spec, self._where, self._base, self._guest)

    def transform(self) -> IndexTransform:
        if self._is_whole:
            return self.below.transform()
        shown = resolve_over(self._view.transform, self.below.transform())
        return IndexTransform(shown.domain)

    def inner(self, transform: IndexTransform) -> IndexTransform:
        return transform if self._is_whole else self._view.transform[transform]

    async def resize(self, request: ResizeRequest, progress: ProgressFunction | None) -> None:
        if not self._is_whole:
            raise FailedPrecondition(f'arrays of driver "{self.driver}" cannot be resized')
        await self._call(self.below.resize, request, progress)

    async def refresh(self) -> None:
        await self._call(self.below.refresh)

    async def stored_chunks(self, transform: IndexTransform, enough: bool) -> tuple[int, int]:
        counts: tuple[int, int] = await self._call(
            self.below.stored_chunks, self.inner(transform), enough
        )
        return counts

    async def explain(self, transform: IndexTransform) -> Explanation:
        found: Explanation = await self._call(self.below.explain, self.inner(transform))
        return replace(found, driver=self.driver)

    def version(self) -> bytes | None:
        return self.below.version() if self._guest is None else None

    async def _call(self, function: Any, *args: Any) -> Any:
        if self._guest is None:
            return await function(*args)
        return await self._guest.call(function, *args)

    def schema(self) -> Schema:
        return self._view.schema()

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
