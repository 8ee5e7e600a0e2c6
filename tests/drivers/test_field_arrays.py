"""Fields that are arrays themselves: their dimensions come last, as in TensorStore."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.errors import FailedPrecondition

SHAPE, CHUNK = (4, 5), (3, 2)
METADATA: dict[str, Any] = {
    "shape": [*SHAPE], "chunks": [*CHUNK], "compressor": None,
    "dtype": [["a", "<f4", [3]], ["b", ">i2", [2, 2]], ["c", "|S3", [2]], ["d", "|u1"],
              ["e", "|V2"], ["f", "<c8", [2]], ["g", "|b1", [1]]],
}  # fmt: skip
FIELDS = {"a": (3,), "b": (2, 2), "c": (2, 3), "d": (), "e": (2,), "f": (2,), "g": (1,)}
#: TensorStore's Python has no NumPy type for their elements (``S0``, ``V0``), hence no values.
RAW = ("c", "e")
Lib = Any


def opened(lib: Lib, path: Path, field: str | None, **more: Any) -> Any:
    spec: dict[str, Any] = {"driver": "zarr", "kvstore": f"file://{path}/", **more}
    if field is not None:
        spec["field"] = field
    return lib.open(spec, create="metadata" in more, open=True).result()


def values(field: str, kind: np.dtype[Any]) -> np.ndarray:
    """Something for each element."""
    shape = (*SHAPE, *FIELDS[field])
    numbers = np.arange(1, 1 + int(np.prod(shape))).reshape(shape)
    if kind.kind in "SV":
        return (numbers % 100).astype("u1").view(kind)
    return (numbers % 2 if kind.kind == "b" else numbers).astype(kind)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written by TensorStore, field by field, where it can."""
    path = tmp_path_factory.mktemp("fields")
    for name in FIELDS:
        array = opened(ts if name in RAW else tensorstore, path, name, metadata=METADATA)
        array[...] = values(name, array.dtype.numpy_dtype)
    return path


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_looks_as_in_tensorstore(stored: Path, name: str) -> None:
    mine, theirs = (opened(lib, stored, name) for lib in (ts, tensorstore))
    assert mine.domain.to_json() == theirs.domain.to_json()
    assert mine.dtype.name == theirs.dtype.name
    assert mine.chunk_layout.to_json() == theirs.chunk_layout.to_json()
    assert mine.spec().to_json() == theirs.spec().to_json()
    assert mine.spec().domain.to_json() == theirs.spec().domain.to_json()
    assert mine.fill_value is theirs.fill_value is None
    found = mine.read().result()
    assert found.dtype == mine.dtype.numpy_dtype
    assert (found == values(name, found.dtype)).all()
    assert (mine.read(order="F").result() == found).all()


#: Arrays that were opened for an earlier example.
OPEN: dict[Any, Any] = {}
Step = Callable[[Lib, Any], Any]


@st.composite
def programs(draw: st.DrawFn) -> list[Step]:
    """Some indexing steps that any view of rank 1 to 4 takes, or refuses."""
    steps: list[Step] = []
    for _ in range(draw(st.integers(0, 3))):
        axis = draw(st.integers(-2, -1))
        low = draw(st.integers(0, 2))
        count = draw(st.integers(1, 3))
        stride = draw(st.sampled_from([1, 2, -1]))
        picks = draw(st.lists(st.integers(0, 2), min_size=1, max_size=4))
        kind = draw(st.sampled_from(["one", "some", "many", "turn", "shift", "new", "box"]))
        choices: dict[str, Step] = {
            "one": lambda lib, view, a=axis, i=low: view[lib.d[a][i]],
            "some": lambda lib, view, a=axis, s=stride: view[lib.d[a].stride[s]],
            "many": lambda lib, view, a=axis, p=picks: view[lib.d[a][p]],
            "turn": lambda lib, view: view.T,
            "shift": lambda lib, view, a=axis, i=low: view[lib.d[a].translate_by[i]],
            "new": lambda lib, view: view[..., lib.newaxis],
            "box": lambda lib, view, a=axis, i=low, n=count: view[lib.d[a][i : i + n]],
        }
        steps.append(choices[kind])
    return steps


