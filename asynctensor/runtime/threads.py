"""Starting the runtime's own threads."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from asynctensor.runtime.process import PROCESS


def start_thread(function: Callable[..., object], *args: Any, name: str) -> threading.Thread:
    """Starts a daemon thread that never takes the process's SIGINT.

    Python runs signal functions on the main thread only, but a thread that the kernel picked for
    the signal would leave the main thread blocked; so SIGINT is masked before the thread exists.

    Raises:
        RuntimeError: No thread can be started (out of resources, the interpreter is exiting, or
            this is a simulation).
    """
    if PROCESS.instead_of_workers is not None:
        raise RuntimeError(f"a simulation runs on one thread, and {name!r} would be another")
    thread = threading.Thread(target=function, args=args, name=name, daemon=True)
    if not hasattr(signal, "pthread_sigmask"):
        thread.start()
        return thread
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return thread
