"""`ocdbt` reads what TensorStore writes, and refuses what is damaged."""

from __future__ import annotations

import pickle
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as at
from asynctensor.errors import DataLoss, Error, NotFound, OutOfRange, Unimplemented
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.ocdbt.envelope import MANIFEST, Fields, opened
from asynctensor.kvstores.ocdbt.nodes import newest_root
from asynctensor.kvstores.ocdbt.store import OcdbtStore
from asynctensor.runtime.event_loop import start

#: Databases that one refers to are opened in one context.
CONTEXT = tensorstore.Context()


def theirs(folder: Path, **config: Any) -> tensorstore.KvStore:
    """A database that TensorStore writes."""
    spec = {"driver": "ocdbt", "base": f"file://{folder}/", "config": config}
    return tensorstore.KvStore.open(spec, context=CONTEXT).result()


def ours(folder: Path) -> at.KvStore:
    return at.KvStore.open({"driver": "ocdbt", "base": f"file://{folder}/"}).result()


def all_of(kvstore: Any) -> dict[bytes, bytes]:
    """Keys in order, and their values; so of TensorStore's as of ours."""
    return {key: kvstore.read(key).result().value for key in kvstore.list().result()}


def fill(kvstore: tensorstore.KvStore, values: dict[str, bytes | None], versions: int = 3) -> None:
    """Writes values in so many commits."""
    items = list(values.items())
    for first in range(versions):
        with tensorstore.Transaction(atomic=True) as txn:
            for key, value in items[first::versions]:
                kvstore.with_transaction(txn).write(key, value).result()


CONFIGS: list[dict[str, Any]] = [
    {},
    {"compression": None},
    {"max_decoded_node_bytes": 300},
    {"max_inline_value_bytes": 0},
    {"manifest_kind": "numbered"},
    {"max_decoded_node_bytes": 200, "max_inline_value_bytes": 3, "version_tree_arity_log2": 1},
]


@pytest.mark.parametrize("config", CONFIGS)
def test_all_is_read_that_tensorstore_has_written(tmp_path: Path, config: dict[str, Any]) -> None:
    chance = np.random.default_rng(7)
    names = ["a", "ab", "b/", "b/c", "é", "x" * 300, "\U0001f9e0/日本"]
    keys = [f"{names[number % 7]}{number // 7 % 13}/{number % 5}" for number in range(120)]
    values = {key: chance.bytes(int(chance.integers(0, 200))) for key in keys}
    written = theirs(tmp_path, **config)
    fill(written, values, 7)
    fill(written, dict.fromkeys(keys[::3]), 2)
    found = all_of(ours(tmp_path))
    assert found == all_of(written)
    assert list(found) == sorted(key.encode() for key in {*keys} - {*keys[::3]})


@settings(max_examples=25)
@given(
    st.dictionaries(st.text("ab/é", max_size=6), st.binary(max_size=12), min_size=1, max_size=30),
    st.sampled_from([8, 100]),
    st.text("ab/", max_size=3),
    st.text("ab/", max_size=3),
)
def test_any_keys(tmp_path_factory, values, size, low, high) -> None:
    folder = tmp_path_factory.mktemp("database")
    written = theirs(folder, max_decoded_node_bytes=100, max_inline_value_bytes=size)
    fill(written, values)
    read = ours(folder)
    assert all_of(read) == all_of(written)
    for key in [*values, low, high, low + high]:
        assert read.read(key).result().state == written.read(key).result().state
    part = tensorstore.KvStore.KeyRange(low, high)
    found = read.list(at.KvStore.KeyRange(low, high)).result()
    assert found == sorted(written.list(part).result())


def test_later_versions_are_seen(tmp_path: Path) -> None:
    for kind in ("single", "numbered"):
        written = theirs(tmp_path / kind, manifest_kind=kind)
        read = ours(tmp_path / kind)
        assert read.list().result() == []
        for round_ in range(20):
            written.write("k", b"%d" % round_).result()
            assert read.read("k").result().value == b"%d" % round_
        written.write("k", None).result()
        assert read.read("k").result().state == "missing"


def test_one_database_in_another(tmp_path: Path) -> None:
    """As Orbax writes them: each process a database of its own, which one then refers to."""
    whole = theirs(tmp_path, max_inline_value_bytes=2)
    wanted = {}
    for process in range(3):
        part = theirs(tmp_path / f"ocdbt.process_{process}", max_inline_value_bytes=2)
        values = {f"{process}/{i}": b"%d" % (i * 37) for i in range(100)}
        fill(part, values)
        wanted |= values
        part.experimental_copy_range_to(whole).result()
    assert all_of(ours(tmp_path)) == {key.encode(): value for key, value in wanted.items()}


def test_conditions_and_parts(tmp_path: Path) -> None:
    written = theirs(tmp_path, max_inline_value_bytes=5)
    fill(written, {"inline": b"12345", "large": bytes(range(100))})
    read = ours(tmp_path)
    for key, value in (("inline", b"12345"), ("large", bytes(range(100)))):
        whole = read.read(key).result()
        assert read.read(key, byte_range=slice(1, 4)).result().value == value[1:4]
        with pytest.raises(OutOfRange):
            read.read(key, byte_range=slice(1, 400)).result()
        generation = whole.stamp.generation
        assert read.read(key, if_not_equal=generation).result().state == "unspecified"
        assert read.read(key, if_equal=generation).result().value == value
        assert read.read(key, if_equal=b"x").result().state == "unspecified"
    written.write("large", b"x" * 100).result()
    assert read.read("large", if_not_equal=generation).result().state == "value"


