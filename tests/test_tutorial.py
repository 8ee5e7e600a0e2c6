"""Programs as TensorStore's users write them, run by both libraries: only the import differs.

Each program tells what it sees, step by step; the two tellings are the same.
"""

from __future__ import annotations

import asyncio
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore

import asynctensor

Tell = Callable[..., None]
PROGRAMS: dict[str, Callable[[Any, Path, Tell], Any]] = {}


def program(function: Callable[[Any, Path, Tell], Any]) -> Callable[[Any, Path, Tell], Any]:
    PROGRAMS[function.__name__] = function
    return function


def said(json: Any) -> Any:
    """A spec's JSON without what one of the two leaves out where it is the default."""
    encoding = json.get("metadata", {}).get("chunk_key_encoding", {})
    if encoding.get("configuration") == {"separator": "/"}:
        del encoding["configuration"]
    return json


@program
def an_n5_volume(ts: Any, folder: Path, tell: Tell) -> None:
    volume = ts.open(
        {
            "driver": "n5",
            "kvstore": {"driver": "file", "path": f"{folder}/volume/"},
            "metadata": {
                "compression": {"type": "gzip"},
                "dataType": "uint32",
                "dimensions": [1000, 20000],
                "blockSize": [100, 100],
            },
            "create": True,
            "delete_existing": True,
        }
    ).result()
    tell(volume.domain, volume.dtype, volume.rank, volume.chunk_layout)
    tell(volume.spec().to_json())
    writing = volume[80:82, 99:102].write([[1, 2, 3], [4, 5, 6]])
    tell(writing.result(), volume[80:83, 99:102].read().result())
    volume[80:82, 99:102] = [[7, 8, 9], [10, 11, 12]]
    tell(volume[80:83, 99:102].read().result())
    corner = volume[80:83, 99:102]
    tell(corner.domain, corner[81, 100].read().result(), np.array(corner))
    again = ts.open({"driver": "n5", "kvstore": f"file://{folder}/volume/"}, read=True).result()
    tell(again.domain, again.mode, again.writable)
    try:
        again[0, 0] = 1
    except ValueError as error:
        tell("does not support writing" in str(error))


@program
def slices_of_a_zarr_array(ts: Any, folder: Path, tell: Tell) -> None:
    store = ts.open(
        {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{folder}/a.zarr"}},
        dtype=ts.float32,
        shape=[6, 8, 4],
        chunk_layout=ts.ChunkLayout(chunk_shape=[3, 4, 4]),
        create=True,
    ).result()
    store[...] = np.arange(6 * 8 * 4, dtype=np.float32).reshape(6, 8, 4)
    labelled = store[ts.d[:].label["z", "y", "x"]]
    tell(labelled.domain, labelled[ts.d["y"][3:6]].domain)
    tell(labelled[ts.d["y", "x"][1, 2]].read().result())
    tell(labelled[ts.d["x", "z"].transpose[0, 1]].domain)
    tell(store[..., 1].domain, store[:, ts.newaxis].shape, store[2:, ::2].origin)
    tell(store.oindex[[0, 5], :, [1, 3]].read().result().shape)
    tell(store.vindex[[0, 5], :, [1, 3]].read().result())
    tell(store[ts.d[0].translate_to[10]].domain, store[ts.d[0, 1].diagonal].domain)
    tell(store.T.shape, store.transpose([2, 0, 1]).shape)
    mask = np.zeros([6, 8], dtype=bool)
    mask[2, 3] = mask[4, 5] = True
    tell(store[mask].read().result())
    store[mask] = -1
    tell(store[mask].read().result().sum(), store[store.read().result() < 0].domain)
    for key in (-1, 99, (0, 0, 0, 0), "z", slice(0, 99)):
        try:
            store[key]
        except (IndexError, ValueError, TypeError) as error:
            tell(key, isinstance(error, (IndexError, ValueError)))


@program
def growing(ts: Any, folder: Path, tell: Tell) -> None:
    store = ts.open(
        {
            "driver": "zarr3",
            "kvstore": f"file://{folder}/grows/",
            "metadata": {
                "shape": [4, 6],
                "data_type": "int16",
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3]}},
                "fill_value": 7,
            },
        },
        create=True,
        open=True,
    ).result()
    part = store[1:3]
    grown = store.resize(exclusive_max=[8, 6]).result()
    tell(store.domain, grown.domain, part.domain, store.resolve().result().domain)
    tell(store.resolve(fix_resizable_bounds=True).result().domain)
    grown[6:] = 1
    tell(grown.read().result(), grown.storage_statistics(query_not_stored=True).result())
    for request in ({"exclusive_max": [2, 6]}, {"exclusive_max": [9, 6], "shrink_only": True}):
        try:
            tell(grown.resize(**request).result().domain)
        except ValueError as error:
            tell("refused", "`shrink_only` was specified" in str(error))
    tell(sorted(p.name for p in (folder / "grows").iterdir()))


