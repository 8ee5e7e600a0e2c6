"""A process that measures one peer in one setting, so that no other library is loaded in it."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Scene, WrongResult
from benchmarks.layouts import load_volume

_CONTEXT = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Place:
    """A `Scene` that can be sent to another process: names instead of data."""

    folder: Path
    data_folder: Path
    edge: int
    quick: bool
    server: Any = None

    def scene(self) -> Scene:
        """The scene, its data mapped by this process."""
        volume = load_volume(self.data_folder, self.edge)
        return Scene(self.folder, volume, self.quick, self.server)


class WorkerFailed(Exception):
    """The case raised in the worker, or the worker died."""


class Worker:
    """One process and the pipe to it."""

    def __init__(self) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def prepare(self, case: Case, place: Place) -> None:
        """Runs `Case.prepare` there."""
        self._call("prepare", case, place)

    def measure(self, case: Case, peer: str, setting: str, place: Place) -> dict[str, float]:
        """Runs `Case.measure` there."""
        values: dict[str, float] = self._call("measure", case, place, peer, setting)
        return values

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _call(self, *request: Any) -> Any:
        try:
            self._pipe.send(request)
            ok, answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._process.join(10)
            raise WorkerFailed(f"the process ended with {self._process.exitcode}") from error
        if ok:
            return answer
        kind, text = answer
        if kind == WrongResult.__name__:
            raise WrongResult(text)
        raise WorkerFailed(text)


def _serve(pipe: multiprocessing.connection.Connection) -> None:
    while True:
        try:
            verb, case, place, *rest = pipe.recv()
        except EOFError:
            return
        try:
            scene = place.scene()
            answer = case.prepare(scene) if verb == "prepare" else case.measure(*rest, scene)
        except BaseException as error:  # noqa: BLE001 the parent decides what to do about it
            text = "".join(traceback.format_exception_only(error)).strip()
            pipe.send((False, (type(error).__name__, text)))
        else:
            pipe.send((True, answer))
