"""`View`: a lazily indexed array, as adapters stand on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asynctensor.chunked.array_driver import ArrayDriver
from asynctensor.index_space.propagate_bounds import resolve_over
from asynctensor.index_space.transform import IndexTransform
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_transform import transformed


@dataclass(frozen=True, slots=True)
class View:
    """A driver and a transform; what `TensorStore` is to users, to whom adapters give one back.

    Attributes:
        driver: Serves the array.
        transform: From the indices of the view to those of the array.
        mode: ``"r"``, ``"w"`` or ``"rw"``: what it was opened for.
    """

    driver: ArrayDriver
    transform: IndexTransform
    mode: str = "rw"

    def schema(self) -> Schema:
        """All that is known of the array, in the indices of the view."""
        return Schema.from_state(transformed(self.driver.schema().state, self.transform))

    def resolved(self) -> View:
        """The same with implicit bounds as the driver knows them now."""
        transform = resolve_over(self.transform, self.driver.transform())
        return View(self.driver, transform, self.mode)

    def spec_json(self) -> dict[str, Any]:
        """The spec that opens the view again."""
        json, transform = self.driver.view_json(self.transform)
        return {**json, "transform": transform.to_json()}
