"""Codec specs of registered drivers: read and merged as TensorStore does."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.errors import InvalidArgument


def optional(members: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=members)


def zarr3(name: str, **members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return optional(members).map(
        lambda found: {"name": name, "configuration": found} if found else {"name": name}
    )


BYTES = st.just("bytes") | zarr3("bytes", endian=st.sampled_from(["little", "big"]))
STEPS = st.one_of(
    zarr3("gzip", level=st.integers(0, 2)),
    zarr3("zstd", level=st.integers(0, 1)),
    zarr3("blosc", cname=st.sampled_from(["lz4", "zstd"]), clevel=st.integers(0, 1)),
)
CHAIN = st.tuples(st.lists(BYTES, max_size=1), st.lists(STEPS, max_size=2)).map(
    lambda found: [*found[0], *found[1]]
)
SHARDS = zarr3(
    "sharding_indexed",
    chunk_shape=st.sampled_from([[2, 2], [1, 2]]),
    codecs=CHAIN,
    index_location=st.sampled_from(["start", "end"]),
).map(lambda found: [found])
ZARR3 = optional({"codecs": CHAIN | SHARDS}).map(lambda found: {"driver": "zarr3", **found})
BLOSC = st.just({"cname": "lz4", "clevel": 5, "shuffle": 1})
COMPRESSIONS = st.one_of(
    st.just({"type": "raw"}),
    optional({"level": st.integers(-1, 1), "useZlib": st.booleans()}).map(
        lambda found: {"type": "gzip", **found}
    ),
    optional({"preset": st.integers(5, 6)}).map(lambda found: {"type": "xz", **found}),
    optional({"blocksize": st.integers(0, 1)}).map(
        lambda found: {"type": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, **found}
    ),
)
N5 = optional({"compression": COMPRESSIONS}).map(lambda found: {"driver": "n5", **found})
COMPRESSORS = st.one_of(
    st.none(),
    *[
        optional({"level": st.integers(1, 2)}).map(lambda found, name=name: {"id": name, **found})
        for name in ("zlib", "zstd", "bz2")
    ],
    optional({"cname": st.just("lz4"), "shuffle": st.integers(-1, 1)}).map(
        lambda found: {"id": "blosc", **found}
    ),
)
ZARR2 = st.tuples(
    st.sampled_from(["zarr", "zarr2"]),
    optional({"compressor": COMPRESSORS, "filters": st.none()}),
).map(lambda found: {"driver": found[0], **found[1]})
PAIRS = st.one_of(*[st.tuples(each, each) for each in (ZARR3, N5, ZARR2)])


def merged(library: Any, first: Any, second: Any) -> Any:
    schema = library.Schema(codec=library.CodecSpec(first))
    schema.update(codec=library.CodecSpec(second))
    return schema.codec


@settings(max_examples=300, deadline=None)
@given(pair=PAIRS)
def test_what_is_read_and_merged_is_tensorstores(pair: tuple[Any, Any]) -> None:
    for each in pair:
        theirs, mine = tensorstore.CodecSpec(each), ts.CodecSpec(each)
        assert repr(mine) == repr(theirs)
        assert json.dumps(mine.to_json()) == json.dumps(theirs.to_json())
        assert pickle.loads(pickle.dumps(mine)) == mine == ts.CodecSpec(mine.to_json())
    try:
        wanted = merged(tensorstore, *pair)
    except ValueError:
        with pytest.raises(InvalidArgument, match="Cannot merge codec spec"):
            merged(ts, *pair)
        return
    assert repr(merged(ts, *pair)) == repr(wanted)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"driver": "zarr3", "x": 1}, 'member "codec": expected no member "x"'),
        ({"driver": "zarr3", "codecs": [{"name": "zzz"}]}, r'"codec.codecs\[0\]": the codec "zzz"'),
        ({"driver": "n5", "compression": None}, '"codec.compression": expected an object'),
        ({"driver": "zarr", "compressor": {"id": "q"}}, '"codec.compressor": the codec "q"'),
    ],
)
def test_wrong_members_are_named_at_once(document: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError):
        tensorstore.CodecSpec(document)
    with pytest.raises(ValueError, match=text):
        ts.CodecSpec(document)
    with pytest.raises(ValueError, match=text):
        ts.Schema({"codec": document})


def test_those_of_drivers_that_are_not_known_are_kept() -> None:
    document = {"driver": "of tomorrow", "b": [{"y": 1, "x": 2}]}
    assert ts.CodecSpec(document).to_json() == document
