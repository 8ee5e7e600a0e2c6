"""Codecs in the metadata of a spec come back as TensorStore writes them."""

from __future__ import annotations

from typing import Any

import pytest
import tensorstore

import asynctensor as ts

SHARDS = {"chunk_shape": [2, 2], "codecs": ["gzip"], "index_codecs": ["bytes", "crc32c"]}


def metadata(library: Any, driver: str, json: dict[str, Any]) -> Any:
    spec = library.Spec({"driver": driver, "kvstore": "memory://", "metadata": json}).to_json()
    # TensorStore adds it always.
    return {"node_type": "array", **spec["metadata"]}


@pytest.mark.parametrize(
    "compressor",
    [
        *({"id": name} for name in ("blosc", "zlib", "gzip", "bz2", "zstd")),
        {"id": "blosc", "shuffle": 2}, {"id": "zlib", "level": 3}, None,
    ],
)  # fmt: skip
def test_compressors_are_completed(compressor: Any) -> None:
    json = {"compressor": compressor}
    assert metadata(ts, "zarr", json) == metadata(tensorstore, "zarr", json)


@pytest.mark.parametrize(
    "codecs",
    [
        ["gzip"], ["bytes", "crc32c"], [{"name": "zstd"}], [{"name": "gzip", "configuration": {}}],
        [{"name": "transpose", "configuration": {"order": "C"}}, "bytes"],
        [{"name": "sharding_indexed", "configuration": SHARDS}], ["sharding_indexed"],
        [{"name": "sharding_indexed", "configuration": {"codecs": [
            {"name": "sharding_indexed", "configuration": SHARDS}
        ]}}],
    ],
)  # fmt: skip
def test_codecs_are_objects(codecs: Any) -> None:
    json = {"codecs": codecs}
    assert metadata(ts, "zarr3", json) == metadata(tensorstore, "zarr3", json)


@pytest.mark.parametrize(
    "codecs",
    [
        "gzip", 5, [5], [None], [{"configuration": {}}], {"a": 1}, ["transpose"],
        [{"name": "transpose", "configuration": {}}],
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(codecs: Any) -> None:
    for library in (ts, tensorstore):
        with pytest.raises(ValueError, match="codecs"):
            metadata(library, "zarr3", {"codecs": codecs})