@program
def schemas_and_layouts(ts: Any, folder: Path, tell: Tell) -> None:
    schema = ts.Schema(
        domain=ts.IndexDomain(shape=[500, 600], labels=["y", "x"]),
        dtype=ts.uint16,
        fill_value=3,
        dimension_units=["4nm", None],
        chunk_layout=ts.ChunkLayout(
            write_chunk_shape=[100, 100], read_chunk_elements_soft_constraint=400
        ),
    )
    tell(schema, schema.rank, schema.domain, schema.dimension_units, schema.fill_value)
    for driver in ("zarr3", "n5", "zarr"):
        wanted = schema.copy()
        if driver == "zarr":
            wanted = ts.Schema(dtype=ts.uint16, shape=[500, 600], fill_value=3)
        if driver == "n5":
            wanted = ts.Schema(dtype=ts.uint16, shape=[500, 600], dimension_units=["4nm", None])
        store = ts.open(
            {"driver": driver, "kvstore": "memory://"}, schema=wanted, create=True
        ).result()
        tell(store.schema, store.chunk_layout, store.codec, store.fill_value, store.domain)
        tell(said(store.spec().to_json()))
        tell(store[..., 5].schema)
    for wrong in ({"rank": 3}, {"dtype": ts.int8}, {"fill_value": 4}, {"shape": [1, 2]}):
        try:
            schema.update(**wrong)
        except ValueError as error:
            tell(wrong, str(error))


@program
def specs(ts: Any, folder: Path, tell: Tell) -> None:
    spec = ts.Spec(
        {
            "driver": "zarr3",
            "kvstore": {"driver": "memory", "path": "p/"},
            "metadata": {"shape": [10, 20], "data_type": "uint8"},
        }
    )
    tell(spec, spec.rank, spec.domain, spec.dtype, spec.open_mode, spec.url, spec.kvstore)
    spec.update(create=True, fill_value=5, chunk_layout=ts.ChunkLayout(chunk_shape=[5, 5]))
    tell(spec.to_json(), spec.fill_value, spec.chunk_layout)
    view = spec[2:5, 3]
    tell(view, view.domain, view.transform, view.dtype, view.chunk_layout)
    tell(pickle.loads(pickle.dumps(spec)) == spec, spec.copy() == spec, spec == view)
    store = ts.open(spec).result()
    tell(store.spec(minimal_spec=True).to_json())
    tell(said(store.spec(unbind_context=True).to_json()))
    tell(ts.Spec("memory://x/|zarr3:").to_json(), ts.Spec("file:///tmp/a|zarr2:b").to_json())


@program
def contexts(ts: Any, folder: Path, tell: Tell) -> None:
    context = ts.Context({"cache_pool": {"total_bytes_limit": 10_000_000}})
    child = ts.Context({"cache_pool#small": {"total_bytes_limit": 10}}, context)
    tell(
        context.spec,
        child.spec,
        child["cache_pool"],
        child["cache_pool#small"],
        child.parent is context,
    )
    tell(child["cache_pool"] is context["cache_pool"], ts.Context()["file_io_concurrency"])
    spec = {"driver": "zarr3", "kvstore": "memory://shared/"}
    first = ts.open(spec, context=context, create=True, dtype="int8", shape=[3]).result()
    first[1] = 5
    tell(ts.open(spec, context=child).result().read().result())
    try:
        ts.open(spec).result()
    except ValueError as error:
        tell("NOT_FOUND" in str(error))
    bound = first.spec(retain_context=True)
    tell(ts.open(bound).result().read().result(), said(bound.to_json()))
    bound.update(strip_context=True)
    tell(said(bound.to_json()))


