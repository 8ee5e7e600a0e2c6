"""What the JSON of a spec says of zarr v3, beside what TensorStore's says."""

from __future__ import annotations

from typing import Any

import pytest
import tensorstore

import asynctensor as ts


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"shape": [2]},
        {"node_type": "array"},
        {"zarr_format": 3},
        {"attributes": {}},
        {"attributes": {"a": 1}},
        {"attributes": {}, "data_type": "int8"},
        {"node_type": "array", "shape": [2, 3]},
    ],
)
def test_the_kind_of_node_is_said_with_the_rest(metadata: dict[str, Any]) -> None:
    json = {"driver": "zarr3", "metadata": metadata}
    assert ts.Spec(json).to_json() == tensorstore.Spec(json).to_json()


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r'"metadata.node_type": expected "array", got "group"'):
        ts.Spec({"driver": "zarr3", "metadata": {"node_type": "group"}})
