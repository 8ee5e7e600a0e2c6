"""The NIfTI-1 reader of the examples, on made and on damaged files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from examples.nifti import read_volume

DATA = Path(__file__).parents[2] / "examples" / "data"


def nifti(voxels: np.ndarray, code: int, *, order: str = "<", slope: float = 1.0) -> bytes:
    header = bytearray(352)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, voxels.ndim, *voxels.shape, 1, 1, 1, 1)
    struct.pack_into(f"{order}2h", header, 70, code, voxels.itemsize * 8)
    struct.pack_into(f"{order}4f", header, 76, 1, 0.5, 1, 2)
    struct.pack_into(f"{order}3f", header, 108, 352, slope, 0)
    header[344:348] = b"n+1\0"
    return bytes(header) + voxels.astype(voxels.dtype.newbyteorder(order)).tobytes(order="F")


VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_reads_both_byte_orders_plain_and_compressed(tmp_path: Path, order: str, compress) -> None:
    path = tmp_path / "volume.nii"
    path.write_bytes(compress(nifti(VOXELS, 4, order=order)))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.voxel_size == (0.5, 1.0, 2.0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:100], "too few"),
        (lambda raw: raw[:-1], "truncated"),
        (lambda raw: b"\0" * len(raw), "not NIfTI-1"),
        (lambda raw: raw[:344] + b"ni1\0" + raw[348:], "single-file"),
        (lambda raw: raw[:70] + struct.pack("<h", 1536) + raw[72:], "datatype code 1536"),
        (lambda raw: raw[:40] + struct.pack("<h", 4) + raw[42:], "three dimensions"),
        (lambda raw: raw[:112] + struct.pack("<f", 2) + raw[116:], "scaled"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage, message: str) -> None:
    path = tmp_path / "volume.nii"
    path.write_bytes(damage(nifti(VOXELS, 4)))
    with pytest.raises(ValueError, match=message):
        read_volume(path)


@pytest.mark.parametrize("name", ["t1", "gm", "wm"])
def test_the_data_of_the_demo_are_complete(name: str) -> None:
    volume = read_volume(DATA / f"mni152_{name}.nii.gz")
    assert volume.voxels.shape == (197, 233, 189)
    assert volume.voxels.dtype == np.uint8
    assert volume.voxels.max() > 200


def test_the_notice_of_the_data_is_there() -> None:
    assert "McConnell Brain Imaging Centre" in (DATA / "NOTICE.txt").read_text()
