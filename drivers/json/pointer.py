"""JSON Pointers (RFC 6901): finding and replacing parts of a JSON value.

The rules where the RFC leaves a choice are TensorStore's: writing creates the objects that lead to
a member, never array elements but by ``-``, which appends.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

from asynctensor.errors import Error, FailedPrecondition, InvalidArgument, NotFound, OutOfRange
from asynctensor.schema.json_value import dump

#: The reference tokens of a pointer, unescaped.
Tokens: TypeAlias = tuple[str, ...]
_BAD_ESCAPE: Final = re.compile(r"~(?![01])")
#: RFC 6901, section 4: no leading zeros.
_INDEX: Final = re.compile(r"0|[1-9][0-9]*")
_MISSING: Final = object()


def parse_pointer(pointer: str) -> Tokens:
    """The tokens of a pointer; none for the whole document.

    Raises:
        InvalidArgument: It is none.
    """
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        raise InvalidArgument(f"JSON Pointer does not start with '/': {dump(pointer)}")
    if _BAD_ESCAPE.search(pointer):
        raise InvalidArgument(
            f"JSON Pointer requires '~' to be followed by '0' or '1': {dump(pointer)}"
        )
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/"))


def format_pointer(tokens: Tokens) -> str:
    """The pointer of these tokens."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)


def find(document: Any, tokens: Tokens) -> Any:
    """The part of `document` that a pointer refers to, itself and not a copy.

    Raises:
        NotFound: An object has no such member.
        OutOfRange: An array has fewer elements.
        FailedPrecondition: It leads into something that is neither, or to no element.
    """
    for depth, name in enumerate(tokens):
        here = tokens[: depth + 1]
        if isinstance(document, dict):
            if name not in document:
                raise NotFound(f"JSON Pointer {_text(here)} refers to non-existent object member")
            document = document[name]
        elif isinstance(document, list):
            if name == "-":
                raise FailedPrecondition(
                    f"JSON Pointer {_text(here)} refers to non-existent array element"
                )
            document = document[_index(document, here, OutOfRange)]
        else:
            raise _inapplicable(here, document)
    return document


def put(document: Any, tokens: Tokens, value: Any) -> Any:
    """Replaces the part of `document` that a pointer refers to, in place.

    Args:
        document: Parsed JSON, which is changed; `ABSENT` if there is no document yet.
        tokens: Where.
        value: The new value, which becomes part of the document.

    Returns:
        The document, which is `value` itself for the pointer to the whole.

    Raises:
        FailedPrecondition: The pointer leads nowhere, or to an array element that is not there;
            nothing was changed then.
    """
    if not tokens:
        return value
    if document is ABSENT:
        return _nested(tokens, value)
    container = document
    for depth, name in enumerate(tokens):
        here = tokens[: depth + 1]
        last = depth == len(tokens) - 1
        if isinstance(container, dict):
            below = container.get(name, _MISSING)
            if last or below is _MISSING:
                container[name] = _nested(tokens[depth + 1 :], value)
                return document
        elif isinstance(container, list):
            if name == "-":
                container.append(_nested(tokens[depth + 1 :], value))
                return document
            place = _index(container, here, FailedPrecondition)
            if last:
                container[place] = value
                return document
            below = container[place]
        else:
            raise _inapplicable(here, container)
        container = below
    raise AssertionError("the last token returns")


#: Stands for a document that does not exist, in `put`.
ABSENT: Final = _MISSING


def _nested(tokens: Tokens, value: Any) -> Any:
    for token in reversed(tokens):
        value = {token: value}
    return value


def _index(array: list[Any], here: Tokens, too_large: type[Error]) -> int:
    if not _INDEX.fullmatch(here[-1]):
        raise FailedPrecondition(f"JSON Pointer {_text(here)} is invalid for array value")
    # Compared as text first: nobody parses a number of a million digits.
    if len(here[-1]) > 18 or int(here[-1]) >= len(array):
        raise too_large(
            f"JSON Pointer {_text(here)} is out-of-range for array of size {len(array)}"
        )
    return int(here[-1])


def _inapplicable(here: Tokens, value: Any) -> FailedPrecondition:
    kinds = {str: "string", bool: "boolean", type(None): "null"}
    return FailedPrecondition(
        f"JSON Pointer reference {_text(here)} cannot be applied to "
        f"{kinds.get(type(value), 'number')} value: {dump(value)[:100]}"
    )


def _text(tokens: Tokens) -> str:
    return dump(format_pointer(tokens))
