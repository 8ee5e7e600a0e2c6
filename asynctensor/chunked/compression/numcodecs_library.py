"""numcodecs' own objects, and the libraries behind some of them."""

from __future__ import annotations

import importlib
from typing import Any, Final

from asynctensor.chunked.compression.numcodecs_spec import Numcodec
from asynctensor.errors import InvalidArgument, Unimplemented

#: Whatever numcodecs may raise for bytes that it cannot decode.
FAILURES: Final = (
    ValueError,
    TypeError,
    RuntimeError,
    LookupError,
    OverflowError,
    AssertionError,
)
#: What is installed for it, and the name of our extra.
_EXTRAS = {"pcodec": "codecs", "zfpy": "codecs"}


def numcodecs_object(spec: Numcodec, values: dict[str, Any]) -> Any:
    """Numcodecs' own object.

    Raises:
        InvalidArgument: It refuses the members.
        Unimplemented: A library is not installed.
    """
    registry = importlib.import_module("numcodecs.registry")
    if spec.id in _EXTRAS:
        library_of(spec.id, spec.id)
    try:
        return registry.get_codec({"id": spec.id, **values})
    except FAILURES as error:
        raise InvalidArgument(f'the codec "{spec.id}": {error}') from error


def library_of(id_: str, module: str) -> Any:
    """A library that is not always installed.

    Raises:
        Unimplemented: It is not.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Unimplemented(
            f'the codec "{id_}" needs a library: pip install "asynctensor[{_EXTRAS[id_]}]"'
        ) from error
