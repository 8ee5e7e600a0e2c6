"""JSON documents: bytes to values and back, within limits."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from asynctensor.errors import DataLoss, InvalidArgument, ResourceExhausted
from asynctensor.schema.json_element import MAX_DEPTH, copied

#: Larger documents are refused: parsed, they take about twenty times the memory.
MAX_BYTES: Final = 2**28


def parse(data: bytes) -> Any:
    """The value that a document is (RFC 8259, UTF-8). Integers keep all their digits.

    Raises:
        DataLoss: It is no JSON, or nested too deeply.
        ResourceExhausted: It is too large.
    """
    if len(data) > MAX_BYTES:
        raise ResourceExhausted(
            f"the JSON document has {len(data)} bytes; at most {MAX_BYTES} are read"
        )
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=_no_constant)
    except RecursionError:
        raise DataLoss(f"the JSON document is nested more than {MAX_DEPTH} deep") from None
    except ValueError as error:
        raise DataLoss(f"Invalid JSON: {error}") from error
    try:
        return copied(value)
    except InvalidArgument as error:
        raise DataLoss(f"the JSON document cannot be used: {error.message}") from error


def serialize(value: Any) -> bytes:
    """The document of a value that came from `copied`: compact, members sorted."""
    text = json.dumps(
        value, separators=(",", ":"), sort_keys=True, ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")
