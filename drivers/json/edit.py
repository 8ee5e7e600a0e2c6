"""Edits of JSON documents: one alone, or several in the order in which they came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asynctensor.drivers.json.pointer import ABSENT, Tokens, put
from asynctensor.drivers.json.text import parse, serialize
from asynctensor.errors import Error
from asynctensor.schema.json_element import copied


@dataclass(frozen=True, slots=True)
class Edit:
    """What is at a pointer shall become a value.

    Attributes:
        tokens: The pointer.
        value: A value from `copied`, which nobody changes.
    """

    tokens: Tokens
    value: Any


def edited(current: bytes | None, edits: Sequence[Edit]) -> tuple[bytes | None, list[Error | None]]:
    """Applies edits to a document, each as if it were alone: one that fails changes nothing.

    Args:
        current: The document; None if there is none.
        edits: The edits, in order.

    Returns:
        The new document (None: as before), and the error of each edit that failed.

    Raises:
        DataLoss, ResourceExhausted: See `parse`; what replaces the whole document needs none.
    """
    # Nothing before a new document matters, but for whether it fails, which it cannot.
    start = max((n for n, edit in enumerate(edits) if not edit.tokens), default=0)
    document = ABSENT
    if current is not None and edits[start].tokens:
        document = parse(current)
    errors: list[Error | None] = [None] * start
    for edit in edits[start:]:
        try:
            # Later edits change what earlier ones put there, never what their callers gave.
            document = put(document, edit.tokens, copied(edit.value))
            errors.append(None)
        except Error as error:
            errors.append(error)
    if all(error is not None for error in errors):
        return None, errors
    return serialize(document), errors
