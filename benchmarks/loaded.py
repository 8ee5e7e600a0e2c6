"""Has a process of its own do a job that is timed: for libraries that want one to themselves."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
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


#: Seconds after which a job is given up, and its processes are killed.
_PATIENCE = 240.0


def timed(module: str, job: dict[str, Any], patience: float = _PATIENCE) -> Any:
    """Runs ``python -m MODULE JOB``, JOB being JSON, and gives its answer: its next line of JSON.

    When it has said ``ready`` on a line of its own, it is told to go on. Once it has answered, it
    and all processes that it has started are killed.

    Args:
        module: What is run.
        job: What it is to do.
        patience: Seconds after which it is given up.

    Raises:
        RuntimeError: It did not come so far.
    """
    command = [sys.executable, "-m", module, json.dumps(job)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as worker:
        giving_up = threading.Timer(patience, _kill, [worker])
        giving_up.daemon = True
        giving_up.start()
        try:
            assert worker.stdin is not None
            _line(worker, "ready\n", module, job)
            worker.stdin.write("go\n")
            worker.stdin.flush()
            answer = json.loads(_line(worker, "[", module, job))
        finally:
            giving_up.cancel()
            _kill(worker)
    return answer


def _line(worker: subprocess.Popen[str], start: str, module: str, job: dict[str, Any]) -> str:
    """The next line that begins so."""
    assert worker.stdout is not None
    while not (line := worker.stdout.readline()).startswith(start):
        if not line:
            raise RuntimeError(
                f"{module} gave no answer for {job.get('peer')}: it ended with {worker.wait()}"
            )
    return line


def _kill(worker: subprocess.Popen[str]) -> None:
    """Ends a process and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)


def loaded(module: str, job: dict[str, Any], samples: int, total: int | None) -> float:
    """Has it load an epoch; the seconds that took.

    Raises:
        WrongResult: It loaded something else.
    """
    seconds, count, found = timed(module, job)
    if count != samples or (total is not None and found != total):
        raise WrongResult(f"{job['peer']} loaded {count} samples of the sum {found}")
    return float(seconds)
