"""Has a process of its own do a job that is timed: for libraries that want one to themselves."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

from benchmarks.case import WrongResult


def need(*modules: str) -> None:
    """Says what to install, where a library is missing that not everybody has.

    Raises:
        RuntimeError: One is missing; the case is shown as not measured.
    """
    lacking = [each for each in modules if importlib.util.find_spec(each) is None]
    if lacking:
        raise RuntimeError(
            f"{', '.join(lacking)} is not installed here: make bench-frameworks measures it"
        )


def timed(module: str, job: dict[str, Any]) -> Any:
    """Runs ``python -m MODULE JOB``, JOB being JSON, and gives its last line, which is JSON.

    When it has said ``ready`` on a line of its own, it is told to go on.

    Raises:
        RuntimeError: It did not come so far.
    """
    command = [sys.executable, "-m", module, json.dumps(job)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        while (line := worker.stdout.readline()) != "ready\n":
            if not line:
                raise RuntimeError(f"{module} did not start for {job.get('peer')}")
        output, _ = worker.communicate("go\n")
    if not output.strip():
        raise RuntimeError(f"{module} ended with {worker.returncode} for {job.get('peer')}")
    return json.loads(output.splitlines()[-1])


def loaded(module: str, job: dict[str, Any], samples: int, total: int | None) -> float:
    """Has it load an epoch; the seconds that took.

    Raises:
        WrongResult: It loaded something else.
    """
    seconds, count, found = timed(module, job)
    if count != samples or (total is not None and found != total):
        raise WrongResult(f"{job['peer']} loaded {count} samples of the sum {found}")
    return float(seconds)
