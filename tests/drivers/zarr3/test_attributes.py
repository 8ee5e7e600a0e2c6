"""Attributes in ``zarr.json``: units among them, and very many of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tensorstore

import asynctensor as ts
from asynctensor.drivers.zarr3.format import Zarr3Format


def store(folder: Path, attributes: str) -> dict[str, Any]:
    """Stores an array with attributes, written as they are; gives its spec."""
    kvstore = {"driver": "file", "path": f"{folder}/"}
    spec = {"driver": "zarr3", "kvstore": kvstore}
    ts.open(spec, create=True, dtype="uint8", shape=[4, 4]).result()
    path = folder / "zarr.json"
    document = json.loads(path.read_text())
    document["attributes"] = "HERE"
    path.write_text(json.dumps(document).replace('"HERE"', attributes))
    return spec


@pytest.mark.parametrize(
    "attributes",
    [
        '{"dimension_units": ["4nm", null]}',
        '{"a": 1, "dimension_\\u0075nits": ["4nm", "2 s"]}',
        '{"a": {"dimension_units": ["4nm", "4nm"]}}',
        '{"a": "dimension_units"}',
        "{}",
    ],
)
def test_units_as_tensorstore_has_them(tmp_path: Path, attributes: str) -> None:
    spec = store(tmp_path, attributes)
    ours = ts.open(spec).result().dimension_units
    theirs = tensorstore.open(spec).result().dimension_units
    assert [unit and unit.to_json() for unit in ours] == [
        unit and unit.to_json() for unit in theirs
    ]


def test_many_attributes_are_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = {f"name{number}": {"value": number} for number in range(1000)}
    spec = store(tmp_path, json.dumps(many))
    seen: list[str] = []
    loads, dumps = json.loads, json.dumps

    def parsed(text: str | bytes, **options: Any) -> Any:
        if len(text) > 10_000:
            seen.append("parsed")
        return loads(text, **options)

    def written(value: Any, **options: Any) -> str:
        text = dumps(value, **options)
        if len(text) > 10_000:
            seen.append("written")
        return text

    monkeypatch.setattr(json, "loads", parsed)
    monkeypatch.setattr(json, "dumps", written)
    ts.open(spec).result()
    assert sorted(seen) == ["parsed", "written"]


def test_arrays_of_one_kind_differ_in_shape_alone() -> None:
    fmt = Zarr3Format()

    def kind(**members: Any) -> object:
        shape = members.pop("shape", [4, 4])
        wanted = {"shape": shape, "data_type": "uint8", **members}
        return fmt.kind(fmt.create(wanted, ts.Schema()))

    chunks = {"name": "regular", "configuration": {"chunk_shape": [2, 2]}}
    assert kind(chunk_grid=chunks) == kind(shape=[8, 5], chunk_grid=chunks)
    assert hash(kind(chunk_grid=chunks)) == hash(kind(shape=[8, 5], chunk_grid=chunks))
    assert kind(chunk_grid=chunks) != kind()
    assert kind(attributes={"a": 1}) != kind(attributes={"a": 2})


async def test_an_array_of_another_kind_in_its_place_is_an_error(tmp_path: Path) -> None:
    spec = store(tmp_path, "{}")
    opened = await ts.open(spec, recheck_cached_metadata=True)
    grown = json.loads((tmp_path / "zarr.json").read_text())
    grown["shape"] = [9, 4]
    (tmp_path / "zarr.json").write_text(json.dumps(grown))
    assert (await opened.resolve()).shape == (9, 4)
    grown["data_type"] = "int8"
    (tmp_path / "zarr.json").write_text(json.dumps(grown))
    with pytest.raises(ts.Error, match="another kind of array"):
        await opened.resolve()
