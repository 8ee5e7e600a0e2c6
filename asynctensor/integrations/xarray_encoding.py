"""How a stored array is encoded, as xarray keeps it, so that a copy is encoded alike."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from zarr import AsyncArray
from zarr.storage import MemoryStore, StorePath

from asynctensor.groups.member import Member
from asynctensor.tensorstore import TensorStore


def encoding_of(
    store: TensorStore, member: Member, dims: tuple[str, ...], zarr_format: int | None
) -> dict[str, Any]:
    """The ``encoding`` of a variable, with the members that xarray's own zarr engine gives.

    Codecs that zarr-python does not know are left out: what is written again gets its defaults.

    Args:
        store: The array.
        member: What its documents say.
        dims: Names of its dimensions.
        zarr_format: 2, 3, or None for another format.
    """
    encoding: dict[str, Any] = {}
    if member.chunk_shape is not None:
        encoding["chunks"] = tuple(member.chunk_shape)
        encoding["preferred_chunks"] = dict(zip(dims, member.chunk_shape, strict=True))
        encoding["shards"] = member.shard_shape
    if zarr_format is not None:
        encoding |= _codecs(member.document, zarr_format)
    if zarr_format == 3:
        encoding["fill_value"] = store.fill_value
    return encoding


def _codecs(document: Mapping[str, Any], zarr_format: int) -> dict[str, Any]:
    described = copy.deepcopy(dict(document)) | {"attributes": {}}
    try:
        array: AsyncArray[Any] = AsyncArray(described, StorePath(MemoryStore(), ""))  # type: ignore[call-overload]
        found = {"compressors": array.compressors, "filters": array.filters}
        return found | ({"serializer": array.serializer} if zarr_format == 3 else {})
    except (KeyError, TypeError, ValueError):
        return {}
