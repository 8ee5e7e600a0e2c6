"""The keyword arguments of `open` and of `Spec.update`, typed."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypedDict

from asynctensor.open_mode import OpenMode
from asynctensor.runtime.context import Context
from asynctensor.schema.schema import SchemaOptions

#: When cached data are read again: always, never, if older than a Unix time, or on opening.
RecheckCacheOption: TypeAlias = bool | Literal["open"] | float


class OpenModeOptions(TypedDict, total=False):
    """Keywords that say how to open."""

    open_mode: OpenMode | None
    open: bool | None
    create: bool | None
    delete_existing: bool | None
    assume_metadata: bool | None
    assume_cached_metadata: bool | None


class OpenOptions(OpenModeOptions, SchemaOptions, total=False):
    """Keywords of `open` beyond those of which it has a parameter."""

    kvstore: Any
    recheck_cached_metadata: RecheckCacheOption | None
    recheck_cached_data: RecheckCacheOption | None
    recheck_cached: RecheckCacheOption | None


class SpecOptions(OpenOptions, total=False):
    """Keywords of `Spec.update`."""

    unbind_context: bool | None
    strip_context: bool | None
    context: Context | None
    minimal_spec: bool | None
