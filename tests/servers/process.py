"""Servers as processes: started on a free port of the loopback, stopped when nobody needs them."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from asynctensor.testing.held_port import held_port

ROOT = Path(__file__).parents[2]
#: Where `make` puts the servers. Several checkouts may share one folder.
INSTALLED = Path(os.environ.get("ASYNCTENSOR_SERVERS", ROOT / ".srv"))
#: Seconds that a server may take to answer for the first time, on a busy machine.
_PATIENCE = 60.0


def installed(name: str, *parts: str) -> Path:
    """A file of a server that ``make .srv/has-NAME`` has installed."""
    found = INSTALLED.joinpath(name, *parts)
    if not found.exists():
        raise RuntimeError(f"{found} is not there: run `make .srv/has-{name}`, or `make test`")
    return found


#: Keep the ports that were given out from being given to somebody else until this process ends.
_held: list[socket.socket] = []


def free_port() -> int:
    """A port of the loopback for a server to listen on, which nobody else is given."""
    held = held_port()
    _held.append(held)
    port: int = held.getsockname()[1]
    return port


class ServerProcess:
    """One server; a context manager.

    Args:
        command: What starts it.
        port: Where it will listen.
        folder: Where it may write; its output goes to ``log`` there.
        environment: Variables beyond this process's own.
        cwd: Where it runs; by default in `folder`.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        port: int,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.port = port
        self._command = [str(each) for each in command]
        self._folder = folder
        self._cwd = folder if cwd is None else cwd
        # Their home is their folder: nothing is written elsewhere.
        self._environment = {**os.environ, "HOME": str(folder), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it, and waits until it accepts connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                over = time.monotonic() > deadline
                if over or self._process.poll() is not None:
                    self.stop()
                    raise RuntimeError(f"{self._command[0]} did not start: {self.log()}") from None
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Ends it, and waits until it has ended."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self) -> str:
        """The end of its output."""
        return (self._folder / "log").read_text(errors="replace")[-2000:]
