"""Both kinds of event loop, and programs that run in a Python of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
#: A program that hangs is a failure, not a wait; none of them needs a tenth of this.
PROGRAM_LIMIT = 90


def loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop
    }
    try:
        import uvloop
    except ImportError:
        return factories
    factories["uvloop"] = uvloop.new_event_loop
    return factories


class LoopRunner:
    """Runs coroutines on loops of one kind, as `asyncio.run` does."""

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.factory = factory

    def __call__(self, main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=self.factory) as runner:
            return runner.run(asyncio.wait_for(main, PROGRAM_LIMIT))


@pytest.fixture(params=loop_factories())
def run(request: pytest.FixtureRequest) -> LoopRunner:
    return LoopRunner(loop_factories()[request.param])


class InThread:
    """Calls a function in a thread of its own, and gives its result."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.outcome: list[Any] = []
        self.thread = threading.Thread(target=self._call, args=(function, *args), daemon=True)
        self.thread.start()

    def _call(self, function: Callable[..., Any], *args: Any) -> None:
        try:
            self.outcome.append((function(*args), None))
        except BaseException as error:
            self.outcome.append((None, error))

    def result(self) -> Any:
        self.thread.join(PROGRAM_LIMIT)
        assert not self.thread.is_alive(), "the thread hangs"
        value, error = self.outcome[0]
        if error is not None:
            raise error
        return value


@pytest.fixture
def in_thread() -> type[InThread]:
    return InThread


#: Programs load the runtime alone, not what the front door loads: there are many of them.
WITHOUT_FRONT_DOOR = f"""
import sys, types
sys.modules["asynctensor"] = types.ModuleType("asynctensor")
sys.modules["asynctensor"].__path__ = [{str(ROOT / "asynctensor")!r}]
"""


class Program:
    """Python source, run by a fresh interpreter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, source: str) -> subprocess.Popen[str]:
        path = self.folder / "program.py"
        path.write_text(WITHOUT_FRONT_DOOR + source)
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            # Everything is shown but the warning that 3.12 gives for any fork beside threads.
            "PYTHONWARNINGS": "default,ignore:This process:DeprecationWarning",
        }
        return subprocess.Popen(
            [sys.executable, str(path)],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that a hanging child of its own ends with it
        )

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        try:
            out, err = process.communicate(timeout=PROGRAM_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            pytest.fail(f"the program hangs; it printed {out!r} and {err!r}")
        return process.returncode, out, err

    def __call__(self, source: str) -> str:
        """What the program printed; it must end well and complain about nothing."""
        code, out, err = self.finish(self.start(source))
        assert (code, err) == (0, ""), f"exit code {code}; stderr:\n{err}\nstdout:\n{out}"
        return out


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)
