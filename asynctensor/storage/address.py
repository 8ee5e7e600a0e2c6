"""Where bytes are in memory, for libraries that are called without a wrapper."""

from __future__ import annotations

import ctypes

import numpy as np

from asynctensor.storage.kvstore import Buffer


def address_of(data: Buffer) -> int:
    """The address of the first byte, good for as long as somebody holds `data`; not of no bytes."""
    if isinstance(data, memoryview) and not data.readonly:
        return ctypes.addressof(ctypes.c_char.from_buffer(data))
    return int(np.frombuffer(data, np.uint8).__array_interface__["data"][0])
