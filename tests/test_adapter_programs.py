"""Programs over specs of adapters: made from JSON, updated, indexed, asked for their bases.

What TensorStore says of each step is what this library says; but for fill values of ``downsample``,
what is known of a base without a domain, views of cells that leave some out, and ``node_type`` in
the metadata of zarr v3.
"""

from __future__ import annotations

from typing import Any

import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts

ZARR = {"driver": "zarr3", "kvstore": "memory://x/"}
WHOLE = {**ZARR, "schema": {"domain": {"shape": [10, 20]}}}
BASES: list[dict[str, Any]] = [
    WHOLE,
    {**WHOLE, "dtype": "uint8"},
    {**ZARR, "metadata": {"shape": [100, 200], "data_type": "float32"}},
    {**WHOLE, "transform": {"input_inclusive_min": [2, 3], "input_exclusive_max": [7, 15]}},
    {"driver": "array", "dtype": "int32", "array": [[1, 2, 3], [4, 5, 6]]},
    {"driver": "n5", "kvstore": "memory://y/", "metadata": {"dimensions": [30, 40]}},
    {"driver": "json", "kvstore": "memory://z"},
]
MORE: list[dict[str, Any]] = [
    {},
    {"schema": {"chunk_layout": {"chunk": {"shape": [2, 2]}}}},
    {"schema": {"dimension_units": ["4nm", "5nm"]}},
]


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    json = draw(st.sampled_from(BASES))
    for _ in range(draw(st.integers(1, 2))):
        more = draw(st.sampled_from(MORE))
        if draw(st.booleans()):
            kind = draw(st.sampled_from(["int32", "float64", "uint8"]))
            json = {"driver": "cast", "base": json, "dtype": kind, **more}
        else:
            json = {
                "driver": "downsample",
                "base": json,
                "downsample_factors": draw(st.sampled_from([[2, 3], [1, 1], [3, 1]])),
                "downsample_method": draw(st.sampled_from(["mean", "max"])),
                **more,
            }
    return json


STEPS: dict[str, Any] = {
    "rank": lambda lib, spec: updated(spec, rank=2),
    "dtype": lambda lib, spec: updated(spec, dtype=lib.float64),
    "units": lambda lib, spec: updated(spec, dimension_units=["3nm", None]),
    "open": lambda lib, spec: updated(spec, open=True),
    "create": lambda lib, spec: updated(spec, create=True),
    "recheck": lambda lib, spec: updated(spec, recheck_cached_data=False),
    "box": lambda lib, spec: spec[0:1],
    "turn": lambda lib, spec: spec.T,
    "shift": lambda lib, spec: spec[lib.d[0].translate_by[3]],
    "label": lambda lib, spec: spec[lib.d[0].label["q"]],
    "base": lambda lib, spec: spec.base,
}
STEP = st.sampled_from([*STEPS])


def updated(spec: Any, **changes: Any) -> Any:
    spec.update(**changes)
    return spec


def seen(lib: Any, spec: Any) -> dict[str, Any]:
    mode = repr(spec.open_mode).replace(f"{lib.__name__}.", "")
    return {
        "json": without_node_type(spec.to_json()),
        "with defaults": without_node_type(spec.to_json(include_defaults=True)),
        "base": None if spec.base is None else without_node_type(spec.base.to_json()),
        "dtype": spec.dtype and spec.dtype.name,
        "rank": spec.rank,
        "domain": None if spec.domain is None else spec.domain.to_json(),
        "transform": None if spec.transform is None else spec.transform.to_json(),
        "mode": mode,
        "kvstore": None if spec.kvstore is None else spec.kvstore.to_json(),
    }


def without_node_type(json: Any) -> Any:
    if isinstance(json, list):
        return [without_node_type(each) for each in json]
    if not isinstance(json, dict):
        return json
    return {k: without_node_type(v) for k, v in json.items() if k != "node_type"}


def run(lib: Any, json: dict[str, Any], steps: list[str]) -> list[Any]:
    found: list[Any] = []
    try:
        spec = lib.Spec(json)
        found.append(seen(lib, spec))
        for step in steps:
            spec = STEPS[step](lib, spec)
            if spec is None:
                break
            found.append(seen(lib, spec))
    except (ValueError, IndexError):
        found.append("error")
    return found


@settings(max_examples=150, deadline=None)
@given(json=specs(), steps=st.lists(STEP, max_size=3))
def test_programs(json: dict[str, Any], steps: list[str]) -> None:
    mine, theirs = run(ts, json, steps), run(tensorstore, json, steps)
    for number, (ours, other) in enumerate(zip(mine, theirs, strict=False)):
        assert ours == other, (number, steps)
    assert len(mine) == len(theirs)


@given(json=specs(), steps=st.lists(STEP, max_size=2))
@settings(max_examples=60, deadline=None)
def test_json_says_it_all(json: dict[str, Any], steps: list[str]) -> None:
    try:
        spec: Any = ts.Spec(json)
        for step in steps:
            spec = STEPS[step](ts, spec) or spec
    except (ValueError, IndexError):
        return
    assert ts.Spec(spec.to_json()) == spec