@settings(max_examples=80, deadline=None)
@given(name=st.sampled_from([*FIELDS]), steps=programs())
def test_views_of_fields(stored: Path, name: str, steps: list[Step]) -> None:
    found: list[Any] = []
    for lib in (ts, tensorstore):
        view = OPEN.get((lib, name)) or opened(lib, stored, name)
        OPEN[lib, name] = view
        try:
            for step in steps:
                view = step(lib, view)
            found.append((view.domain.to_json(), view.read().result()))
        except (ValueError, IndexError) as error:
            found.append(IndexError if isinstance(error, IndexError) else ValueError)
    mine, theirs = found
    if isinstance(theirs, type):
        assert isinstance(mine, type)
        return
    assert mine[0] == theirs[0]
    if name not in RAW:
        assert mine[1].shape == theirs[1].shape
        assert mine[1].tobytes() == theirs[1].tobytes()


WRITES: list[Callable[[Any], Any]] = [
    lambda view: view,
    lambda view: view[1:3, 2],
    lambda view: view[2, 3],
    lambda view: view[..., 0],
    lambda view: view.T,
    lambda view: view.vindex[[0, 3], [4, 1]],
    lambda view: view[..., ::-1] if view.rank > 2 else view,
]


@pytest.mark.parametrize("name", [name for name, shape in FIELDS.items() if shape])
@pytest.mark.parametrize("number", range(len(WRITES)))
def test_writes_change_the_field_alone(tmp_path: Path, name: str, number: int) -> None:
    before = {}
    for each in FIELDS:
        array = opened(ts, tmp_path, each, metadata=METADATA)
        before[each] = values(each, array.dtype.numpy_dtype)
        array[...] = before[each]
    array = opened(ts, tmp_path, name)
    view = WRITES[number](array)
    new = np.roll(view.read().result().reshape(-1), 1).reshape(view.shape)
    view.write(new).result()
    for each in FIELDS:
        again = opened(ts if each in RAW else tensorstore, tmp_path, each)
        if each == name:
            assert (WRITES[number](again).read().result() == new).all()
        else:
            assert (again.read().result() == before[each]).all()


async def test_only_the_dimensions_of_the_array_are_resized(tmp_path: Path) -> None:
    array = opened(ts, tmp_path, "b", metadata=METADATA)
    with pytest.raises(FailedPrecondition):
        await array.resize(exclusive_max=[6, 5, 3, 2])
    grown = await array.resize(exclusive_max=[6, 7, None, None])
    assert grown.shape == (6, 7, 2, 2)
    appended = await grown.append(np.ones((1, 7, 2, 2), np.int16), axis=0)
    assert appended.shape == (7, 7, 2, 2)
    assert (await appended[6].read()).all()


@pytest.mark.parametrize("kind", [["x", "<f4"], ["x", "<f4", [3]], ["x", "|S3"], ["x", "|V2", [2]]])
@pytest.mark.parametrize("said", [{}, {"field": "x"}])
def test_records_of_one_field(tmp_path: Path, kind: Any, said: Any) -> None:
    metadata = {**METADATA, "dtype": [kind]}
    found = []
    for lib in (ts, tensorstore):
        spec = {"driver": "zarr", "kvstore": f"file://{tmp_path}/{lib.__name__}/", **said}
        before = lib.Spec({**spec, "metadata": metadata})
        array = lib.open({**spec, "metadata": metadata}, create=True).result()
        again = lib.open(spec).result()
        assert again.domain == array.domain
        found.append(
            [
                before.domain.to_json(),
                before.rank,
                before.dtype.name,
                before.schema.to_json(),
                array.domain.to_json(),
                array.dtype.name,
                array.schema.to_json(),
            ]
        )
    assert found[0] == found[1]
