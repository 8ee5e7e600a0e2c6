"""`Unit` against TensorStore's."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.schema.unit import Unit, as_unit

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
texts = st.text(st.sampled_from("0123456789.+-eE nmuµ^/_x"), max_size=12)


@given(texts)
@settings(deadline=None)
def test_strings_are_read_as_tensorstore_reads_them(text: str) -> None:
    theirs = ts.Unit(text)
    mine = Unit(text)
    assert (mine.multiplier, mine.base_unit) == (theirs.multiplier, theirs.base_unit)


@given(finite, st.text(max_size=5), finite.filter(bool))
@settings(deadline=None)
def test_arithmetic_and_text_are_tensorstores(number: float, base: str, factor: float) -> None:
    mine, theirs = Unit(number, base), ts.Unit(number, base)
    assert (mine * factor).to_json() == (theirs * factor).to_json()
    assert (mine / factor).to_json() == (theirs / factor).to_json()
    assert Unit(json=mine.to_json()) == mine


@pytest.mark.parametrize("args", [(), (3.5,), ("4nm",), (3, "nm"), ((3, "nm"),), ([3, "nm"],)])
def test_forms_reprs_and_texts_are_tensorstores(args: tuple) -> None:
    assert repr(Unit(*args)) == repr(ts.Unit(*args))
    assert str(Unit(*args)) == str(ts.Unit(*args))


def test_repr_keeps_every_digit() -> None:
    assert repr(Unit(123456789, "m")) == 'Unit(123456789, "m")'
    assert repr(Unit(1e20, 'a"b')) == 'Unit(1e+20, "a\\"b")'


@pytest.mark.parametrize(
    "json", ["4nm", [3, "nm"], 3, [3, 3], ["3", "nm"], None, [3], {}, True, [True, "m"]]
)
def test_json_is_accepted_and_refused_as_tensorstore_does(json: object) -> None:
    try:
        theirs: object = ts.Unit(json=json).to_json()
    except ValueError as error:
        theirs = str(error)
    try:
        mine: object = Unit(json=json).to_json()
    except InvalidArgument as error:
        mine = str(error)
    assert mine == theirs


@pytest.mark.parametrize("args", [(1, "m", "x"), (None,), ((1, 2),), (b"m",), ("m", 1)])
def test_other_arguments_are_type_errors(args: tuple) -> None:
    with pytest.raises(TypeError):
        Unit(*args)


def test_units_are_values() -> None:
    unit = Unit("4nm")
    assert unit == Unit(4, "nm") != Unit(4, "m")
    assert hash(unit) == hash(Unit(4, "nm"))
    assert pickle.loads(pickle.dumps(unit)) == copy.deepcopy(unit) == unit
    with pytest.raises(AttributeError):
        unit.multiplier = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        unit * "2"
    assert as_unit(None) is None
    with pytest.raises(IncompatibleType):
        as_unit({})


@pytest.mark.parametrize("multiplier", [4.0, -4.0, 0.0])
@pytest.mark.parametrize("divisor", [0, 0.0, -0.0])
def test_division_by_zero(multiplier: float, divisor: float) -> None:
    ours = (Unit(multiplier, "nm") / divisor).multiplier
    theirs = (ts.Unit(multiplier, "nm") / divisor).multiplier
    assert ours == theirs or (math.isnan(ours) and math.isnan(theirs))
