"""Where time and chance come from: the machine, or a simulation in its place. Pure.

Beside `process` the one piece of module-level state: pure modules may ask what time it is without
depending on event loops and threads. `clock` and `entropy` are the faces of it; what is called
very often asks here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable


class Sources:
    """Three functions, which a simulation replaces while it runs.

    Attributes:
        monotonic: Seconds since an arbitrary point; never goes back.
        time: Seconds since the Unix epoch; may jump.
        random_bytes: So many bytes that nobody can predict.
    """

    __slots__ = ("monotonic", "random_bytes", "time")

    def __init__(self) -> None:
        self.monotonic: Callable[[], float] = time.monotonic
        self.time: Callable[[], float] = time.time
        self.random_bytes: Callable[[int], bytes] = os.urandom


SOURCES = Sources()
