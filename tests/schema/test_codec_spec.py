"""`CodecSpec`: JSON, equality, merging."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from typing import Any

import pytest
import tensorstore as ts

from asynctensor.errors import InvalidArgument
from asynctensor.schema.codec_spec import CodecSpec

GZIP = {"name": "gzip", "configuration": {"level": 5}}


@pytest.mark.parametrize("json", [{}, 5, {"driver": 5}, None])
def test_errors_are_tensorstores(json: object) -> None:
    with pytest.raises(ValueError) as theirs:
        ts.CodecSpec(json)
    with pytest.raises(InvalidArgument) as mine:
        CodecSpec(json)
    assert str(mine.value) == str(theirs.value)


def test_a_codec_spec_is_a_value() -> None:
    json: dict[str, Any] = {"driver": "zarr3", "codecs": [GZIP]}
    codec = CodecSpec(json)
    json["codecs"].clear()
    codec.to_json()["codecs"].clear()
    codec.members["codecs"].clear()
    assert codec.to_json() == {"driver": "zarr3", "codecs": [GZIP]}
    assert repr(codec) == repr(ts.CodecSpec(codec.to_json()))
    assert codec == CodecSpec(codec.to_json()) != CodecSpec({"driver": "zarr3"})
    assert hash(codec) == hash(CodecSpec(codec.to_json()))
    assert pickle.loads(pickle.dumps(codec)) == copy.deepcopy(codec) == codec


def test_members_of_one_driver_merge() -> None:
    first = CodecSpec({"driver": "zarr", "compressor": None})
    second = CodecSpec({"driver": "zarr", "filters": None})
    assert first.merged(second).to_json() == {
        "driver": "zarr",
        "compressor": None,
        "filters": None,
    }
    with pytest.raises(InvalidArgument, match='"compressor" does not match'):
        first.merged(CodecSpec({"driver": "zarr", "compressor": {"id": "zlib"}}))
    with pytest.raises(InvalidArgument, match=r'Cannot merge codec spec .*"zarr".*"zarr3"'):
        first.merged(CodecSpec({"driver": "zarr3"}))


def longer(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """A driver's own way to merge."""
    return {"codecs": max(first["codecs"], second["codecs"], key=len)}


@pytest.mark.parametrize("knowing", [0, 1])
def test_a_driver_can_say_how_to_merge(knowing: int) -> None:
    jsons = ({"driver": "mine", "codecs": [1]}, {"driver": "mine", "codecs": [1, 2]})
    codecs = [
        CodecSpec(json, merge=longer if place == knowing else None)
        for place, json in enumerate(jsons)
    ]
    merged = codecs[0].merged(codecs[1])
    assert merged.to_json()["codecs"] == [1, 2]
    assert merged.merged(CodecSpec({"driver": "mine", "codecs": [1, 2, 3]})).members == {
        "codecs": [1, 2, 3]
    }
