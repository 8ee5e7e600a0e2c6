"""Reads NIfTI-1 volumes, as far as the examples need it.

Source: the header ``nifti1.h`` of the NIfTI-1 data format (348 bytes, then the voxels at
``vox_offset``, first axis fastest).
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HEADER_BYTES = 348
#: NIfTI-1's ``datatype`` codes of real numbers.
DTYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}


@dataclass(frozen=True)
class Volume:
    """One image.

    Attributes:
        voxels: The values as stored, of shape (x, y, z).
        voxel_size: Edge lengths of a voxel, in the unit of the file (mm for MNI templates).
    """

    voxels: np.ndarray[Any, np.dtype[Any]]
    voxel_size: tuple[float, float, float]


def read_volume(path: Path) -> Volume:
    """Reads a ``.nii`` or ``.nii.gz`` file of one three-dimensional volume.

    Raises:
        ValueError: It is not such a file, it is truncated, or its values are scaled.
    """
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    if len(raw) < HEADER_BYTES:
        raise ValueError(f"{path}: {len(raw)} bytes are too few for a NIfTI-1 header")
    order = _byte_order(raw, path)
    rank, *shape = struct.unpack_from(f"{order}8h", raw, 40)
    if rank != 3 or min(shape[:3]) < 1:
        raise ValueError(f"{path}: expected three dimensions, found dim = {[rank, *shape]}")
    (code,) = struct.unpack_from(f"{order}h", raw, 70)
    if code not in DTYPES:
        raise ValueError(f"{path}: the datatype code {code} is none of {sorted(DTYPES)}")
    _, *voxel_size = struct.unpack_from(f"{order}4f", raw, 76)
    offset, slope, intercept = struct.unpack_from(f"{order}3f", raw, 108)
    # A slope of 0 means that the values are not scaled; so does the identity.
    if (slope, intercept) not in ((0.0, 0.0), (1.0, 0.0)):
        raise ValueError(f"{path}: scaled values ({slope} v + {intercept}) are not supported")
    dtype = np.dtype(order + DTYPES[code])
    count = shape[0] * shape[1] * shape[2]
    start = max(int(offset), HEADER_BYTES)
    if len(raw) - start < count * dtype.itemsize:
        raise ValueError(f"{path}: truncated: {count} voxels of {dtype} do not fit in {len(raw)} B")
    voxels = np.frombuffer(raw, dtype, count, start).reshape(shape[:3], order="F")
    return Volume(voxels, (voxel_size[0], voxel_size[1], voxel_size[2]))


def total_bytes(sources: list[Path]) -> int:
    """Bytes of voxels in all sources, by gzip's own trailer: what follows the 352-byte header."""
    return sum(int.from_bytes(source.read_bytes()[-4:], "little") - 352 for source in sources)


def _byte_order(raw: bytes, path: Path) -> str:
    for order in "<>":
        if struct.unpack_from(f"{order}i", raw)[0] == HEADER_BYTES:
            if raw[344:348] != b"n+1\0":
                raise ValueError(f"{path}: not a single-file NIfTI-1 image: magic {raw[344:348]!r}")
            return order
    raise ValueError(f"{path}: not NIfTI-1: the header does not begin with its length, 348")
