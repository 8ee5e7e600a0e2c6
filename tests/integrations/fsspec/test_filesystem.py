"""Our kvstores as a file system of fsspec: its own tests, and ours."""

from __future__ import annotations

import datetime as dt
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

import asynctensor as at
from asynctensor.errors import Aborted, FailedPrecondition, InvalidArgument
from asynctensor.integrations.fsspec import AsynctensorFileSystem, kvstore
from tests.servers.process import ROOT


class OurFixtures(AbstractFixtures):
    @pytest.fixture
    def fs(self) -> Any:
        return AsynctensorFileSystem({"driver": "memory"}, context=at.Context())

    @pytest.fixture
    def local_fs(self) -> Any:
        return LocalFileSystem(auto_mkdir=True)

    @pytest.fixture
    def fs_path(self) -> str:
        # fsspec copies into a folder from where paths have a "/" only.
        return "folder"

    @pytest.fixture
    def fs_join(self) -> Any:
        return lambda *parts: "/".join(part for part in parts if part)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(AbstractCopyTests, OurFixtures):
    pass


class TestGet(AbstractGetTests, OurFixtures):
    pass


class TestOpen(AbstractOpenTests, OurFixtures):
    pass


class TestPipe(AbstractPipeTests, OurFixtures):
    pass


class TestPut(AbstractPutTests, OurFixtures):
    pass


@pytest.fixture
def files() -> AsynctensorFileSystem:
    return AsynctensorFileSystem({"driver": "memory"}, context=at.Context())


def test_parts_are_cut_as_slices_are(files: AsynctensorFileSystem) -> None:
    files.pipe_file("a/k", b"01234")
    ends = (None, 0, 2, 5, 9, -1, -3, -9)
    for start in ends:
        for end in ends:
            assert files.cat_file("a/k", start, end) == b"01234"[start:end], (start, end)
    assert files.cat_ranges(["a/k", "a/k"], [0, 3], [2, 5]) == [b"01", b"34"]
    with pytest.raises(FileNotFoundError):
        files.cat_file("a")
    with pytest.raises(FileNotFoundError):
        files.cat_file("a/none", 0, 5)


def test_looking(files: AsynctensorFileSystem) -> None:
    for name in ("a/b/c", "a/d", "e"):
        files.pipe_file(name, name.encode())
    assert files.ls("", detail=False) == ["a", "e"]
    assert files.ls("asynctensor://a/", detail=False) == ["a/b", "a/d"]
    assert files.find("") == ["a/b/c", "a/d", "e"]
    assert files.find("a", withdirs=True) == ["a", "a/b", "a/b/c", "a/d"]
    assert files.glob("**/c") == ["a/b/c"]
    assert [files.isdir(each) for each in ("a", "a/d", "none")] == [True, False, False]
    assert files.info("a/b/c")["size"] == 5
    assert files.info("a/b/c")["generation"] != files.info("a/d")["generation"]
    assert files.du("a") == 8
    with pytest.raises(FileNotFoundError):
        files.ls("none")
    files.rm("a", recursive=True)
    assert files.find("") == ["e"]
    with pytest.raises(FileNotFoundError):
        files.rm_file("none")


def test_files(files: AsynctensorFileSystem) -> None:
    with files.open("k", "wb") as file:
        file.write(b"one ")
        assert not files.exists("k")
        file.write(b"two")
    with files.open("k", "ab") as file:
        file.write(b" three")
    with files.open("k", "rb") as file:
        file.seek(4)
        assert file.read(3) == b"two"
    with files.open("k", "rt") as text:
        assert text.read() == "one two three"
    with pytest.raises(FileExistsError), files.open("k", "xb") as file:
        file.write(b"no")
    with pytest.raises(FileExistsError):
        files.pipe_file("k", b"no", mode="create")
    assert files.cat_file("k") == b"one two three"


def test_states_of_a_repository(tmp_path: Path) -> None:
    repo = at.Repository.open(tmp_path, create=True).result()
    with repo.transaction(message="by fsspec") as txn:
        staged = fsspec.filesystem("asynctensor", kvstore=repo, transaction=txn)
        staged.pipe({"a/x": b"1", "a/y": b"2"})
        assert staged.ls("a", detail=False) == ["a/x", "a/y"]
        assert AsynctensorFileSystem(repo).find("") == []
    repo.create_tag("one").result()
    now = fsspec.filesystem("asynctensor", kvstore=tmp_path.as_uri(), branch="main")
    now.pipe_file("a/x", b"new")
    old = fsspec.filesystem("asynctensor", kvstore=tmp_path.as_uri(), tag="one")
    assert (old.cat_file("a/x"), now.cat_file("a/x")) == (b"1", b"new")
    with pytest.raises(ValueError, match="never changes; open a branch"):
        old.pipe_file("a/x", b"no")
    assert pickle.loads(pickle.dumps(old)).cat_file("a/x") == b"1"
    with fsspec.open("asynctensor://a/x", kvstore=repo, tag="one") as file:
        assert file.read() == b"1"


