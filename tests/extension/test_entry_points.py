"""What packages name in entry points is loaded when it is first asked for, and not before."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import asynctensor as ts
from asynctensor import names
from asynctensor.errors import Error, FailedPrecondition, InvalidArgument

SOURCE = """
import numpy as np
import asynctensor as ts
from asynctensor.extending import register_codec, register_driver, register_kvstore

@register_kvstore("foreign_store", scheme="foreign")
class Store:
    def read(self, key):
        return None

@register_driver("foreign_driver")
def opens(value: int):
    return ts.array(np.full(3, value))

@register_codec("foreign_codec")
class Codec:
    def encode(self, data):
        return data[::-1]
    decode = encode
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package, which nobody has imported."""
    (tmp_path / "foreign_package.py").write_text(SOURCE)
    (tmp_path / "broken_package.py").write_text("import no_such_module")
    folder = tmp_path / "foreign_package-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-package\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[asynctensor.kvstores]\nforeign_store = foreign_package:Store\n"
        "broken_store = broken_package:Store\n"
        "[asynctensor.drivers]\nforeign_driver = foreign_package:opens\n"
        "[asynctensor.codecs]\nforeign_codec = foreign_package:Codec\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(names._LOADED, "points", set())
    sys.modules.pop("foreign_package", None)
    return "foreign_package"


def test_nothing_is_loaded_for_known_names(package: str) -> None:
    ts.open("memory://|zarr3:", create=True, dtype="int8", shape=[2]).result()
    assert package not in sys.modules


def test_store(package: str) -> None:
    store = ts.KvStore.open({"driver": "foreign_store"}).result()
    assert store.read("a").result().state == "missing"


def test_scheme(package: str) -> None:
    assert ts.KvStore.open("foreign://a/").result().path == "a/"


def test_driver(package: str) -> None:
    array = ts.open({"driver": "foreign_driver", "value": 5}).result()
    assert (array.read().result() == np.full(3, 5)).all()


@pytest.mark.parametrize("driver", ["zarr3", "zarr"])
def test_codec(package: str, driver: str) -> None:
    codec = {"codecs": [{"name": "foreign_codec"}]}
    if driver == "zarr":
        codec = {"compressor": {"id": "foreign_codec"}, "filters": None}
    array = ts.open(
        {"driver": driver, "kvstore": "memory://"},
        create=True,
        dtype="int16",
        shape=[3],
        codec=ts.CodecSpec({"driver": driver, **codec}),
    ).result()
    array.write([1, 2, 3]).result()
    assert array.read().result().tolist() == [1, 2, 3]


def test_names_that_are_near(package: str) -> None:
    for spec in ({"driver": "foreign_drivers"}, {"driver": "zarr3", "kvstore": "foreign_stor://"}):
        with pytest.raises(InvalidArgument):
            ts.open(spec).result()
    with pytest.raises(InvalidArgument, match="did you mean 'foreign_driver'"):
        ts.open({"driver": "foreign_drivers"}).result()
    with pytest.raises(InvalidArgument, match="did you mean 'foreign_store'"):
        ts.KvStore.open({"driver": "foreign_stor"}).result()
    with pytest.raises(Error, match="did you mean 'foreign_codec'"):
        ts.CodecSpec({"driver": "zarr3", "codecs": [{"name": "foreign_code"}]})


def test_package_that_cannot_be_loaded(package: str) -> None:
    with pytest.raises(FailedPrecondition, match=r"broken_store.*no_such_module"):
        ts.KvStore.open({"driver": "broken_store"}).result()
