"""Switches for messages about single operations, by name, as TensorStore has them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from asynctensor.runtime.process import PROCESS


class VerboseFlag:
    """One switch. Where there is something to tell: ``if flag.level: flag.log(...)``.

    Attributes:
        name: Its name, such as ``"file"``; messages go to the logger ``asynctensor.<name>``.
        level: 0: silent.
    """

    __slots__ = ("level", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.level = 0

    def log(self, message: str, *parts: object) -> None:
        """Hands a message to the logger."""
        logging.getLogger(f"asynctensor.{self.name}").info(message, *parts)

    def __repr__(self) -> str:
        return f"VerboseFlag({self.name!r}, level={self.level})"


def verbose_flag(name: str) -> VerboseFlag:
    """The process's switch of that name, made when first asked for."""
    found: VerboseFlag = PROCESS.verbose_flags.setdefault(name, VerboseFlag(name))
    return found


def set_verbose_levels(levels: Mapping[str, int], *, overwrite: bool) -> None:
    """Sets switches; where nobody has set up logging, their messages go to standard error.

    Args:
        levels: New levels by name.
        overwrite: Whether to switch off all others.
    """
    if overwrite:
        for flag in PROCESS.verbose_flags.values():
            flag.level = 0
    for name, level in levels.items():
        verbose_flag(name).level = level
    logger = logging.getLogger("asynctensor")
    if any(levels.values()):
        logger.setLevel(logging.INFO)
        if not logger.hasHandlers():
            logger.addHandler(logging.StreamHandler())