THERE = """
import sys
from fsspec.json import FilesystemJSONDecoder
for text in sys.argv[1:]:
    files = FilesystemJSONDecoder().decode(text)
    print(files.cat_file("a/x").decode(), files.__dask_tokenize__() == text)
"""


def test_json_opens_the_same_elsewhere(tmp_path: Path) -> None:
    repo = at.Repository.open(tmp_path / "lab", create=True).result()
    repo.kvstore().write("a/x", b"old").result()
    repo.create_tag("one").result()
    repo.kvstore().write("a/x", b"new").result()
    plain = AsynctensorFileSystem(tmp_path / "plain", context=at.Context())
    plain.pipe_file("a/x", b"old")
    texts = []
    for files in (
        AsynctensorFileSystem(repo, tag="one"),
        AsynctensorFileSystem(repo.kvstore(tag="one")),
        AsynctensorFileSystem((tmp_path / "lab").as_uri(), tag="one"),
        plain,
    ):
        texts.append(files.to_json())
        again = fsspec.AbstractFileSystem.from_json(texts[-1])
        assert isinstance(again, AsynctensorFileSystem)
        assert again == files
        assert hash(again) == hash(files)
        assert again.to_dict() == files.to_dict() == json.loads(texts[-1])
        assert again.cat_file("a/x") == b"old"
    done = subprocess.run(
        [sys.executable, "-c", THERE, *texts], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["old", "True"] * len(texts)


def test_json_and_pickles_keep_options_and_no_secrets(tmp_path: Path) -> None:
    store = {
        "driver": "s3", "bucket": "bucket", "endpoint": "http://127.0.0.1:1",
        "aws_credentials": {
            "type": "static", "access_key_id": "somebody", "secret_access_key": "hidden",
        },
    }  # fmt: skip
    files = AsynctensorFileSystem(store, asynchronous=True, batch_size=3)
    for include in (True, False):
        assert "hidden" not in files.to_json(include_password=include)
    kept = AsynctensorFileSystem(tmp_path, asynchronous=True, batch_size=3)
    for again in (
        fsspec.AbstractFileSystem.from_json(kept.to_json()),
        pickle.loads(pickle.dumps(kept)),
    ):
        assert (again.asynchronous, again.batch_size) == (True, 3)


def test_two_memories_are_two_file_systems() -> None:
    """Their arguments look the same: what keeps one by its text would mix them up."""
    one, other = (AsynctensorFileSystem("memory://", context=at.Context()) for _ in range(2))
    assert one != other
    assert one == AsynctensorFileSystem(one.kvstore)
    one.pipe_file("k", b"1")
    other.pipe_file("k", b"2")
    stores = [kvstore(files).store for files in (one, other)]
    assert stores[0].identity != stores[1].identity


def test_a_file_system_in_a_transaction_stays_here(tmp_path: Path) -> None:
    repo = at.Repository.open(tmp_path, create=True).result()
    with repo.transaction() as txn:
        files = AsynctensorFileSystem(repo, transaction=txn)
        assert files != AsynctensorFileSystem(repo)
        for text in (files.to_json, files.to_dict, lambda: pickle.dumps(files)):
            with pytest.raises(FailedPrecondition, match="in this process"):
                text()


def test_wrong_arguments() -> None:
    with pytest.raises(InvalidArgument, match="say which kvstore"):
        fsspec.filesystem("asynctensor")
    with pytest.raises(InvalidArgument):
        AsynctensorFileSystem("nowhere://a")
    files = AsynctensorFileSystem({"driver": "memory"}, context=at.Context())
    with pytest.raises(NotImplementedError, match="reading or writing"):
        files.open("k", "r+b")


@pytest.mark.parametrize("opened", [False, True])
def test_a_time_without_zone_is_refused_whatever_is_given(tmp_path: Path, opened: bool) -> None:
    repo = at.Repository.open(tmp_path, create=True).result()
    repo.kvstore()["a"] = b"1"
    given = repo if opened else tmp_path
    with pytest.raises(InvalidArgument, match="no time zone"):
        AsynctensorFileSystem(given, as_of=dt.datetime(2999, 1, 1))  # noqa: DTZ001
    later = dt.datetime(2999, 1, 1, tzinfo=dt.UTC)
    assert AsynctensorFileSystem(given, as_of=later).cat_file("a") == b"1"


def test_who_appends_undoes_nothing_that_others_wrote_meanwhile() -> None:
    files = AsynctensorFileSystem({"driver": "memory"}, context=at.Context())
    for there in (b"", b"first "):
        files.pipe_file("a", there) if there else None
        with files.open("a", "ab") as file:
            file.write(b"more")
        assert files.cat_file("a") == there + b"more"
        late = files.open("a", "ab", block_size=2)
        late.write(b"too late")
        files.pipe_file("a", b"others")
        with pytest.raises(Aborted, match="changed by others"):
            late.close()
        assert files.cat_file("a") == b"others"
