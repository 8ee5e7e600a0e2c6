"""Messages about single operations, switched on by name: by a call, a flag or the environment."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.runtime.verbose_flag import set_verbose_levels

_FLAG = "--tensorstore_verbose_logging"
_VARIABLE = "TENSORSTORE_VERBOSE_LOGGING"


def experimental_update_verbose_logging(flags: str = "", overwrite: bool = False) -> None:
    """Switches messages about single operations on or off.

    They go to the loggers ``asynctensor.<name>``, and to standard error where logging is not set
    up. The stores ``file`` and ``memory`` tell each value that they read or write.

    Args:
        flags: Names, each alone or with a level, separated by commas: ``"file"``,
            ``"file=1,memory=0"``.
        overwrite: Whether all others are switched off.

    Raises:
        InvalidArgument: A level is no integer, or a name is missing.
    """
    set_verbose_levels(_parsed(flags), overwrite=overwrite)


def _parsed(flags: str) -> dict[str, int]:
    levels: dict[str, int] = {}
    for item in filter(None, (part.strip() for part in flags.split(","))):
        name, equals, level = item.partition("=")
        if not name or (equals and not level.lstrip("-").isdigit()):
            raise InvalidArgument(
                f'Expected "name" or "name=level" with an integer level, but received: {item!r}'
            )
        levels[name] = max(0, int(level)) if equals else 1
    return levels


def parse_tensorstore_flags(argv: Sequence[str]) -> None:
    """Reads the flags that are for this library from a command line.

    There is one, ``--tensorstore_verbose_logging=<flags>``, which means the same as
    `experimental_update_verbose_logging`. All other arguments are left to others.

    Args:
        argv: The arguments, as in ``sys.argv``.

    Raises:
        InvalidArgument: A flag begins with ``--tensorstore_`` and is not known.
    """
    if isinstance(argv, (str, bytes)):
        raise IncompatibleType(f"argv is a sequence of strings, not {argv!r}")
    for argument in argv:
        name, _, value = argument.partition("=")
        if name == _FLAG:
            experimental_update_verbose_logging(value)
        elif name.startswith("--tensorstore_"):
            near = " Did you mean it?" if difflib.get_close_matches(name, [_FLAG]) else ""
            raise InvalidArgument(f"unknown flag {name}; there is only {_FLAG}.{near}")


def apply_environment() -> None:
    """Switches on what the environment asks for."""
    if flags := os.environ.get(_VARIABLE):
        experimental_update_verbose_logging(flags)