@program
def arrays_of_arrays(ts: Any, folder: Path, tell: Tell) -> None:
    base = ts.array(np.arange(24, dtype=np.uint8).reshape(4, 6))
    tell(base, base.schema)
    wide = ts.cast(base, ts.int64)
    tell(wide.dtype, wide.read().result(), wide.spec().to_json()["driver"])
    small = ts.downsample(base, [2, 3], "mean")
    tell(small.domain, small.read().result(), small.dtype)
    tell(ts.stack([base, base]).domain, ts.concat([base, base], axis=1).domain)
    over = ts.overlay([base, ts.array(np.zeros([2, 2], np.uint8)).translate_to[1, 1]])
    tell(over.read().result())
    over[0, 0] = 99
    tell(base[0, 0].read().result(), base.astype("float32").dtype)
    text = ts.cast(base[0], ts.string).read().result()
    tell(text.tolist())


@program
def virtual_arrays(ts: Any, folder: Path, tell: Tell) -> None:
    asked = []

    def read(domain: Any, chunk: Any, parameters: Any) -> None:
        asked.append((tuple(domain.inclusive_min), tuple(domain.shape)))
        y, x = domain
        chunk[...] = np.arange(y.inclusive_min, y.exclusive_max)[:, None] * 10
        chunk[...] += np.arange(x.inclusive_min, x.exclusive_max)

    table = ts.virtual_chunked(
        read,
        dtype=ts.int32,
        shape=[6, 8],
        chunk_layout=ts.ChunkLayout(read_chunk_shape=[3, 4]),
    )
    tell(table.domain, table.chunk_layout.read_chunk.shape, table.mode)
    tell(table[1:4, 2].read().result(), sorted(asked))
    tell(ts.downsample(table, [3, 4], "max").read().result())

    kept = np.zeros([6, 8], np.int32)

    def keep(domain: Any, chunk: Any, parameters: Any) -> None:
        kept[domain.index_exp] = chunk

    both = ts.virtual_chunked(
        lambda domain, chunk, parameters: chunk.__setitem__(..., kept[domain.index_exp]),
        keep,
        dtype=ts.int32,
        shape=[6, 8],
    )
    both[2:4, 1] = 5
    tell(kept, both.mode)


@program
def json_documents(ts: Any, folder: Path, tell: Tell) -> None:
    kv = ts.KvStore.open(f"file://{folder}/").result()
    kv["settings.json"] = b'{"a": {"b": [1, 2, {"c": null}]}}'
    spec = {"driver": "json", "kvstore": f"file://{folder}/settings.json"}
    whole = ts.open(spec).result()
    tell(whole.read().result(), whole.domain, whole.dtype)
    inner = ts.open({**spec, "json_pointer": "/a/b/2/c"}).result()
    tell(inner.read().result())
    inner.write({"new": True}).result()
    tell(kv["settings.json"], inner.spec().to_json()["json_pointer"])


@program
def key_value_stores(ts: Any, folder: Path, tell: Tell) -> None:
    kv = ts.KvStore.open(f"file://{folder}/kv/").result()
    for key in ("a", "b/c", "b/d"):
        kv[key] = key.encode()
    tell(sorted(kv.list().result()), kv["a"], "b/c" in kv, "nothing" in kv)
    tell(sorted(kv.list(ts.KvStore.KeyRange(b"b/", b"b0"), strip_prefix_length=2).result()))
    found = kv.read("a").result()
    tell(found.state, found.value, found.stamp.generation == kv.read("a").result().stamp.generation)
    tell(kv.read("none").result().state, kv.read("b/c", byte_range=slice(1, 3)).result().value)
    lost = kv.write("a", b"2", if_equal=b"wrong").result()
    tell(lost.generation, kv["a"])
    tell(kv.write("a", b"3", if_equal=found.stamp.generation).result().generation != b"", kv["a"])
    below = kv / "b"
    tell(sorted(below.list().result()), sorted((kv + "b/").list().result()), below.path[-5:])
    kv.delete_range(ts.KvStore.KeyRange("b/", "b/d")).result()
    del kv["a"]
    tell(kv.list().result(), kv.spec().to_json()["driver"], str(kv.url)[:7])
    try:
        kv["a"]
    except KeyError:
        tell("no such key")


