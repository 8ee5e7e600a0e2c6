"""`OpenMode` against TensorStore's."""

from __future__ import annotations

import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.errors import InvalidArgument
from asynctensor.open_mode import FLAGS, OpenMode

modes = st.fixed_dictionaries({}, optional=dict.fromkeys(FLAGS, st.booleans()))


@given(modes, modes)
@settings(deadline=None)
def test_modes_are_tensorstores(first: dict, second: dict) -> None:
    assert repr(OpenMode(**first)) == repr(ts.OpenMode(**first))
    same = ts.OpenMode(**first) == ts.OpenMode(**second)
    assert (OpenMode(**first) == OpenMode(**second)) is same


def test_modes_can_be_changed_and_copied() -> None:
    mode = OpenMode(open=True)
    twin = mode.copy()
    twin.create = True
    assert twin == OpenMode(open=True, create=True) != mode
    with pytest.raises(TypeError):
        hash(mode)


@given(modes, modes)
@settings(deadline=None)
def test_updates_are_tensorstores(first: dict, second: dict) -> None:
    spec = ts.Spec({"driver": "zarr3"})
    spec.update(open_mode=ts.OpenMode(**first))
    mode = OpenMode(open=True).updated(OpenMode(**first))
    assert repr(mode) == repr(spec.open_mode)
    spec.update(open_mode=ts.OpenMode(**second))
    assert repr(mode.updated(OpenMode(**second))) == repr(spec.open_mode)


@pytest.mark.parametrize(
    "flags",
    [
        {"delete_existing": True},
        {"delete_existing": True, "create": True, "open": True},
        {"assume_metadata": True, "create": True},
        {"assume_cached_metadata": True},
        {"assume_metadata": True, "open": True, "create": True, "delete_existing": True},
    ],
)
def test_flags_that_contradict_are_refused(flags: dict) -> None:
    with pytest.raises(InvalidArgument, match="needs"):
        OpenMode(**flags).check()


def test_opening_is_the_default() -> None:
    assert OpenMode().normalized() == OpenMode(open=True)
    assert OpenMode(create=True).normalized() == OpenMode(create=True)
    both = OpenMode(open=True, assume_metadata=True, assume_cached_metadata=True)
    assert both.normalized() == OpenMode(open=True, assume_metadata=True)
    OpenMode(create=True, delete_existing=True).check()
    OpenMode(open=True, assume_metadata=True).check()