def test_arrays_by_spec_and_by_url(tmp_path: Path) -> None:
    base = {"driver": "file", "path": f"{tmp_path}/"}
    kvstore = {"driver": "ocdbt", "base": base, "path": "a/"}
    values = np.arange(6000, dtype="int32").reshape(60, 100)
    schema = {
        "dtype": "int32",
        "domain": {"shape": [60, 100]},
        "chunk_layout": {"chunk": {"shape": [7, 9]}},
    }
    spec = {"driver": "zarr3", "kvstore": kvstore, "schema": schema, "create": True}
    tensorstore.open(spec).result().write(values).result()
    url = f"file://{tmp_path}/|ocdbt:a/|zarr3:"
    for given_ in ({"driver": "zarr3", "kvstore": kvstore}, url):
        array = at.open(given_).result()
        assert (array.read().result() == values).all()
        assert array.spec().to_json()["kvstore"] == kvstore
        assert (pickle.loads(pickle.dumps(array))[5:9].read().result() == values[5:9]).all()
    assert array.url == url
    with pytest.raises(Unimplemented, match="only read"):
        array[0].write(1).result()


def test_nodes_are_kept_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asynctensor.kvstores.ocdbt.store._MOST_KEPT", 2000)
    written = theirs(tmp_path, max_decoded_node_bytes=200)
    fill(written, {f"{number:03}": b"x" * 20 for number in range(100)})
    read = ours(tmp_path)
    assert all_of(read) == all_of(written)
    store = read.store
    assert isinstance(store, OcdbtStore)
    assert store._kept == sum(node.size for node in store._nodes.values()) <= 2000


def test_nothing_is_written(tmp_path: Path) -> None:
    read = ours(tmp_path)
    for call in (
        read.write("k", b""),
        read.write("k", None),
        read.delete_range(at.KvStore.KeyRange()),
    ):
        with pytest.raises(Unimplemented, match="only read"):
            call.result()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFound):
        at.open(f"file://{tmp_path}/|ocdbt:|zarr3:").result()


def test_what_is_damaged_is_noticed(tmp_path: Path) -> None:
    """Each byte of the manifest and of the nodes, changed; and all of them cut off."""
    written = theirs(tmp_path, max_inline_value_bytes=100)
    fill(written, {f"{number}": b"value %d" % number for number in range(20)}, 1)
    files = [tmp_path / "manifest.ocdbt", *(tmp_path / "d").iterdir()]
    wanted = all_of(ours(tmp_path))
    for file in files:
        data = file.read_bytes()
        for at_ in range(0, len(data), 3):
            for changed in (data[:at_] + bytes([data[at_] ^ 0x55]) + data[at_ + 1 :], data[:at_]):
                file.write_bytes(changed)
                # Bytes that no node of the newest version has change nothing.
                with suppress(DataLoss, Unimplemented):
                    assert all_of(ours(tmp_path)) == wanted
        file.write_bytes(data)
    files[-1].unlink()
    with pytest.raises(DataLoss, match="is missing"):
        ours(tmp_path).read("1").result()


def made(body: bytes, magic: int = MANIFEST, version: bytes = b"\0\0") -> bytes:
    """An envelope around a body, as it should be."""
    head = struct.pack(">IQ", magic, 0)[:4]
    whole = head + struct.pack("<Q", 4 + 8 + len(version) + len(body) + 4) + version + body
    return whole + struct.pack("<I", google_crc32c.value(whole))


CONFIG = bytes(16) + b"\0\0\0\4\0"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (made(CONFIG, version=b"\1\0"), Unimplemented),
        (made(CONFIG, version=b"\0\2"), Unimplemented),
        (made(CONFIG, version=b"\0\1"), DataLoss),
        (made(CONFIG, magic=1), DataLoss),
        (made(CONFIG), DataLoss),
        (made(b""), DataLoss),
        # A billion files, in ten bytes.
        (made(CONFIG + b"\x80\x94\xeb\xdc\x03" + bytes(5)), DataLoss),
        # A number that does not end, and one of more than 64 bits.
        (made(bytes(16) + b"\xff" * 30), DataLoss),
        (made(CONFIG + b"\0\0"), DataLoss),
        (made(bytes(16) + b"\2\0\0\4\0"), DataLoss),
        (made(bytes(16) + b"\1\0\0\4\0more"), DataLoss),
    ],
)
def test_manifests_that_are_none(data: bytes, error: type[Error]) -> None:
    with pytest.raises(error):
        newest_root(data)


@given(st.binary(max_size=60))
def test_any_bytes(body: bytes) -> None:
    for data in (body, made(body), made(CONFIG + body)):
        try:
            newest_root(data)
        except (DataLoss, Unimplemented):
            continue


@pytest.mark.parametrize("path", [b"../secret", b"/etc/x", b"d/../../x", b"d/./x"])
async def test_no_path_leads_out_of_the_database(path: bytes) -> None:
    files = b"\1" + bytes([len(path)]) + b"\0" + path
    versions = b"\1\1\0\0\0\x20\1\1\0" + bytes(8)
    base = MemoryStore()
    await start(base.write, "manifest.ocdbt", made(CONFIG + files + versions))
    with pytest.raises(DataLoss, match="leads out of the database"):
        await start(OcdbtStore(base, "").read, "k")


def test_a_body_that_is_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    import zstandard

    monkeypatch.setattr("asynctensor.kvstores.ocdbt.envelope.MAX_BODY", 1000)
    bomb = zstandard.compress(bytes(1001))
    with pytest.raises(Error, match="decompresses to more"):
        opened(MANIFEST, made(bomb, version=b"\0\1"))
    assert isinstance(opened(MANIFEST, made(zstandard.compress(b"1"), version=b"\0\1")), Fields)