@program
def transactions(ts: Any, folder: Path, tell: Tell) -> None:
    store = ts.open(
        {"driver": "zarr3", "kvstore": "memory://"}, create=True, dtype="int32", shape=[6]
    ).result()
    transaction = ts.Transaction(atomic=False)
    inside = store.with_transaction(transaction)
    inside[1:3] = 7
    tell(
        store.read().result(), inside.read().result(), transaction.open, inside.transaction is None
    )
    transaction.commit_async().result()
    tell(store.read().result(), transaction.open, transaction.commit_started)
    other = ts.Transaction(atomic=False)
    store.with_transaction(other)[...] = 1
    other.abort()
    tell(store.read().result(), other.aborted)
    with ts.Transaction(atomic=False) as last:
        store.with_transaction(last)[0] = 3
    tell(store.read().result())


@program
async def coroutines(ts: Any, folder: Path, tell: Tell) -> None:
    store = await ts.open(
        {"driver": "zarr3", "kvstore": "memory://"}, create=True, dtype="int32", shape=[4, 4]
    )
    await store.write(1)
    await asyncio.gather(*(store[i].write(i) for i in range(4)))
    rows = await asyncio.gather(*(store[i].read() for i in range(4)))
    tell(rows, await asyncio.wait_for(store.read(), 30))
    writing = store[0].write(9)
    await writing.copy
    await writing.commit
    with ts.Batch() as batch:
        reads = [store[i].read(batch=batch) for i in (0, 2)]
    tell([await read for read in reads])
    promise, future = ts.Promise.new()
    promise.set_result(3)
    tell(await future, future.done(), future.result())
    cancelled = ts.Promise.new()[1]
    tell(cancelled.cancel(), cancelled.cancelled())


@program
def index_space(ts: Any, folder: Path, tell: Tell) -> None:
    domain = ts.IndexDomain(inclusive_min=[1, 2], exclusive_max=[4, 9], labels=["x", "y"])
    tell(domain, domain["y"], domain.size, domain.index_exp, domain.labels, list(domain))
    tell(domain.intersect(ts.IndexDomain(shape=[3, 3])), domain.hull(ts.IndexDomain(shape=[5, 5])))
    transform = ts.IndexTransform(domain)
    moved = transform[ts.d["x"].translate_by[5]][ts.d["y"][2:8:2]]
    tell(moved, moved.output[1].stride, moved([6, 1]), moved.to_json(), moved.domain)
    tell(
        ts.IndexTransform(json=moved.to_json()) == moved, pickle.loads(pickle.dumps(moved)) == moved
    )
    tell(moved[:, [1, 2, 1]].domain, transform.T.domain, transform.translate_to[0].domain)
    tell(
        ts.Dim(5).hull(ts.Dim(inclusive_min=3, exclusive_max=9)), ts.Dim(label="x"), 4 in ts.Dim(5)
    )
    tell(ts.d["x", 1:3, -1], ts.d[0, 1].label["a", "b"].translate_by[3], ts.newaxis, ts.inf)


#: Reprs here are Python; their text is TensorStore's.
TEXTS = ("IndexDomain", "IndexTransform", "Dim", "OutputIndexMap")
#: Addresses, and the members that contradict each other, which ours names.
VARYING = re.compile(
    r"0x[0-9a-f]+|; member [^:]+ contradicts [^:]+: make them agree, or leave one out"
)


def shown(value: Any, folder: Path) -> Any:
    """A value as it can be compared."""
    if type(value).__name__ in TEXTS:
        text = str(value).rstrip()
    elif isinstance(value, np.ndarray):
        return (str(value.dtype), value.shape, value.tolist())
    elif isinstance(value, (list, tuple)):
        return [shown(each, folder) for each in value]
    elif isinstance(value, dict):
        return {name: shown(each, folder) for name, each in value.items()}
    else:
        text = repr(value)
    return VARYING.sub("", text.replace(str(folder), "FOLDER"))


def told(library: Any, name: str, folder: Path) -> list[Any]:
    folder.mkdir()
    lines: list[Any] = []
    run = PROGRAMS[name](
        library, folder, lambda *seen: lines.extend(shown(x, folder) for x in seen)
    )
    if asyncio.iscoroutine(run):
        asyncio.run(run)
    return lines


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_tell_the_same(name: str, tmp_path: Path) -> None:
    ours = told(asynctensor, name, tmp_path / "ours")
    theirs = told(tensorstore, name, tmp_path / "theirs")
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == other
