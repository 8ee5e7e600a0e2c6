"""Names that nobody here knows: entry points that may know them."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from asynctensor.errors import FailedPrecondition
from asynctensor.runtime.process import PROCESS

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

#: Groups of entry points; loading one registers what it names.
DRIVER_GROUP = "asynctensor.drivers"
KVSTORE_GROUP = "asynctensor.kvstores"
CODEC_GROUP = "asynctensor.codecs"

_log = logging.getLogger(__name__)


class _Loaded:
    """The entry points that this process has loaded, and who is loading one."""

    def __init__(self) -> None:
        self.points: set[tuple[str, str]] = set()
        self.after_fork()
        PROCESS.survives(self)

    def after_fork(self) -> None:
        """See `AfterFork`: nobody here is loading what a thread of the parent was."""
        # Re-entrant: what is loaded may ask for another one.
        self.lock = threading.RLock()


_LOADED = _Loaded()


def load_entry_point(group: str, name: str) -> None:
    """Loads the entry point of this name, if there is one that was not loaded yet.

    Raises:
        FailedPrecondition: It cannot be loaded; the cause is chained.
    """
    for point in _entry_points(group).select(name=name):
        with _LOADED.lock:
            if (group, point.value) in _LOADED.points:
                continue
            try:
                point.load()
            except Exception as error:
                raise FailedPrecondition(
                    f'the entry point "{name}" of {group} ({point.value}) cannot be loaded: {error}'
                ) from error
            _LOADED.points.add((group, point.value))


def load_all_entry_points(group: str) -> None:
    """Loads every entry point of a group; one that cannot be is logged."""
    for name in entry_point_names(group):
        try:
            load_entry_point(group, name)
        except FailedPrecondition as error:
            _log.warning("%s", error)


def entry_point_names(group: str) -> list[str]:
    """Names of the entry points that are installed."""
    return sorted({point.name for point in _entry_points(group)})


def _entry_points(group: str) -> EntryPoints:
    # Loaded on first use: it brings the parsers of mail, a tenth of the time of this import.
    from importlib.metadata import entry_points

    return entry_points(group=group)
