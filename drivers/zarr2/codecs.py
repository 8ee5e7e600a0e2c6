"""The compressor and the filters of zarr v2: numcodecs' names and members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asynctensor.chunked.compression.numcodecs_spec import (
    ARRAYS,
    NAMES,
    REFUSED,
    SERIALIZERS,
    STEPS,
    Numcodec,
    read_numcodec,
)
from asynctensor.chunked.compression.user_codec import (
    is_user_codec,
    near_codecs,
    user_codec,
)
from asynctensor.chunked.member import Member
from asynctensor.errors import Unimplemented
from asynctensor.storage.kvstore import Json

#: What a compressor says where a spec leaves it open; TensorStore's defaults.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # By bits where elements are bytes, by bytes where they are larger.
    "blosc": {"cname": "lz4", "clevel": 5, "shuffle": -1, "blocksize": 0},
    "zlib": {"level": 1},
    "gzip": {"level": 1},
    "bz2": {"level": 1},
    "zstd": {"level": 1},
}
#: More serve no array.
_MAX_FILTERS = 32

#: TensorStore's default.
DEFAULT = Numcodec("blosc").with_defaults(_DEFAULTS["blosc"])


def read_compressor(member: Member, *, stored: bool) -> Numcodec | None:
    """The compressor that a document or a spec says; None for none.

    Args:
        member: The member ``compressor``.
        stored: Whether it is from a document: members that are not known are ignored then.

    Raises:
        InvalidArgument: It is no compressor.
        Unimplemented: It is one that is not known here.
    """
    if member.value is None:
        return None
    found = _read(member, stored=stored)
    if found.id not in (*STEPS, *SERIALIZERS) and not is_user_codec(found.id):
        raise Unimplemented(
            f'member "{member.path}": "{found.id}" compresses nothing, it is a filter'
        )
    return found


def read_filters(member: Member, *, stored: bool) -> tuple[Numcodec, ...]:
    """The filters that a document or a spec says, in the order of encoding; ``[]`` is null.

    Raises:
        InvalidArgument: It is no list of filters.
        Unimplemented: One is not known here, or not safe.
    """
    if member.value is None:
        return ()
    elements = member.array()
    if len(elements) > _MAX_FILTERS:
        raise member.error(f"at most {_MAX_FILTERS} filters")
    return tuple(_read(element, stored=stored) for element in elements)


def _read(member: Member, *, stored: bool) -> Numcodec:
    members = member.object(required=("id",))
    name = members.pop("id").string()
    user = user_codec(name, {key: each.value for key, each in members.items()}, member.path)
    if user is not None:
        if user.kind == "array_to_bytes":
            raise Unimplemented(
                f'member "{member.path}": the codec "{name}" makes bytes of arrays, for which '
                "there is no place in zarr v2"
            )
        return Numcodec.of(name, user.values)
    if name not in NAMES and name not in REFUSED:
        raise Unimplemented(
            f'member "{member.path}": the codec "{name}" cannot be used: it is not supported'
            f"{near_codecs(name, NAMES)}"
        )
    found = read_numcodec(name, member, generous=stored, without="id")
    values = found.values
    if name == "blosc":
        # It says how to encode, and follows from the data type.
        values.pop("typesize", None)
    if not values.get("checksum", True):
        # TensorStore refuses the array even for false.
        values.pop("checksum")
    return Numcodec.of(name, {**_DEFAULTS.get(name, {}), **values})


def codec_to_json(codec: Numcodec | None) -> Json:
    """The document's ``compressor``, or one filter; only members that every reader knows."""
    if codec is None:
        return None
    return {"id": codec.id, **codec.values}


def filters_to_json(filters: tuple[Numcodec, ...]) -> Json:
    """The document's ``filters``: null for none, because some readers refuse an empty list."""
    return [codec_to_json(each) for each in filters] or None


def is_array_filter(codec: Numcodec) -> bool:
    """Whether it sees elements, and not just bytes."""
    return codec.id in (*ARRAYS, "categorize") or is_user_codec(codec.id, "array_to_array")
