"""The codecs of numcodecs as JSON says them.

In zarr v2 that is ``{"id": ..., members}``; in zarr v3 the members are under ``configuration``.
What a member may be is in one table here. A codec that can run code is not in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from asynctensor.chunked.compression.blosc import CNAMES
from asynctensor.chunked.member import Member
from asynctensor.errors import InvalidArgument, Unimplemented

_DTYPE = re.compile(
    r"[<>|=]?(?:[biufc][0-9]{1,2}|[mM]8(?:\[[0-9]{0,9}[a-zA-Z]{1,2}\])?|U[0-9]{1,6})"
)
_DTYPE_NAMES = re.compile(r"bool|(?:u?int|float|complex)[0-9]{1,3}")
_MAX_LABELS = 2**16
#: Of an LZMA filter: decoding takes about as much memory.
_MAX_DICTIONARY = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Numcodec:
    """A codec of numcodecs, with nothing left open but what depends on the data type.

    Attributes:
        id: Its name.
        members: Names and JSON texts of what it says, sorted.
    """

    id: str
    members: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, id_: str, values: Mapping[str, Any]) -> Numcodec:
        """The codec with members of these values."""
        return cls(id_, tuple((name, json.dumps(values[name])) for name in sorted(values)))

    @property
    def values(self) -> dict[str, Any]:
        """The members by name."""
        return {name: json.loads(text) for name, text in self.members}

    def with_defaults(self, defaults: Mapping[str, Any]) -> Numcodec:
        """The same with `defaults` for what it does not say."""
        return Numcodec.of(self.id, {**defaults, **self.values})


def read_dtype(member: Member) -> None:
    """Checks that a member names a NumPy type without fields and objects."""
    text = member.string()
    if _DTYPE.fullmatch(text) or _DTYPE_NAMES.fullmatch(text):
        try:
            np.dtype(text)
        except (TypeError, ValueError):
            pass
        else:
            return
    raise member.error('a data type such as "<f4"')


def _integer(low: int, high: int) -> Callable[[Member], None]:
    def check(member: Member) -> None:
        member.integer(low, high)

    return check


def _number(member: Member) -> None:
    if not isinstance(member.value, int | float) or isinstance(member.value, bool):
        raise member.error("a number")


def _choice(*choices: str) -> Callable[[Member], None]:
    def check(member: Member) -> None:
        member.string(choices)

    return check


def _boolean(member: Member) -> None:
    member.boolean()


def _optional(check: Callable[[Member], None]) -> Callable[[Member], None]:
    def checked(member: Member) -> None:
        if member.value is not None:
            check(member)

    return checked


def _byte_list(member: Member) -> None:
    for each in member.array():
        each.integer(0, 255)


def _two_strings(member: Member) -> None:
    for each in member.array(2):
        each.string()


def _labels(member: Member) -> None:
    labels = member.array()
    if len(labels) > _MAX_LABELS:
        raise member.error(f"at most {_MAX_LABELS} labels")
    for label in labels:
        label.string()


def _lzma_filters(member: Member) -> None:
    for each in member.array():
        for name, value in each.object(required=("id",)).items():
            value.integer(0, _MAX_DICTIONARY if name == "dict_size" else 2**62)


def _anything(member: Member) -> None:
    del member


_LOCATION = {"location": _choice("start", "end")}
_LEVEL = {"level": _integer(-1, 9)}
#: What each codec may say; in the order in which it is written.
_MEMBERS: dict[str, dict[str, Callable[[Member], None]]] = {
    "blosc": {
        "cname": _choice(*CNAMES),
        "clevel": _integer(0, 9),
        "shuffle": _integer(-1, 2),
        "blocksize": _integer(0, 2**31 - 1),
        "typesize": _optional(_integer(1, 2**31 - 1)),
    },
    "zlib": _LEVEL,
    "gzip": _LEVEL,
    "bz2": {"level": _integer(1, 9)},
    "zstd": {"level": _integer(-131072, 22), "checksum": _boolean},
    "lz4": {"acceleration": _integer(-(2**31), 2**31 - 1)},
    "lzma": {
        "format": _integer(1, 3),
        "check": _integer(-1, 15),
        "preset": _optional(_integer(0, 2**31 + 9)),
        "filters": _optional(_lzma_filters),
    },
    "shuffle": {"elementsize": _optional(_integer(0, 2**16))},
    "base64": {},
    "crc32": _LOCATION,
    "crc32c": _LOCATION,
    "adler32": _LOCATION,
    "fletcher32": {},
    "jenkins_lookup3": {
        "initval": _integer(0, 2**32 - 1),
        "prefix": _optional(_byte_list),
    },
    "delta": {"dtype": _optional(read_dtype), "astype": _optional(read_dtype)},
    "fixedscaleoffset": {
        "scale": _number,
        "offset": _number,
        "dtype": _optional(read_dtype),
        "astype": _optional(read_dtype),
    },
    "quantize": {
        "digits": _integer(-400, 400),
        "dtype": _optional(read_dtype),
        "astype": _optional(read_dtype),
    },
    "astype": {"encode_dtype": read_dtype, "decode_dtype": _optional(read_dtype)},
    "packbits": {},
    "bitround": {"keepbits": _integer(0, 64)},
    "categorize": {"labels": _labels, "dtype": _anything, "astype": _optional(read_dtype)},
    "pcodec": {
        "level": _integer(0, 12),
        "mode_spec": _choice("auto", "classic"),
        "delta_spec": _choice("auto", "none", "try_consecutive", "try_lookback"),
        "paging_spec": _choice("equal_pages_up_to"),
        "delta_encoding_order": _optional(_integer(0, 7)),
        "equal_pages_up_to": _integer(1, 2**31 - 1),
    },
    "zfpy": {
        # Fixed rate, precision or accuracy, or reversible.
        "mode": _integer(2, 5),
        "tolerance": _number,
        "rate": _number,
        "precision": _integer(-1, 128),
        "compression_kwargs": _anything,
    },
    "vlen-utf8": {},
    "vlen-bytes": {},
    "json2": {
        "encoding": _choice("utf-8", "ascii"),
        "skipkeys": _boolean,
        "ensure_ascii": _boolean,
        "check_circular": _boolean,
        "allow_nan": _boolean,
        "indent": _optional(_integer(0, 100)),
        "separators": _optional(_two_strings),
        "sort_keys": _boolean,
        "strict": _boolean,
    },
}  # fmt: skip

#: Array to array, each element by itself or all in one order.
ARRAYS = ("delta", "fixedscaleoffset", "quantize", "astype", "packbits", "bitround")
#: Array to bytes.
SERIALIZERS = ("pcodec", "zfpy")
#: Arrays of objects to bytes, in zarr v2 only.
OBJECTS = ("vlen-utf8", "vlen-bytes", "json2", "categorize")
#: Bytes to bytes.
STEPS = tuple(
    name for name in _MEMBERS if name not in (*ARRAYS, *SERIALIZERS, *OBJECTS, "categorize")
)
_REQUIRED = {
    "fixedscaleoffset": ("scale", "offset"),
    "quantize": ("digits",),
    "astype": ("encode_dtype",),
    "bitround": ("keepbits",),
    "categorize": ("labels", "dtype"),
}
#: Names of codecs that can be had.
NAMES = tuple(_MEMBERS)
#: Names of codecs that nobody gets here, and why.
REFUSED = {
    "pickle": "it can run any code on reading",
    "msgpack2": "it is not supported",
    "vlen-array": "arrays inside arrays are not supported",
}


def read_numcodec(id_: str, member: Member, *, generous: bool, without: str = "") -> Numcodec:
    """The codec `id_` with the members of an object.

    Args:
        id_: Its name in numcodecs.
        member: The object.
        generous: Whether members that are not known are ignored.
        without: A member of the object that is none of the codec's.

    Raises:
        InvalidArgument: A member is wrong, missing or not known.
        Unimplemented: There is no such codec, or none that is safe.
    """
    if id_ not in _MEMBERS:
        reason = REFUSED.get(id_, "it is not supported")
        raise Unimplemented(f'member "{member.path}": the codec "{id_}" cannot be used: {reason}')
    table = _MEMBERS[id_]
    known = None if generous else (*table, without) if without else tuple(table)
    found = member.object(known, _REQUIRED.get(id_, ()))
    values: dict[str, Any] = {}
    for name, check in table.items():
        if name in found:
            check(found[name])
            if found[name].value is not None:
                values[name] = found[name].value
    return Numcodec.of(id_, values)


def merge_numcodecs(a: Numcodec, b: Numcodec) -> Numcodec:
    """What satisfies both; what one does not say is left to the other.

    Raises:
        InvalidArgument: They contradict each other.
    """
    mine, other = a.values, b.values
    if a.id != b.id or any(mine[name] != other[name] for name in mine.keys() & other.keys()):
        raise InvalidArgument(f"Cannot merge codec {a.id} {mine} with {b.id} {other}")
    return Numcodec.of(a.id, {**mine, **other})
