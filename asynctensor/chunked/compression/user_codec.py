"""Codecs that users wrote, known by name to every format that has such; and those of bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from asynctensor.chunked.compression.codec import BytesCodec, LengthlessCodec, wrong_length
from asynctensor.chunked.compression.numcodecs_spec import (
    ARRAYS,
    OBJECTS,
    REFUSED,
    SERIALIZERS,
    STEPS,
)
from asynctensor.errors import AlreadyExists, IncompatibleType, InvalidArgument, from_ending
from asynctensor.names import CODEC_GROUP, entry_point_names, load_entry_point
from asynctensor.near_names import near
from asynctensor.storage.kvstore import Buffer

#: Where a codec may stand (zarr v3 core, "Codecs").
CodecKind: TypeAlias = Literal["array_to_array", "array_to_bytes", "bytes_to_bytes"]


class CodecDefinition(Protocol):
    """What was registered."""

    @property
    def kind(self) -> CodecKind:
        """What it takes and gives."""
        ...

    @property
    def encoded_dtype(self) -> np.dtype[Any] | None:
        """The NumPy type of what an ``array_to_array`` codec gives; None: that of what it gets."""
        ...

    def checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The members of a configuration in their normal form.

        Raises:
            InvalidArgument: One is wrong, not known, or missing.
        """
        ...

    def make(self, values: Mapping[str, Any]) -> Any:
        """The user's object, with ``encode(data)`` and ``decode(data)``."""
        ...


#: Names that formats give a meaning themselves.
OURS = frozenset(
    {
        "bytes", "endian", "transpose", "reshape", "scale_offset", "cast_value", "sharding_indexed",
        *ARRAYS, *SERIALIZERS, *OBJECTS, *STEPS, *REFUSED,
    }
)  # fmt: skip
CODECS: dict[str, CodecDefinition] = {}
#: Those that were replaced, oldest first.
_REPLACED: list[str] = []


def add_codec(name: str, definition: CodecDefinition, *, replace: bool) -> None:
    """Makes a codec known by its name.

    Raises:
        AlreadyExists: The name is taken.
    """
    if name in OURS or name.startswith("numcodecs."):
        raise AlreadyExists(f'there is a codec "{name}" already; choose another name')
    if name in CODECS and not replace:
        raise AlreadyExists(f'there is a codec "{name}" already; pass replace=True to replace it')
    if name in CODECS:
        _REPLACED.append(name)
    CODECS[name] = definition


def replacements() -> int:
    """How many codecs were replaced so far: the same documents mean the same while it stays."""
    return len(_REPLACED)


def is_user_codec(name: str, kind: CodecKind = "bytes_to_bytes") -> bool:
    """Whether a user has registered a codec of this name and kind."""
    definition = _definition(name)
    return definition is not None and definition.kind == kind


def _definition(name: str) -> CodecDefinition | None:
    if name in OURS:
        return None
    if name not in CODECS:
        load_entry_point(CODEC_GROUP, name)
    return CODECS.get(name)


def near_codecs(name: str, known: Iterable[str] = ()) -> str:
    """The end of an error for a name that no codec has.

    Args:
        name: The name.
        known: Names of codecs that the format has of its own; users' are looked up here.
    """
    return near(name, (*known, *CODECS, *entry_point_names(CODEC_GROUP)))


@dataclass(frozen=True, slots=True)
class UserCodec:
    """A user's codec as a document says it.

    Attributes:
        name: Its name.
        text: JSON of its configuration.
    """

    name: str
    text: str = "{}"

    @property
    def kind(self) -> CodecKind:
        """What it takes and gives."""
        return definition_of(self).kind

    @property
    def values(self) -> dict[str, Any]:
        """Its configuration."""
        found: dict[str, Any] = json.loads(self.text)
        return found


def user_codec(name: str, values: object, path: str) -> UserCodec | None:
    """The codec of this name and configuration; None if no user has registered such.

    Args:
        name: Its name.
        values: Its configuration.
        path: Where that stands, for errors.

    Raises:
        InvalidArgument: The configuration is wrong.
    """
    definition = _definition(name)
    if definition is None:
        return None
    if not isinstance(values, Mapping):
        raise InvalidArgument(f'member "{path}": expected an object')
    try:
        return UserCodec(name, json.dumps(definition.checked(values), sort_keys=True))
    except InvalidArgument as error:
        raise InvalidArgument(f'member "{path}", codec "{name}": {error.message}') from error


def definition_of(codec: UserCodec) -> CodecDefinition:
    """What was registered under its name.

    Raises:
        InvalidArgument: Nothing is (any more).
    """
    definition = _definition(codec.name)
    if definition is None:
        raise InvalidArgument(
            f'the codec "{codec.name}" is not registered{near_codecs(codec.name)}'
        )
    return definition


def build_user_codec(codec: UserCodec) -> BytesCodec:
    """What does one from bytes to bytes."""
    return UserStep(codec, definition_of(codec))


class UserObject:
    """A user's object, made when it is first needed, and so by worker threads alone."""

    def __init__(self, codec: UserCodec, definition: CodecDefinition) -> None:
        self._codec, self._definition = codec, definition
        self._made: list[Any] = []

    def call(self, function: str, *args: Any) -> Any:
        """What one of its functions gives.

        Raises:
            Aborted: It raised what is no `Exception`, which is the cause.
            Exception: Whatever it raises.
        """
        try:
            return getattr(self._get(), function)(*args)
        except Exception:
            raise
        except BaseException as error:
            raise from_ending(error, f'{function} of the codec "{self._codec.name}"') from error

    def _get(self) -> Any:
        if not self._made:
            # Of two made at once, the first is used by all.
            self._made.append(self._definition.make(self._codec.values))
        return self._made[0]


def bytes_given(codec: str, function: str, found: object) -> memoryview:
    """What a user's function gave, which must be bytes.

    Raises:
        IncompatibleType: It is not.
    """
    if not isinstance(found, bytes | bytearray | memoryview):
        raise IncompatibleType(
            f'{function} of the codec "{codec}" must give bytes, but gave: {found!r:.200}'
        )
    return memoryview(found).cast("B")


class UserStep(LengthlessCodec):
    """A user's object as a step; used by worker threads alone.

    What it raises arrives as it is.
    """

    def __init__(self, codec: UserCodec, definition: CodecDefinition) -> None:
        self.name = codec.name
        self._object = UserObject(codec, definition)

    def decode(self, data: Buffer, limit: int) -> Buffer:
        decoded = bytes_given(self.name, "decode", self._object.call("decode", bytes(data)))
        if len(decoded) > limit:
            raise wrong_length(self.name, len(decoded), limit)
        return decoded

    def encode(self, data: Buffer) -> Buffer:
        return bytes_given(self.name, "encode", self._object.call("encode", bytes(data)))
