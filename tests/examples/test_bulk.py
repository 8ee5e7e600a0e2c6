"""The bulk ingestion: killed half way, nothing of it is seen; run again, it goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import Aborted
from examples import bulk

ROOT = Path(__file__).parents[2]


def started(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "examples.bulk", str(folder), "--processes", "1"]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
    )


async def test_a_killed_ingestion_leaves_nothing_and_is_resumed(tmp_path: Path) -> None:
    first = started(tmp_path)
    assert first.stdout is not None
    said = b""
    while not re.search(rb"[2-9]/32 \[", said):
        more = first.stdout.read(1)
        assert more, said
        said += more
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    first.stdout.close()
    repository = await at.Repository.open(tmp_path / "repository")
    assert [each async for each in repository.log()] == []
    assert await repository.kvstore().list() == []

    again = started(tmp_path)
    answer = again.communicate()[0].decode()
    assert again.returncode == 0, answer
    before = re.match(r"(\d+) tasks were done before\n", answer)
    assert before is not None
    assert int(before[1]) >= 2
    assert "32/32 [" in answer
    assert "\ncommitted " in answer
    await repository.refresh()
    (commit,) = [each async for each in repository.log()]
    assert (commit.message, commit.changes.chunks) == ("the picture", {"picture/c/": 128})
    store = await at.open({"driver": "zarr3", "kvstore": repository.kvstore("picture/")})
    rows = [bulk.picture(row) for row in range(0, bulk.HEIGHT, bulk.ROWS)]
    np.testing.assert_array_equal(await store.read(), np.concatenate(rows))
    # Nothing is left to do: the next one is a job of its own.
    assert not (tmp_path / "bulk.job").exists()


async def test_a_job_whose_transaction_was_aborted_is_begun_anew(tmp_path: Path) -> None:
    job = tmp_path / "bulk.job"
    one = await bulk.begin(tmp_path / "repository", job)
    one.abort()
    with pytest.raises(Aborted):
        await one.future
    other = await bulk.begin(tmp_path / "repository", job)
    assert other.open
    assert bulk.kept(job) == other.share()
    other.abort()
    with pytest.raises(Aborted):
        await other.future
