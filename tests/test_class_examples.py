"""Every public class shows how it is used, and its examples run."""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import asynctensor
from tests.test_surface import ITEMS


def classes() -> Iterator[tuple[str, type]]:
    """The public classes, and those within them, by name."""
    for name in asynctensor.__all__:
        kind = getattr(asynctensor, name)
        if not inspect.isclass(kind):
            continue
        yield name, kind
        for member in dir(kind):
            inner = inspect.getattr_static(kind, member)
            if inspect.isclass(inner) and not member.startswith("_"):
                yield f"{name}.{member}", inner


#: TensorStore's.
THEIRS = {item.name for item in ITEMS if isinstance(item.nodes[0], ast.ClassDef)}
OURS = dict(classes())
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples(kind: type) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(inspect.cleandoc(kind.__doc__ or ""))


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_every_class_shows_how_it_is_used(name: str) -> None:
    assert examples(OURS[name]), f"{name} has no example"


@pytest.mark.parametrize("name", sorted(name for name, kind in OURS.items() if examples(kind)))
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope = {"at": asynctensor, "np": np, "asyncio": asyncio}
    test = doctest.DocTest(examples(OURS[name]), scope, name, None, None, None)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    assert not result.failed, "".join(said)
