"""The zarr v3 layouts that are measured, and the data in them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DTYPE = np.dtype("uint16")
Volume = np.ndarray[Any, np.dtype[np.uint16]]
BLOSC = {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 2, "blocksize": 0}
ZSTD = {"level": 3, "checksum": False}
COMPRESSORS: dict[str, dict[str, Any] | None] = {"raw": None, "blosc": BLOSC, "zstd": ZSTD}


@dataclass(frozen=True)
class Layout:
    """How an array is cut and compressed.

    Attributes:
        chunk: Edge of what is compressed as one.
        shard: Edge of what is one file; None: as the chunk.
        compressor: A key of `COMPRESSORS`.
    """

    chunk: int
    compressor: str
    shard: int | None = None

    @property
    def name(self) -> str:
        """Short and unique: ``32in128-blosc``."""
        cut = f"{self.chunk}in{self.shard}" if self.shard else f"{self.chunk}"
        return f"{cut}-{self.compressor}"

    @property
    def title(self) -> str:
        """For readers."""
        cut = f"{self.chunk}³ in {self.shard}³ shards" if self.shard else f"{self.chunk}³ chunks"
        return f"{cut}, {self.compressor}"

    def metadata(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """The ``zarr.json`` of an array with this layout."""
        codecs: list[dict[str, Any]] = [{"name": "bytes", "configuration": {"endian": "little"}}]
        configuration = COMPRESSORS[self.compressor]
        if configuration is not None:
            codecs.append({"name": self.compressor, "configuration": configuration})
        if self.shard:
            index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
            sharding = {"chunk_shape": [self.chunk] * 3, "codecs": codecs, "index_codecs": index}
            codecs = [{"name": "sharding_indexed", "configuration": sharding}]
        grid = {"chunk_shape": [self.shard or self.chunk] * 3}
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(shape),
            "data_type": DTYPE.name,
            "chunk_grid": {"name": "regular", "configuration": grid},
            "chunk_key_encoding": {"name": "default"},
            "fill_value": 0,
            "codecs": codecs,
        }


LAYOUTS = (
    Layout(64, "blosc"),
    Layout(128, "blosc"),
    Layout(64, "raw"),
    Layout(128, "raw"),
    Layout(64, "zstd"),
    Layout(128, "zstd"),
    Layout(32, "blosc"),
    Layout(32, "blosc", shard=128),
)


def make_volume(edge: int) -> Volume:
    """A smooth field plus noise, as a microscope gives: blosc-lz4 halves it roughly.

    Eight random waves in the range of 12 bits, and normal noise of standard deviation 8.
    """
    chance = np.random.default_rng(152)
    position = np.arange(edge, dtype=np.float32) / edge
    volume = np.full((edge, edge, edge), 2048, np.float32)
    for _ in range(8):
        waves = [
            np.sin(2 * math.pi * chance.uniform(0.5, 4) * position + chance.uniform(0, 6.3))
            for _ in range(3)
        ]
        x, y, z = (wave.astype(np.float32) for wave in waves)
        volume += np.float32(160) * x[:, None, None] * y[:, None] * z
    for plane in volume:
        plane += chance.normal(0, 8, plane.shape).astype(np.float32)
    return np.clip(volume, 0, 4095).astype(DTYPE)


def load_volume(folder: Path, edge: int) -> Volume:
    """The volume, made once and kept in this folder; mapped, so that it costs no memory."""
    path = folder / f"volume-{edge}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, make_volume(edge))
    mapped: Volume = np.load(path, mmap_mode="r")
    return mapped
