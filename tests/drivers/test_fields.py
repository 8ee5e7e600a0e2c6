"""Fields of records, and elements as bytes; tensorstore is the oracle where it has them."""

from __future__ import annotations

import asyncio
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore

import asynctensor as ts
from asynctensor.errors import Error, FailedPrecondition, InvalidArgument, Unimplemented

SHAPE, CHUNK = (5, 6), (2, 4)
STORED = np.dtype([("x", "<i4"), ("y", ">f8"), ("s", "S3"), ("t", "<M8[s]"), ("p", [("a", "?")])])
NATIVE = STORED.newbyteorder("=")
V2: dict[str, Any] = {
    "shape": [*SHAPE], "chunks": [*CHUNK],
    "dtype": [["x", "<i4"], ["y", ">f8"], ["s", "|S3"], ["t", "<M8[s]"], ["p", [["a", "|b1"]]]],
    "compressor": {"id": "zlib", "level": 1},
    "fill_value": None,
}  # fmt: skip
V3: dict[str, Any] = {
    "shape": [*SHAPE],
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [*CHUNK]}},
    "data_type": {"name": "struct", "configuration": {"fields": [
        {"name": "x", "data_type": "int32"}, {"name": "y", "data_type": "float64"},
        {"name": "b", "data_type": "bool"},
    ]}},
    "fill_value": {"x": 1, "y": 2.5, "b": True},
    "codecs": [{"name": "transpose", "configuration": {"order": [1, 0]}},
               {"name": "bytes", "configuration": {"endian": "big"}}],
}  # fmt: skip
PLAIN = {**V2, "dtype": V2["dtype"][:3]}


STORED_PLAIN = {
    "zarr": np.dtype([("x", "<i4"), ("y", ">f8"), ("s", "S3")]),
    "zarr3": np.dtype([("x", ">i4"), ("y", ">f8"), ("b", "?")]),
}


def opened(driver: str, path: Path, metadata: Any = None, **more: Any) -> ts.TensorStore:
    spec = {"driver": driver, "kvstore": f"file://{path}/", **more}
    if metadata is not None:
        return ts.open({**spec, "metadata": metadata}, create=True, open=True).result()
    return ts.open(spec).result()


def sample(kind: np.dtype[Any]) -> np.ndarray:
    data = np.zeros(SHAPE, kind)
    numbers = np.arange(30).reshape(SHAPE)
    for name in kind.names or ():
        data[name] = numbers if kind[name].kind != "V" else (numbers % 2).astype(kind[name])
    return data


@pytest.mark.parametrize(("driver", "metadata"), [("zarr", V2), ("zarr3", V3)])
def test_fields_are_read_and_written_by_themselves(
    tmp_path: Path, driver: str, metadata: Any
) -> None:
    whole = opened(driver, tmp_path, metadata)
    data = sample(whole.dtype.numpy_dtype)
    whole.write(data).result()
    for name in data.dtype.names or ():
        field = opened(driver, tmp_path, field=name)
        found = field.read().result()
        if data[name].dtype.kind == "S":
            assert field.dtype == ts.char
            assert field.domain.shape == (*SHAPE, 3)
            assert found.tobytes() == np.ascontiguousarray(data[name]).tobytes()
            field[2, 3, 1] = b"q"
            data[name][2, 3] = data[name][2, 3][:1] + b"q"
            assert field[::2, 1, 0:2].read().result().tobytes() == b"".join(
                bytes(each)[:2].ljust(2, b"\0") for each in data[name][::2, 1]
            )
            continue
        assert found.dtype == data[name].dtype
        assert (found == data[name]).all()
        assert found.flags.c_contiguous
        assert field.read(order="F").result().flags.f_contiguous
        assert (field[1:4, ::2].read().result() == data[name][1:4, ::2]).all()
        assert (field.vindex[[0, 4], [5, 0]].read().result() == data[name][[0, 4], [5, 0]]).all()
        assert (field.T.read().result() == data[name].T).all()
        field[1:3, 2:6].write(data[name][0:2, 0:4]).result()
        data[name][1:3, 2:6] = data[name][0:2, 0:4].copy()
        field[4] = data[name][0, 0]
        data[name][4] = data[name][0, 0]
    assert whole.read().result().tobytes() == data.tobytes()


@pytest.mark.parametrize(("driver", "metadata"), [("zarr", PLAIN), ("zarr3", V3)])
def test_as_tensorstore(tmp_path: Path, driver: str, metadata: Any) -> None:
    whole = opened(driver, tmp_path, metadata)
    data = sample(whole.dtype.numpy_dtype)
    whole[:3].write(data[:3]).result()
    kinds: list[dict[str, Any]] = [{"field": name} for name in data.dtype.names or ()]
    for part in [*kinds, {"open_as_void": True}]:
        spec = {"driver": driver, "kvstore": f"file://{tmp_path}/", **part}
        theirs = tensorstore.open(spec).result()
        ours = opened(driver, tmp_path, **part)
        assert ours.dtype.name == theirs.dtype.name
        assert ours.domain.to_json() == theirs.domain.to_json()
        if ours.dtype in (ts.byte, ts.char):
            # Tensorstore gives them to NumPy without a size.
            is_void = ours.dtype == ts.byte
            found = ours.read().result().view(STORED_PLAIN[driver] if is_void else "S3")[..., 0]
            records = whole.read().result()
            assert found.tolist() == (records if is_void else records["s"]).tolist()
            continue
        assert ours.read().result().tobytes() == theirs.read().result().tobytes()
        assert ours.chunk_layout.write_chunk.shape == theirs.chunk_layout.write_chunk.shape
        fill, expected = ours.fill_value, theirs.fill_value
        assert (fill is None) == (expected is None)
        if fill is not None and expected is not None:
            assert np.asarray(fill).tobytes() == np.asarray(expected).tobytes()
        value = theirs[1].read().result()
        ours[4].write(value.view(ours.dtype.numpy_dtype)).result()
        assert theirs[4].read().result().tobytes() == value.tobytes()


