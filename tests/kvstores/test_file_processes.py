"""Several processes on one `file` store, TensorStore's among them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.options import FileOptions, LockingMode
from asynctensor.kvstores.file.store import FileFace
from asynctensor.storage.generation import UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ReadOptions, Replacement

INCREMENTS = 40
PROCESSES = 3

COUNT = """
import sys
from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileFace
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.kvstore import ReadOptions, Replacement

root, mode, number = sys.argv[1:]
face = FileFace(root, FileOptions(sync=False, locking=mode), FileSystem())
won = 0
for i in range({increments}):
    (created,) = face.replace([Replacement(f"turn/{{i}}", number.encode(), NO_VALUE)])
    won += created.generation != UNKNOWN
    while True:
        found = face.read("n", ReadOptions())
        value = b"%d" % (int(found.value or b"0") + 1)
        (stamp,) = face.replace([Replacement("n", value, found.stamp.generation)])
        if isinstance(stamp, Exception):
            raise stamp
        if stamp.generation != UNKNOWN:
            break
print(won)
"""

TENSORSTORE = """
import sys
import tensorstore as ts

spec = {{"driver": "file", "path": sys.argv[1] + "/", "file_io_sync": False}}
store = ts.KvStore.open(spec).result()
for i in range({increments}):
    while True:
        found = store.read("n").result()
        value = b"%d" % (int(found.value or b"0") + 1)
        stamp = store.write("n", value, if_equal=found.stamp.generation).result()
        if stamp.generation:
            break
print(0)
"""


def launch(script: str, *args: str) -> subprocess.Popen[str]:
    code = script.format(increments=INCREMENTS)
    return subprocess.Popen([sys.executable, "-c", code, *args], stdout=subprocess.PIPE, text=True)


def finish(processes: list[subprocess.Popen[str]]) -> list[int]:
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [int(output) for output in outputs]


@pytest.mark.parametrize("mode", ["os", "lockfile"])
def test_no_increment_of_any_process_is_lost(tmp_path: Path, mode: LockingMode) -> None:
    processes = [launch(COUNT, str(tmp_path), mode, str(i)) for i in range(PROCESSES)]
    won = finish(processes)
    face = FileFace(str(tmp_path), FileOptions(locking=mode), FileSystem())
    assert face.read("n", ReadOptions()).value == b"%d" % (PROCESSES * INCREMENTS)
    # Each turn was created by exactly one.
    assert sum(won) == INCREMENTS
    # Nothing is left behind.
    assert len(list(tmp_path.rglob("*.__lock"))) == 0
    assert len(list(face.walk(KeyRange()))) == INCREMENTS + 1


def test_creating_needs_no_locks(tmp_path: Path) -> None:
    script = COUNT.replace("while True:", "while False:")
    won = finish([launch(script, str(tmp_path), "none", str(i)) for i in range(PROCESSES)])
    assert sum(won) == INCREMENTS


def test_tensorstore_and_we_exclude_each_other(tmp_path: Path) -> None:
    finish([launch(COUNT, str(tmp_path), "os", "0"), launch(TENSORSTORE, str(tmp_path))])
    face = FileFace(str(tmp_path), FileOptions(), FileSystem())
    assert face.read("n", ReadOptions()).value == b"%d" % (2 * INCREMENTS)


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileFace
from asynctensor.storage.kvstore import Replacement

class Killed(FileSystem):
    def write(self, fd, value):
        super().write(fd, value[:3])
        os.kill(os.getpid(), signal.SIGKILL)

FileFace(sys.argv[1], FileOptions(), Killed()).replace([Replacement("k", b"half a value")])
"""
    face = FileFace(str(tmp_path), FileOptions(), FileSystem())
    face.replace([Replacement("k", b"before")])
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60)
    assert killed.returncode < 0
    assert (tmp_path / "k.__lock").read_bytes() == b"hal"
    assert face.read("k", ReadOptions()).value == b"before"
    (stamp,) = face.replace([Replacement("k", b"after")])
    assert not isinstance(stamp, Exception)
    assert stamp.generation != UNKNOWN
    assert face.read("k", ReadOptions()).value == b"after"
    assert [path.name for path in tmp_path.iterdir()] == ["k"]
