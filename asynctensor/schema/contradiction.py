"""Which two members of a JSON document contradict each other, by their paths in it.

An error that says so is made where both are known only by what they constrain (``"dtype"``). On
its way out, whoever knows where these things were said puts that in place of it (`between`), and
whoever reads the document that holds it puts the member it stands in before (`below`), until the
paths are those of the whole document: ``"schema.dtype"`` and ``"metadata.data_type"``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from asynctensor.errors import Error, InvalidArgument

#: Where that which constrains something was said.
Place: TypeAlias = Callable[[str], str]


def contradiction(message: str, new: str, existing: str) -> InvalidArgument:
    """The error to raise for two members that contradict each other.

    Args:
        message: What each of them says.
        new: The path of one, or what it constrains.
        existing: That of the other.
    """
    error = InvalidArgument(message)
    error.contradicting = (new, existing)
    return error


@contextmanager
def colliding(new: str, existing: str | None = None) -> Iterator[None]:
    """Errors of the body are contradictions of these two, unless they say of which.

    Args:
        new: As in `contradiction`.
        existing: The same; by default the same constraint, said before.
    """
    try:
        yield
    except Error as error:
        if not error.contradicting:
            error.contradicting = (new, new if existing is None else existing)
        raise


@contextmanager
def between(new: Place, existing: Place) -> Iterator[None]:
    """Puts where they were said in place of what the two of a contradiction constrain."""
    try:
        yield
    except Error as error:
        if len(error.contradicting) == 2:
            one, other = error.contradicting
            error.contradicting = (new(one), existing(other))
        raise


@contextmanager
def below(member: str) -> Iterator[None]:
    """Puts `member` before the paths of contradictions: the body reads what is in it."""
    try:
        yield
    except Error as error:
        error.contradicting = tuple(joined(member, each) for each in error.contradicting)
        raise


def joined(path: str, further: str) -> str:
    """The path of what is at `further` in the value at `path`."""
    return path + further if further.startswith("[") else f"{path}.{further}"


def same(path: str) -> str:
    """The place of what is known by its path already."""
    return path


def in_schema(path: str) -> str:
    """Where a spec's schema says a constraint."""
    return joined("schema", path)


@dataclass(frozen=True, slots=True)
class SaidAt:
    """Where constraints of a schema are said by something else.

    Attributes:
        places: The paths, by constraint; one of a part of it (``"chunk_layout.inner_order"``)
            comes before that of the whole.
        otherwise: The path of all others.
    """

    places: Mapping[str, str]
    otherwise: str

    def __call__(self, path: str) -> str:
        part = path
        while part and part not in self.places:
            part = part.rpartition(".")[0]
        return self.places.get(part, self.otherwise)


@contextmanager
def written_in(json: Any) -> Iterator[None]:
    """Puts the names that `json` has for them in place of others of the same members.

    ``dtype`` and ``rank`` of a schema may stand beside it, and ``chunk`` may stand for the chunks
    of every use.
    """
    try:
        yield
    except Error as error:
        found: list[str] = []
        for path in error.contradicting:
            names = [each for each in _names(path) if _is_in(json, each)] or [path]
            found.append(next((each for each in names if each not in found), names[0]))
        error.contradicting = tuple(found)
        raise


def _names(path: str) -> Iterator[str]:
    yield path
    yield re.sub(r"\b(write|read|codec)_chunk\b", "chunk", path)
    yield re.sub(r"\bschema\.(dtype|rank)$", r"\1", path)


def _is_in(json: Any, path: str) -> bool:
    for name, position in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        if name:
            if not isinstance(json, Mapping) or name not in json:
                return False
            json = json[name]
        else:
            if not isinstance(json, list | tuple) or int(position) >= len(json):
                return False
            json = json[int(position)]
    return True
