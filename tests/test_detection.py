"""Finding out the format: TensorStore's `auto`, and errors that help."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import tensorstore

import asynctensor as ts
from asynctensor.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound
from asynctensor.registry import REGISTRY, containers, file_formats, markers


def _zip(names: dict[str, bytes], comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.comment = comment
        for name, value in names.items():
            file.writestr(name, value)
    return buffer.getvalue()


class World:
    """A context of one library with arrays, groups and files of all kinds in its memory."""

    def __init__(self, module: Any) -> None:
        self.module, self.context = module, module.Context()
        self.kvstore = module.KvStore.open("memory://", context=self.context).result()
        for path, driver in [
            ("z3/", "zarr3"), ("z2/", "zarr"), ("n5/", "n5"), ("both/", "zarr"), ("both/", "zarr3"),
            ("group/a/b/", "zarr3"), ("group/c/", "zarr3"), ("old/x/", "zarr"),
        ]:  # fmt: skip
            spec = {"driver": driver, "kvstore": f"memory://{path}"}
            self.open(spec, create=True, dtype="int32", shape=[3])
        kvstore = self.kvstore
        array = {
            key.decode()[3:]: kvstore[key]
            for key in kvstore.list(module.KvStore.KeyRange("z3/", "z30")).result()
        }
        root = _zip(array, b"c" * 1000)
        for key, value in {
            "group/zarr.json": '{"zarr_format":3,"node_type":"group"}', "old/.zgroup": "{}",
            "a.json": '{"x":1}', "empty": "", "noise": b"\x89abc", "dir/x": "1",
            "c.zip": _zip({f"z3/{k}": v for k, v in array.items()}), "root.zip": root,
            "nest.zip": _zip({"q.zip": root}), "z3.file": root[:-1],
        }.items():  # fmt: skip
            kvstore[key] = value

    def open(self, spec: Any, **options: Any) -> Any:
        return self.module.open(spec, context=self.context, **options).result()


@pytest.fixture(scope="module")
def mine() -> World:
    return World(ts)


@pytest.fixture(scope="module")
def theirs() -> World:
    return World(tensorstore)


@pytest.mark.parametrize(
    "url",
    [
        "z3", "z3/", "z2", "z2/", "n5", "n5/", "both/", "both", "group/", "group/c", "old", "old/x",
        "a.json", "empty", "noise", "dir/", "", "nothing", "nothing/", "c.zip", "c.zip|zip:",
        "c.zip|zip:z3", "c.zip|zip:z3/|auto:", "z3|auto", "z3|auto:foo", "z3/zarr.json", "z3.file",
        "n5/|auto:|auto:", "c.zip|zip:nothing", "a.json|zip:",
    ],
)  # fmt: skip
def test_the_same_is_found_as_in_tensorstore(url: str, mine: World, theirs: World) -> None:
    url = f"memory://{url}"
    try:
        expected = theirs.open(url).spec()
    except ValueError:
        with pytest.raises(ValueError):
            mine.open(url)
        return
    found = mine.open(url).spec()
    assert found.to_json()["driver"] == expected.to_json()["driver"]
    assert found.kvstore.to_json() == expected.kvstore.to_json()
    assert found.url == expected.url


@pytest.mark.parametrize("url", ["root.zip", "nest.zip|zip:q.zip", "nest.zip|zip:q.zip|auto:"])
def test_arrays_that_are_whole_zip_files(url: str, mine: World) -> None:
    array = mine.open(f"memory://{url}")
    assert array.url == f"memory://{url.removesuffix('|auto:')}|zip:|zarr3:"
    assert array.read().result().tolist() == [0, 0, 0]
    again = ts.open(array.spec(), context=mine.context).result()
    assert again.spec() == array.spec()


def test_specs_are_tensorstores() -> None:
    json = {"driver": "auto", "kvstore": "memory://a", "cache_pool": {"total_bytes_limit": 4}}
    for spec in ("memory://a", "memory://a|auto", json):
        assert ts.Spec(spec).to_json() == tensorstore.Spec(spec).to_json()
        assert ts.Spec(spec).url == tensorstore.Spec(spec).url == "memory://a|auto:"


@pytest.mark.parametrize(
    ("url", "error", "text"),
    [
        ("both/", FailedPrecondition, r"Multiple possible formats detected: \{zarr2, zarr3\}"),
        ("group/", FailedPrecondition, "group.*below this place: 'a/b', 'c'"),
        ("old", FailedPrecondition, "Failed to detect format: arrays below this place: 'x'"),
        ("c.zip", FailedPrecondition, "below this place: 'z3'"),
        ("a.json", FailedPrecondition, "the file is of none that is known"),
        ("dir/", FailedPrecondition, "none of the keys here"),
        ("nothing", NotFound, "nothing is here"),
        ("a.json|zip:", DataLoss, "no valid zip file"),
    ],
)
def test_errors_tell_what_is_there(
    url: str, error: type[Exception], text: str, mine: World
) -> None:
    with pytest.raises(error, match=text) as caught:
        mine.open(f"memory://{url}")
    assert "memory" in str(caught.value)


def test_many_arrays_below_are_not_all_named() -> None:
    context = ts.Context()
    kvstore = ts.KvStore.open("memory://", context=context).result()
    for number in range(30):
        kvstore[f"g/a{number:02}/zarr.json"] = "{}"
    with pytest.raises(FailedPrecondition, match="'a09' and perhaps more") as caught:
        ts.open("memory://g", context=context).result()
    assert "a10" not in str(caught.value)


def test_where_there_is_nothing_an_array_can_be_created(tmp_path: Path) -> None:
    array = ts.open(tmp_path / "new", create=True, dtype="int8", shape=[2]).result()
    assert array.url == f"file://{tmp_path}/new/|zarr3:"
    # What is there is opened.
    again = ts.open(tmp_path / "new", create=True, open=True, dtype="int8", shape=[2]).result()
    assert again.url == array.url


def test_in_a_transaction(mine: World) -> None:
    transaction = ts.Transaction()
    created = mine.open(
        "memory://staged/|zarr2:", create=True, dtype="int8", shape=[1], transaction=transaction
    )
    assert mine.open("memory://staged", transaction=transaction).spec() == created.spec()
    with pytest.raises(NotFound):
        mine.open("memory://staged")
    transaction.abort()


def test_a_spec_without_a_kvstore() -> None:
    with pytest.raises(InvalidArgument, match="kvstore"):
        ts.open({"driver": "auto"}).result()


def test_every_name_is_registered() -> None:
    for driver in (*markers().values(), *file_formats()):
        assert REGISTRY.driver(driver).driver == driver
    for name in containers():
        assert REGISTRY.kvstore(name).adapter
