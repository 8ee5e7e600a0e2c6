"""Keys and links that try to leave the root of `file`, and names that are its own."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from asynctensor.errors import FailedPrecondition, InvalidArgument
from asynctensor.kvstores.file.file_system import DIRECTORY, READ, FileSystem
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileFace, FileStore, split_path
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ReadOptions, Replacement
from asynctensor.testing.kvstore_calls import read, write

HOSTILE = [
    "", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", ".", "./a", "a/.", "a//b", "a/",
    "//",
    "nul\0", "a/\0", "k.__lock", "a/k.__lock/b", ".__lock", ".new-0123456789abcdef",
    ".new-0123456789abcdef.__lock", "a/.new-0123456789abcdef/b",
]  # fmt: skip


class PortableFileSystem(FileSystem):
    """One that has to check each component by itself."""

    def __init__(self) -> None:
        super().__init__()
        self._syscall = None


@pytest.fixture(params=[FileSystem, PortableFileSystem])
def face(request: pytest.FixtureRequest, tmp_path: Path) -> FileFace:
    root = tmp_path / "root"
    root.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    return FileFace(str(root), FileOptions(sync=False), request.param())


def outcome_of(face: FileFace, key: str, value: bytes | None = b"x") -> object:
    return face.replace([Replacement(key, value)])[0]


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_are_refused(face: FileFace, tmp_path: Path, key: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidArgument):
        face.open(key)
    with pytest.raises(InvalidArgument):
        face.generation(key)
    for value in (b"x", None):
        assert isinstance(outcome_of(face, key, value), InvalidArgument)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("prefix", ["../", "/etc/", "a/../../", "\0/", "..", "/"])
def test_hostile_ranges_hold_nothing(face: FileFace, tmp_path: Path, prefix: str) -> None:
    outcome_of(face, "k")
    assert list(face.walk(KeyRange.prefix(prefix))) == []
    list(face.remove(KeyRange.prefix(prefix)))
    assert (tmp_path / "outside" / "secret").exists()
    assert [entry.key for entry in face.walk(KeyRange())] == ["k"]


def test_keys_that_are_too_long(face: FileFace) -> None:
    for key in ("k" * 256, "/".join(["k" * 250] * 20)):
        with pytest.raises(InvalidArgument):
            face.open(key)
        assert isinstance(outcome_of(face, key), InvalidArgument)
    assert list(face.walk(KeyRange())) == []


def test_links_to_the_outside_are_refused(face: FileFace, tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "file").symlink_to(outside / "secret")
    (root / "folder").symlink_to(outside)
    (root / "relative").symlink_to("../outside")
    (root / "hops").symlink_to("folder")
    for key in ("file", "folder/secret", "relative/secret", "hops/secret"):
        with pytest.raises(InvalidArgument, match="symbolic link"):
            face.open(key)
        with pytest.raises(InvalidArgument, match="symbolic link"):
            face.generation(key)
    for key in ("folder/new", "relative/new", "hops/deep/new", "folder/secret"):
        for value in (b"x", None):
            assert isinstance(outcome_of(face, key, value), InvalidArgument)
    for prefix in ("folder/", "relative/"):
        with pytest.raises(InvalidArgument):
            list(face.walk(KeyRange.prefix(prefix)))
        with pytest.raises(InvalidArgument):
            list(face.remove(KeyRange.prefix(prefix)))
    assert list(face.walk(KeyRange())) == []
    list(face.remove(KeyRange()))
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"


def test_writing_never_goes_through_a_link(face: FileFace, tmp_path: Path) -> None:
    secret = tmp_path / "outside" / "secret"
    for name in ("k", "k.__lock"):
        (tmp_path / "root" / name).symlink_to(secret)
    assert isinstance(outcome_of(face, "k"), InvalidArgument)
    (tmp_path / "root" / "k.__lock").unlink()
    assert isinstance(outcome_of(face, "k"), InvalidArgument)
    (tmp_path / "root" / "k").unlink()
    assert not isinstance(outcome_of(face, "k"), Exception)
    assert secret.read_bytes() == b"secret"


def test_links_inside_the_root_work(face: FileFace, tmp_path: Path) -> None:
    root = tmp_path / "root"
    outcome_of(face, "real/k", b"value")
    (root / "link").symlink_to("real")
    (root / "absolute").symlink_to(root / "real")
    (root / "file").symlink_to("real/k")
    for key in ("link/k", "absolute/k", "file"):
        assert face.read(key, ReadOptions()).value == b"value"
        assert face.generation(key) == face.generation("real/k")
    assert not isinstance(outcome_of(face, "link/new", b"new"), Exception)
    assert face.read("real/new", ReadOptions()).value == b"new"
    # Each value once, and links to files as well.
    assert sorted(entry.key for entry in face.walk(KeyRange())) == ["file", "real/k", "real/new"]
    assert sorted(entry.key for entry in face.walk(KeyRange.prefix("link/"))) == [
        "link/k",
        "link/new",
    ]


def test_a_link_in_a_circle(face: FileFace, tmp_path: Path) -> None:
    (tmp_path / "root" / "loop").symlink_to("loop")
    (tmp_path / "root" / "up").symlink_to(".")
    outcome_of(face, "k")
    with pytest.raises(InvalidArgument):
        face.open("loop/k")
    assert face.read("up/up/k", ReadOptions()).value == b"x"
    assert [entry.key for entry in face.walk(KeyRange())] == ["k"]


def test_a_root_that_is_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    link = tmp_path / "link"
    link.symlink_to("one")
    face = FileFace(str(link / "root"), FileOptions(sync=False), FileSystem())
    outcome_of(face, "k", b"one")
    assert (tmp_path / "one" / "root" / "k").read_bytes() == b"one"


def test_what_is_no_file_is_no_value(face: FileFace, tmp_path: Path) -> None:
    root = tmp_path / "root"
    outcome_of(face, "folder/k")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        here = Path.cwd()
        os.chdir(root)
        try:
            unix.bind("socket")
        finally:
            os.chdir(here)
        for key in ("folder", "fifo", "socket", "folder/k/below"):
            assert face.open(key) is None
            assert face.generation(key) == NO_VALUE
    assert [entry.key for entry in face.walk(KeyRange())] == ["folder/k"]


def test_directories_and_keys_do_not_mix(face: FileFace) -> None:
    outcome_of(face, "folder/k")
    for value in (b"x", None):
        error = outcome_of(face, "folder", value)
        assert isinstance(error, FailedPrecondition)
        assert "'folder/'" in str(error)
    assert isinstance(face.replace([Replacement("folder", b"x", NO_VALUE)])[0], FailedPrecondition)
    assert isinstance(outcome_of(face, "folder/k/below"), FailedPrecondition)
    assert not isinstance(outcome_of(face, "folder/k/below", None), Exception)
    assert face.read("folder/k", ReadOptions()).value == b"x"


def test_open_no_links_names_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for file_system in (FileSystem(), PortableFileSystem()):
        with pytest.raises(FileNotFoundError):
            file_system.open_no_links(str(tmp_path / "none" / "x"), READ)
        with pytest.raises(NotADirectoryError):
            file_system.open_no_links(str(tmp_path / "file" / "x"), READ)
        with pytest.raises(NotADirectoryError):
            file_system.open_no_links(str(tmp_path / "file"), DIRECTORY)


def test_a_foreign_lock_file_is_not_listed(face: FileFace, tmp_path: Path) -> None:
    (tmp_path / "root" / "k.__lock").write_bytes(b"left by a crash")
    assert list(face.walk(KeyRange())) == []
    outcome_of(face, "k", b"v")
    assert face.read("k", ReadOptions()).value == b"v"
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["k"]


def test_a_lock_file_that_is_also_the_value(face: FileFace, tmp_path: Path) -> None:
    """As a crash in the middle of a rename leaves it on simple file systems."""
    outcome_of(face, "k", b"old value")
    root = tmp_path / "root"
    os.link(root / "k", root / "k.__lock")
    opened = face.open("k")
    assert opened is not None
    outcome_of(face, "k", b"new value")
    buffer = bytearray(9)
    opened.read_into(memoryview(buffer), 0)
    opened.close()
    assert buffer == b"old value"
    assert face.read("k", ReadOptions()).value == b"new value"


def test_names_that_are_no_unicode(face: FileFace, tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path / "root") + b"/\xff\xfe")).write_bytes(b"value")
    (entry,) = face.walk(KeyRange())
    assert os.fsencode(entry.key) == b"\xff\xfe"
    assert face.read(entry.key, ReadOptions()).value == b"value"


async def test_paths_of_specs(tmp_path: Path) -> None:
    assert split_path("/data/x/") == ("/data/x/", "")
    assert split_path("/data/x") == ("/data/", "x")
    assert split_path("x") == ("", "x")
    store = FileStore(str(tmp_path))
    assert store.spec_json("a/") == {"driver": "file", "path": f"{tmp_path}/a/"}
    await write(store, "a/k", b"1")
    assert (await read(FileStore(str(tmp_path / "a")), "k")).value == b"1"
    moved, path = store.at(f"{tmp_path.parent}/{tmp_path.name}x")
    assert (moved.spec_json(path)["path"], path) == (f"{tmp_path}x", f"{tmp_path.name}x")
    assert store.identity == FileStore(f"{tmp_path}/").identity != moved.identity


@pytest.mark.parametrize(
    ("locking", "timeout"), [("flock", 60.0), ("os", -1.0), ("os", float("nan"))]
)
def test_wrong_options(locking: str, timeout: float) -> None:
    with pytest.raises(InvalidArgument):
        FileOptions(locking=locking, acquire_timeout_s=timeout)  # type: ignore[arg-type]
