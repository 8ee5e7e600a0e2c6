"""Stores, drivers and codecs of your own: what to write them with, and how to make them known.

The guides "Writing a store", "Writing a driver" and "Writing a codec" in the documentation show one
of each. Packages name theirs in entry points of the groups ``asynctensor.kvstores``,
``asynctensor.drivers`` and ``asynctensor.codecs``, which are loaded when a name is not known.
"""

from asynctensor.chunked.array_driver import ArrayDriver
from asynctensor.chunked.codec import ArrayCodec
from asynctensor.chunked.format import ArrayFormat, ArrayLayout, KeyEncoding
from asynctensor.extension.codecs import register_codec
from asynctensor.extension.drivers import register_driver
from asynctensor.extension.formats import register_format
from asynctensor.extension.kvstores import register_kvstore
from asynctensor.extension.simple_format import SimpleFormat, SimpleMetadata
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import (
    NO_VALUE,
    UNKNOWN,
    TimestampedStorageGeneration,
)
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    Capabilities,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
)

__all__ = [
    "NO_VALUE",
    "UNKNOWN",
    "ArrayCodec",
    "ArrayDriver",
    "ArrayFormat",
    "ArrayLayout",
    "ByteRange",
    "Capabilities",
    "KeyEncoding",
    "KeyRange",
    "KeyValueStore",
    "ListEntry",
    "ReadOptions",
    "ReadResult",
    "SimpleFormat",
    "SimpleMetadata",
    "TimestampedStorageGeneration",
    "register_codec",
    "register_driver",
    "register_format",
    "register_kvstore",
]
