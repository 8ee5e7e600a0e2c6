"""Spark on a cluster of two machines: a task that Spark itself does twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.servers.process import ROOT


def test_a_task_with_a_speculative_copy_counts_once(tmp_path: Path) -> None:
    """A slow task is begun a second time, and both attempts write all that they have.

    Spark speculates in no local session, and on no machine that has the first attempt already: so
    the cluster has two workers, each with an address of the loopback of its own.
    """
    job = json.dumps({"folder": str(tmp_path), "how": "twice"})
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.spark_worker", job],
        cwd=ROOT, input="go\n", capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["[0, 0]"], done.stderr
    assert {each.name for each in tmp_path.glob("* attempt")} == {
        "first attempt", "second attempt",
    }  # fmt: skip
