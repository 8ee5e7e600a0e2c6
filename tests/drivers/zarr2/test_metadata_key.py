"""Where the document of an array stands, and how its keys are spelled, if a spec says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore

import asynctensor as ts
from asynctensor.errors import AlreadyExists, InvalidArgument, NotFound

OPTIONS: list[dict[str, Any]] = [
    {"metadata_key": "other.json"},
    {"metadata_key": "deep/er/.zarray", "key_encoding": "/"},
    {"key_encoding": "/"},
    {"key_encoding": "."},
    {"metadata_key": ".zarray"},
]


def spec(folder: Path, **options: Any) -> dict[str, Any]:
    return {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{folder}/"}, **options}


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("options", OPTIONS)
def test_each_reads_what_the_other_wrote(options: dict[str, Any], tmp_path: Path) -> None:
    data = np.arange(12, dtype=np.int16).reshape(3, 4)
    layout = {"chunk_layout": {"chunk": {"shape": [2, 2]}}}
    written = []
    for library, reader in ((ts, tensorstore), (tensorstore, ts)):
        folder = tmp_path / library.__name__
        json = spec(folder, schema=layout, **options)
        array: Any = library.open(json, create=True, dtype="int16", shape=[3, 4]).result()
        array.write(data).result()
        written.append((files(folder), array.spec().to_json().get("metadata_key")))
        again = reader.open(spec(folder, **options)).result()
        np.testing.assert_array_equal(again.read().result(), data)
        np.testing.assert_array_equal(
            library.open(array.spec()).result().resolve().result().read().result(), data
        )
    assert written[0] == written[1]


@pytest.mark.parametrize(
    "options",
    [
        *OPTIONS,
        {"key_encoding": "/", "metadata": {"dimension_separator": "/"}},
        {"key_encoding": "/", "metadata_key": ""},
    ],
)
def test_json_of_specs(options: dict[str, Any]) -> None:
    json = {"driver": "zarr", **options}
    assert ts.Spec(json).to_json() == tensorstore.Spec(json).to_json()


def test_arrays_of_other_documents_are_others(tmp_path: Path) -> None:
    context = ts.Context()
    first = ts.open(
        spec(tmp_path, metadata_key="a"), create=True, dtype="int8", shape=[4], context=context
    ).result()
    with pytest.raises(NotFound, match="no zarr array"):
        ts.open(spec(tmp_path), context=context).result()
    second = ts.open(
        spec(tmp_path, metadata_key="b"), create=True, dtype="int8", shape=[4], context=context
    ).result()
    second.resize(exclusive_max=[9]).result()
    assert first.resolve().result().shape == (4,)
    with pytest.raises(AlreadyExists):
        ts.open(
            spec(tmp_path, metadata_key="a"), create=True, dtype="int8", shape=[4], context=context
        ).result()
    with ts.Transaction(atomic=False) as transaction:
        first.with_transaction(transaction).resize(exclusive_max=[6]).result()
        assert second.with_transaction(transaction).resolve().result().shape == (9,)
    assert first.resolve().result().shape == (6,)


def test_two_spellings_of_keys_are_refused() -> None:
    json = {"driver": "zarr", "key_encoding": "/", "metadata": {"dimension_separator": "."}}
    for library in (ts, tensorstore):
        with pytest.raises(ValueError, match=r'"key_encoding": value \("/"\) does not match value'):
            library.Spec(json)
    with pytest.raises(InvalidArgument, match=r'expected "." or "/", got "x"'):
        ts.Spec({"driver": "zarr", "key_encoding": "x"})
