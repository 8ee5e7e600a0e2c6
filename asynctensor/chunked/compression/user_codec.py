"""Codecs that users wrote: from bytes to bytes, known by name to every format that has such."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from asynctensor.chunked.compression.codec import BytesCodec, wrong_length
from asynctensor.chunked.compression.numcodecs_spec import (
    ARRAYS,
    OBJECTS,
    REFUSED,
    SERIALIZERS,
    STEPS,
)
from asynctensor.errors import AlreadyExists, IncompatibleType, InvalidArgument
from asynctensor.names import CODEC_GROUP, entry_point_names, load_entry_point, near
from asynctensor.storage.kvstore import Buffer


class CodecDefinition(Protocol):
    """What was registered."""

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


def add_codec(name: str, definition: CodecDefinition, *, replace: bool) -> None:
    """Makes a codec known by its name.

    Raises:
        AlreadyExists: The name is taken.
    """
    if name in OURS or name.startswith("numcodecs."):
        raise AlreadyExists(f'there is a codec "{name}" already; choose another name')
    if name in CODECS and not replace:
        raise AlreadyExists(f'there is a codec "{name}" already; pass replace=True to replace it')
    CODECS[name] = definition


def is_user_codec(name: str) -> bool:
    """Whether a user has registered a codec of this name."""
    return _definition(name) is not None


def _definition(name: str) -> CodecDefinition | None:
    if name in OURS:
        return None
    if name not in CODECS:
        load_entry_point(CODEC_GROUP, name)
    return CODECS.get(name)


def near_codecs(name: str) -> str:
    """The end of an error for a name that no codec has: what users' codecs are like it."""
    return near(name, (*CODECS, *entry_point_names(CODEC_GROUP)))


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


def build_user_codec(codec: UserCodec) -> BytesCodec:
    """What does it."""
    definition = _definition(codec.name)
    if definition is None:
        raise InvalidArgument(
            f'the codec "{codec.name}" is not registered{near_codecs(codec.name)}'
        )
    return UserStep(codec, definition)


class UserStep(BytesCodec):
    """A user's object as a step; made, and used, by worker threads alone.

    What it raises arrives as it is.
    """

    def __init__(self, codec: UserCodec, definition: CodecDefinition) -> None:
        self.name = codec.name
        self._spec, self._definition = codec, definition
        self._made: list[Any] = []

    @property
    def _codec(self) -> Any:
        if not self._made:
            # Of two made at once, the first is used by all.
            self._made.append(self._definition.make(self._spec.values))
        return self._made[0]

    def decode_into(self, data: Buffer, out: memoryview) -> None:
        out[:] = self.decode_exactly(data, len(out))

    def decode_exactly(self, data: Buffer, size: int) -> Buffer:
        decoded = self.decode(data, size)
        if len(decoded) != size:
            raise wrong_length(self.name, len(decoded), size)
        return decoded

    def decode(self, data: Buffer, limit: int) -> Buffer:
        decoded = self._bytes("decode", self._codec.decode(bytes(data)))
        if len(decoded) > limit:
            raise wrong_length(self.name, len(decoded), limit)
        return decoded

    def encode(self, data: Buffer) -> Buffer:
        return self._bytes("encode", self._codec.encode(bytes(data)))

    def _bytes(self, function: str, found: object) -> memoryview:
        if not isinstance(found, bytes | bytearray | memoryview):
            raise IncompatibleType(
                f'{function} of the codec "{self.name}" must give bytes, but gave: {found!r:.200}'
            )
        return memoryview(found).cast("B")
