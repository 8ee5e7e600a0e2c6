"""What a spec of fields or of bytes says before anything is opened is what TensorStore's says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.errors import Error, FailedPrecondition, InvalidArgument

RECORD = [["x", "<u4"], ["y", "|S5"], ["z", ">f8", [2, 3]], ["s", "|S2", [4]]]
V3_RECORD = {
    "name": "struct",
    "configuration": {
        "fields": [{"name": "x", "data_type": "uint32"}, {"name": "y", "data_type": "float64"}]
    },
}


def optional(name: str, *values: Any) -> st.SearchStrategy[dict[str, Any]]:
    """The member with one of these values, or nothing."""
    return st.sampled_from([{}, *({name: value} for value in values)])


def merged(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {k: v for part in found for k, v in part.items()})


def outcome(library: Any, spec: dict[str, Any]) -> Any:
    try:
        made = library.Spec(spec)
        schema = made.schema.to_json()
        domain = None if made.domain is None else made.domain.to_json()
        fill = None if made.fill_value is None else np.asarray(made.fill_value).tolist()
        json = {k: v for k, v in made.to_json().items() if k not in ("metadata", "schema")}
    except ValueError:
        return "error"
    return schema, domain, fill, made.rank, json


V2 = merged(
    optional("dtype", "<u4", "|S3", RECORD),
    optional("shape", [4, 5]),
    optional("chunks", [2, 3]),
    optional("order", "C", "F"),
    optional("compressor", None),
)
V3 = merged(
    optional("shape", [4, 5]),
    optional("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [2, 3]}}),
    optional("dimension_names", ["a", None]),
)
V3_TYPE = merged(
    st.just({"data_type": V3_RECORD, "codecs": ["bytes"]}),
    optional("fill_value", {"x": 3, "y": 2.5}),
)
SCHEMA = merged(
    optional("rank", 0, 1, 2, 3),
    optional("dtype", "uint32", "char", "byte"),
    optional("domain", *({"shape": [4, 5, *more]} for more in ([], [3], [4], [5], [2, 3]))),
    optional("chunk_layout", *({"chunk": {"shape": [2, 3, *more]}} for more in ([], [4]))),
)


@settings(deadline=None)
@given(V2, optional("field", "x", "y", "z", "s", "w"), optional("open_as_void", True), SCHEMA)
def test_zarr2(
    metadata: dict[str, Any], field: dict[str, Any], void: dict[str, Any], schema: dict[str, Any]
) -> None:
    spec = {"driver": "zarr", "kvstore": "memory://", **field, **void}
    if metadata:
        spec["metadata"] = metadata
    if schema:
        spec["schema"] = schema
    if metadata.get("dtype") == RECORD and not (field or void):
        return  # Whole records, which TensorStore does not have.
    if field and void:
        with pytest.raises(Error):
            ts.Spec(spec)
        return
    assert outcome(ts, spec) == outcome(tensorstore, spec)


# With a rank that does not fit, TensorStore's zarr3 ends the process.
V3_SCHEMA = merged(
    optional("rank", 2),
    optional("dtype", "uint32", "int8"),
    optional("domain", {"shape": [4, 5]}, {"shape": [4, 6]}),
    optional("chunk_layout", {"chunk": {"shape": [2, 3]}}, {"chunk": {"shape": [2, 4]}}),
)


@settings(deadline=None)
@given(V3, st.just({}) | V3_TYPE, st.sampled_from(["x", "y"]), V3_SCHEMA)
def test_zarr3(
    metadata: dict[str, Any], typed: dict[str, Any], field: str, schema: dict[str, Any]
) -> None:
    spec: dict[str, Any] = {"driver": "zarr3", "kvstore": "memory://", "field": field}
    if typed:
        # Without a data type, TensorStore makes nothing of the rest.
        spec["metadata"] = metadata | typed
    if schema:
        spec["schema"] = schema
    assert outcome(ts, spec) == outcome(tensorstore, spec)


def test_bytes_of_zarr3() -> None:
    # Where TensorStore takes the rank and the type of whole elements.
    metadata = {"data_type": "uint16", "shape": [4, 5], "fill_value": 7}
    spec = ts.Spec(
        {"driver": "zarr3", "kvstore": "memory://", "open_as_void": True, "metadata": metadata}
    )
    assert spec.dtype == ts.dtype("byte")
    assert str(spec.domain) == "{ [0, 4*), [0, 5*), [0, 2) }"
    assert spec.fill_value is None
    assert spec.chunk_layout.write_chunk.shape == (None, None, 2)


@pytest.mark.parametrize("field", ["x", "y", "s"])
async def test_what_a_spec_says_is_what_is_opened(field: str) -> None:
    metadata = {"dtype": [item for item in RECORD if len(item) == 2] + [["s", "|S2"]]}
    json = {"driver": "zarr", "kvstore": "memory://a/", "field": field, "metadata": metadata}
    spec = ts.Spec(json)
    hidden = {"x": [], "y": [5], "s": [2]}[field]
    spec.update(shape=[4, 6, *hidden], chunk_layout=ts.ChunkLayout(chunk_shape=[2, 3, *hidden]))
    assert spec.domain is not None
    store = await ts.open(spec, create=True)
    assert (store.domain, store.dtype) == (spec.domain, spec.dtype)
    assert store.chunk_layout.write_chunk.shape == (2, 3, *hidden)
    again = store.spec()
    assert ts.Spec(again.to_json()) == again
    assert again.schema == store.schema


def test_a_wrong_part_is_named() -> None:
    spec = {"driver": "zarr", "kvstore": "memory://", "metadata": {"dtype": RECORD}, "field": "w"}
    with pytest.raises(FailedPrecondition, match=r'field "w" is not one of: .*x'):
        ts.Spec({**spec})
    with pytest.raises(FailedPrecondition, match=r'"w" but dtype does not have named fields'):
        ts.Spec({**spec, "metadata": {"dtype": "<u4"}})
    with pytest.raises(InvalidArgument, match="uint32"):
        ts.Spec({**spec, "field": "x", "dtype": "int8"})