@pytest.mark.parametrize(("driver", "metadata"), [("zarr", V2), ("zarr3", V3)])
def test_a_field_is_a_store_like_any_other(tmp_path: Path, driver: str, metadata: Any) -> None:
    whole = opened(driver, tmp_path, metadata)
    field = opened(driver, tmp_path, field="y")
    again = ts.open(field.spec()).result()
    assert again.dtype == ts.float64
    assert field.spec().to_json()["field"] == "y"
    assert pickle.loads(pickle.dumps(field)).dtype == ts.float64
    field.resize(exclusive_max=[7, 6]).result()
    assert whole.resolve().result().shape == (7, 6)
    with ts.Transaction(atomic=False) as transaction:
        staged = field.with_transaction(transaction)
        staged[0, 0] = 7.5
        assert staged[0, 0].read().result() == 7.5
        assert field[0, 0].read().result() != 7.5
    assert field[0, 0].read().result() == 7.5
    assert whole[0, 0].read().result()["y"] == 7.5
    statistics = field.storage_statistics(query_not_stored=True).result()
    assert statistics.not_stored is False


def test_a_field_that_says_what_it_is(tmp_path: Path) -> None:
    store = opened("zarr", tmp_path, V2, field="y", dtype="float64")
    assert store.dtype == ts.float64
    opened("zarr", tmp_path, field="y", schema={"dtype": "float64", "rank": 2})
    with pytest.raises(Error, match="dtype"):
        opened("zarr", tmp_path, field="y", dtype="int32")
    with pytest.raises(FailedPrecondition, match=r'"q".*\[\'x\''):
        opened("zarr", tmp_path, field="q")
    with pytest.raises(InvalidArgument, match="field"):
        opened("zarr", tmp_path, field=3)
    with pytest.raises(InvalidArgument, match="both"):
        opened("zarr", tmp_path, field="x", open_as_void=True)
    with pytest.raises(Error, match="field"):
        opened("zarr", tmp_path / "n", {"shape": [2], "dtype": "<i4"}, field="x")


def test_records_of_one_field_are_that_field(tmp_path: Path) -> None:
    metadata = {**V2, "dtype": [["x", "<i4"]]}
    store = opened("zarr", tmp_path, metadata)
    assert store.dtype == ts.int32
    store.write(np.arange(30, dtype=np.int32).reshape(SHAPE)).result()
    spec = {"driver": "zarr", "kvstore": f"file://{tmp_path}/"}
    assert (tensorstore.open(spec).result().read().result() == store.read().result()).all()
    records = opened("zarr", tmp_path, dtype=store_name(np.dtype([("x", "<i4")])))
    assert records[0, 2].read().result().item() == (2,)


def store_name(kind: np.dtype[Any]) -> str:
    return ts.dtype(kind).name


def test_concurrent_writes_of_different_fields_are_all_kept(tmp_path: Path) -> None:
    whole = opened("zarr3", tmp_path, V3)
    fields = [opened("zarr3", tmp_path, field=name) for name in ("x", "y", "b")]

    async def write() -> None:
        await asyncio.gather(*[
            field[i, j].write(1) if field.dtype != ts.bool else field[i, j].write(False)
            for field in fields for i in range(5) for j in range(6)
        ])  # fmt: skip

    asyncio.run(write())
    assert set(whole.read().result().reshape(-1).tolist()) == {(1, 1.0, False)}


def test_what_has_no_bytes(tmp_path: Path) -> None:
    cases = [
        ("zarr", {**V2, "dtype": "|O", "filters": [{"id": "vlen-utf8"}]}),
        ("zarr", {**V2, "dtype": "<f8", "compressor": {"id": "pcodec"}}),
        ("zarr3", {**V3, "data_type": "string", "fill_value": "", "codecs": ["vlen-utf8"]}),
        ("zarr3", {**V3, "data_type": "int8", "fill_value": 0, "codecs": ["packbits"]}),
    ]
    for k, (driver, metadata) in enumerate(cases):
        opened(driver, tmp_path / str(k), metadata)
        with pytest.raises(Unimplemented):
            opened(driver, tmp_path / str(k), open_as_void=True)


def test_the_document_does_not_change(tmp_path: Path) -> None:
    opened("zarr3", tmp_path, V3)
    before = json.loads((tmp_path / "zarr.json").read_text())
    for part in ({"field": "y"}, {"open_as_void": True}):
        store = opened("zarr3", tmp_path, **part)
        store.resize(exclusive_max=[9, 6] + [None] * (store.rank - 2)).result()
        after = json.loads((tmp_path / "zarr.json").read_text())
        assert after == {**before, "shape": [9, 6]}
        store.resize(exclusive_max=[5, 6] + [None] * (store.rank - 2)).result()
