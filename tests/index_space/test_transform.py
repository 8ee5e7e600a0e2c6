"""IndexTransform: its forms, what it maps, and that it cannot be changed."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from asynctensor.errors import InvalidIndex, OutOfRange
from asynctensor.index_space.dim import Dim
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.output_map import OutputIndexMap, OutputIndexMethod
from asynctensor.index_space.transform import IndexTransform

BASE = IndexTransform.identity([10, 20])
MIXED = IndexTransform(
    input_inclusive_min=[1, 2, -1],
    implicit_lower_bounds=[True, False, False],
    input_shape=[3, 2, 2],
    implicit_upper_bounds=[False, True, False],
    input_labels=["x", "y", "z"],
    output=[
        OutputIndexMap(offset=7, stride=13, input_dimension=1),
        OutputIndexMap(offset=8),
        OutputIndexMap(offset=1, stride=-2, index_array=[[[1, 2]]], index_range=Dim(-3, 10)),
    ],
)


@pytest.mark.parametrize(
    "transform",
    [
        BASE,
        MIXED,
        IndexTransform(0),
        IndexTransform(3),
        IndexTransform(input_rank=2, output=[]),
        IndexTransform([Dim(3, label="a"), Dim()]),
        BASE[3:5, None, [1, 2]],
        BASE.vindex[[[1], [2]], [3, 4]],
        BASE.oindex[[1, 2], 5],
        BASE[::2].T,
    ],
)
def test_round_trips(transform: IndexTransform) -> None:
    assert eval(repr(transform)) == transform
    assert pickle.loads(pickle.dumps(transform)) == transform
    assert hash(pickle.loads(pickle.dumps(transform))) == hash(transform)
    assert copy.copy(transform) is copy.deepcopy(transform) is transform
    assert IndexTransform(json=transform.to_json()).to_json() == transform.to_json()
    assert IndexTransform(transform.domain, transform.output) == transform


def test_json_has_the_members_of_tensorstore() -> None:
    assert MIXED.to_json() == {
        "input_exclusive_max": [4, [4], 1],
        "input_inclusive_min": [[1], 2, -1],
        "input_labels": ["x", "y", "z"],
        "output": [
            {"input_dimension": 1, "offset": 7, "stride": 13},
            {"offset": 8},
            {"index_array": [[[1, 2]]], "offset": 1, "stride": -2},
        ],
    }
    assert BASE.to_json() == {"input_inclusive_min": [0, 0], "input_exclusive_max": [10, 20]}
    outside = IndexTransform(input_shape=[2], output=[OutputIndexMap([1, 30], index_range=Dim(10))])
    assert outside.to_json()["output"] == [{"index_array": [1, 30], "index_array_bounds": [0, 9]}]


def test_text() -> None:
    assert str(BASE[5, 3:].label["q"]) == (
        "Rank 1 -> 2 index space transform:\n"
        "  Input domain:\n"
        '    0: [3, 20) "q"\n'
        "  Output index maps:\n"
        "    out[0] = 5\n"
        "    out[1] = 0 + 1 * in[0]"
    )


def test_identity_takes_shapes_and_domains() -> None:
    resizable = IndexTransform.identity([3, 4], implicit_upper_bounds=[True, False])
    assert str(resizable.domain) == "{ [0, 3*), [0, 4) }"
    assert IndexTransform.identity(IndexDomain(2)) == IndexTransform(2)
    assert BASE.input_rank == BASE.output_rank == BASE.ndim == 2
    assert BASE.input_shape == BASE.shape == (10, 20)
    assert BASE.input_origin == BASE.origin == (0, 0)
    assert BASE.input_inclusive_max == (9, 19)
    assert BASE.size == 200


def test_calling_maps_one_index() -> None:
    assert MIXED([1, 3, -1]) == (46, 8, -1)
    assert BASE[::2]([2, 5]) == (4, 5)
    assert IndexTransform.identity([3], implicit_upper_bounds=[True])([7]) == (7,)
    with pytest.raises(OutOfRange, match="not contained in the domain"):
        BASE([10, 0])
    with pytest.raises(ValueError, match="length 1"):
        BASE([1])
    with pytest.raises(TypeError):
        BASE([1.5, 2])  # type: ignore[list-item]


def test_nothing_can_be_changed() -> None:
    with pytest.raises(AttributeError):
        BASE.maps = ()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        BASE.maps[0].offset = 3
    given = np.array([1, 2, 3])
    array = BASE[given].maps[0].index_array
    made = IndexTransform(input_shape=[3], output=[OutputIndexMap(given)]).maps[0].index_array
    given[:] = 7
    view = BASE[[1, 2, 3]]
    parts = (view[0:2].maps[0].index_array, view[[0, 2]].maps[0].index_array)
    for kept in (array, made, *parts):
        assert kept is not None
        assert not kept.flags.writeable
    assert array is not None
    assert array.ravel().tolist() == [1, 2, 3]
    restored = pickle.loads(pickle.dumps(BASE[given])).maps[0].index_array
    assert not restored.flags.writeable


def test_arrays_have_size_one_where_they_do_not_depend() -> None:
    rows, columns = BASE.oindex[[1, 2, 3], [4, 5]].maps
    assert rows.method is OutputIndexMethod.array
    assert rows.index_array is not None
    assert columns.index_array is not None
    assert (rows.index_array.shape, columns.index_array.shape) == ((3, 1), (1, 2))
    assert rows.index_array.dtype == np.int64
    assert rows.index_range == Dim(inclusive_min=0, exclusive_max=10)
    repeated = OutputIndexMap(np.broadcast_to([5], (1000, 3)))
    assert repeated.index_array is not None
    assert repeated.index_array.shape == (1, 1)


def test_slicing_an_array_map_is_a_view() -> None:
    wide = BASE[np.arange(10)]
    part = wide[2:8:2].maps[0].index_array
    assert part is not None
    assert np.shares_memory(part, wide.maps[0].index_array)
    assert part.ravel().tolist() == [2, 4, 6]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output": [OutputIndexMap(input_dimension=1)]}, "outside valid range"),
        ({"output": [OutputIndexMap([1, 2])]}, "does not match input_shape"),
        ({"output": [OutputIndexMap([[1, 2, 3]])]}, "must have rank 1"),
        (
            {"output": [OutputIndexMap([1, 2, 3])], "implicit_upper_bounds": [True]},
            "implicit bounds",
        ),
        ({"json": {"input_rank": 1, "output": 5}}, "Expected array"),
        ({"json": {"input_rank": 1, "output": [{"offset": 1, "stride": 2}]}}, "stride"),
        ({"json": {"input_rank": 1, "output": [{"foo": 2}]}}, "foo"),
        (
            {"json": {"input_shape": [1], "output": [{"index_array": [1.5]}]}},
            "Expected array of integers",
        ),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    if "json" not in arguments:
        arguments = {"input_shape": [3], **arguments}
    with pytest.raises(ValueError, match=message):
        IndexTransform(**arguments)


def test_output_maps_are_a_sequence() -> None:
    assert len(BASE.output) == BASE.output.rank == 2
    assert BASE.output[-1] == OutputIndexMap(input_dimension=1)
    assert BASE.output[:1] == [OutputIndexMap(input_dimension=0)]
    assert list(BASE.output) == BASE.output
    assert OutputIndexMap(5).stride is None
    assert OutputIndexMap(5, 3) == OutputIndexMap(input_dimension=5, offset=3)
    with pytest.raises(IndexError):
        BASE.output[2]
    with pytest.raises(TypeError):
        OutputIndexMap([1.5])


def test_composition_checks_explicit_bounds_only() -> None:
    assert BASE[IndexTransform(2)] == BASE
    with pytest.raises(OutOfRange, match="Propagated bounds"):
        BASE[IndexTransform(input_shape=[11, 5])]
    resizable = IndexTransform.identity([10, 20], implicit_upper_bounds=[True, True])
    assert resizable[IndexTransform(input_shape=[11, 25])].shape == (11, 25)
    with pytest.raises(InvalidIndex, match="cannot be composed"):
        BASE[IndexTransform(3)]
    assert BASE[::2][IndexTransform(2)[1, :]]([3]) == (2, 3)


def test_composition_infers_bounds() -> None:
    resizable = IndexTransform.identity([10, 20], implicit_upper_bounds=[True, False])
    mirror = [OutputIndexMap(input_dimension=i, stride=-1, offset=3) for i in range(2)]
    assert (
        str(resizable[IndexTransform(input_rank=2, output=mirror)].domain)
        == "{ [-6*, 4), [-16, 4) }"
    )
    diagonal = [OutputIndexMap(input_dimension=0)] * 2
    assert str(resizable[IndexTransform(input_rank=1, output=diagonal)].domain) == "{ [0, 20) }"
    both = IndexTransform.identity([10, 20], implicit_upper_bounds=[True, True])
    assert str(both[IndexTransform(input_rank=1, output=diagonal)].domain) == "{ [0, 10*) }"


def test_ranges_of_arrays_shrink_by_composition() -> None:
    narrow = OutputIndexMap([1, 2], index_range=Dim(3))
    inner = IndexTransform(input_shape=[2], output=[narrow])
    assert IndexTransform.identity([10])[inner].maps[0].range == (0, 3)
    assert IndexTransform.identity([2])[inner].maps[0].range == (0, 2)
    assert IndexTransform.identity([10])[1:8][::2][inner].maps[0].range == (0, 3)


def test_ranks_must_fit() -> None:
    with pytest.raises(InvalidIndex, match="Rank 2 -> 2"):
        BASE[IndexTransform(3)]


def test_operations_move_the_domain_and_not_what_is_meant() -> None:
    moved = BASE.translate_by[5, -1]
    assert moved.origin == (5, -1)
    assert moved([5, -1]) == (0, 0)
    assert BASE.translate_to[3]([3, 3]) == (0, 0)
    assert BASE.translate_backward_by[3]([-3, -3]) == (0, 0)
    assert BASE[[4, 5]].translate_by[7]([7, 8]) == (4, 1)
    assert BASE.T([1, 2]) == (2, 1)
    assert BASE[[4, 5]].T([3, 1]) == (5, 3)
    assert BASE.label["a", "b"].transpose(["b", "a"]).input_labels == ("b", "a")
    with pytest.raises(IndexError, match="implicit"):
        BASE[[4, 5]].mark_bounds_implicit[True]
    with pytest.raises(IndexError, match="not unique"):
        BASE.label["a", "a"]
