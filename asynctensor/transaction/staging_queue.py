"""Staging in order: what is written first in a transaction is staged first."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from asynctensor.runtime.workers import WorkerPool


class StagingQueue:
    """Runs functions one after the other, on a worker or at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._running = False
        self._paused = False

    @property
    def idle(self) -> bool:
        """Whether nothing is running or waiting."""
        return not (self._running or self._paused)

    def pause(self) -> None:
        """Begins nothing more until `resume`; who waits here keeps no thread waiting."""
        with self._lock:
            self._paused = True

    def resume(self, workers: WorkerPool) -> None:
        """Goes on, on a worker."""
        with self._lock:
            self._paused = False
            if self._running or not self._waiting:
                return
            self._running = True
        workers.post(self._drain)

    def run(self, function: Callable[[], None]) -> None:
        """Runs `function` here; behind whatever came first, should the queue not be idle."""
        with self._lock:
            self._waiting.append(function)
            if self._running or self._paused:
                return
            self._running = True
        self._drain()

    def post(self, workers: WorkerPool, function: Callable[[], None]) -> None:
        """Has a worker run `function` once all before it have run."""
        with self._lock:
            self._waiting.append(function)
            if self._running or self._paused:
                return
            self._running = True
        workers.post(self._drain)

    def _drain(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or self._paused:
                    self._running = False
                    return
                function = self._waiting.popleft()
            function()
