"""What is said of values that the store lost or damaged."""

from __future__ import annotations

from asynctensor.errors import DataLoss


def lost(key: str, name: str) -> DataLoss:
    """The error of a value that the index names and the store lacks (R18)."""
    return DataLoss(f"the object {name!r}, which holds this value, is missing", key=key)


def damaged(key: str, name: str) -> DataLoss:
    """The error of a value whose checksum is wrong."""
    return DataLoss(f"the value is damaged in the object {name!r}: wrong checksum", key=key)
