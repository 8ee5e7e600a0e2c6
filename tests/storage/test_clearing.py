"""What is created takes the place of an array, not that of everything around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import asynctensor as ts
from asynctensor.errors import FailedPrecondition

NEW = {"dtype": "int8", "shape": [2], "create": True, "delete_existing": True}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with a file in it, and below it the current one with another."""
    here = tmp_path / "home" / "here"
    here.mkdir(parents=True)
    (here / "mine").write_text("mine")
    (tmp_path / "home" / "mine").write_text("mine")
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def _stack(path: str) -> dict[str, Any]:
    return {"driver": "kvstack", "layers": [{"base": {"driver": "file", "path": path}}]}


@pytest.mark.parametrize("driver", ["zarr", "zarr3", "n5"])
@pytest.mark.parametrize("where", ["", "./", "../", "../../", "../here/", "home", "link"])
@pytest.mark.parametrize("layered", [False, True])
async def test_arrays(home: Path, driver: str, where: str, layered: bool) -> None:
    if where == "home":
        where = f"{home}/"
    if where == "link":
        link = home.parent / "link"
        link.symlink_to(home)
        where = f"{link}/here/"
    kvstore = _stack(where) if layered else {"driver": "file", "path": where}
    with pytest.raises(FailedPrecondition, match="would be deleted") as caught:
        await ts.open({"driver": driver, "kvstore": kvstore}, **NEW)
    assert "directory" in str(caught.value)
    assert [p.name for p in (home / "here").iterdir()] == ["mine"]
    assert (home / "mine").exists()


async def test_in_a_transaction(home: Path) -> None:
    transaction = ts.Transaction(atomic=False)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": ""}}
    with pytest.raises(FailedPrecondition, match="the current directory"):
        await ts.open(spec, transaction=transaction, **NEW)
    transaction.abort()
    assert (home / "here" / "mine").exists()


async def test_groups(home: Path) -> None:
    with pytest.raises(FailedPrecondition, match="the current directory"):
        await ts.create_group({"driver": "file", "path": "./"}, delete_existing=True)
    assert (home / "here" / "mine").exists()


async def test_a_path_of_its_own(home: Path) -> None:
    other = home / "here" / "array"
    other.mkdir()
    (other / "old").write_text("old")
    beside = home / "here2"
    beside.mkdir()
    (beside / "old").write_text("old")
    for path in ("array/", "../here2/"):
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}
        await ts.open(spec, **NEW)
    assert [p.name for p in other.iterdir()] == ["zarr.json"]
    assert [p.name for p in beside.iterdir()] == ["zarr.json"]
    assert (home / "here" / "mine").exists()


async def test_deleting_keys_by_hand_is_not_limited(home: Path) -> None:
    store = await ts.KvStore.open({"driver": "file", "path": "./"})
    await store.delete_range(ts.KvStore.KeyRange())
    assert list((home / "here").iterdir()) == []
    assert (home / "mine").exists()
