"""Every example in the docstrings of TensorStore's stub file, run here and there.

The stub file is read from the installed wheel. Both libraries run each docstring's examples in
order; what an expression gives must print alike, and what one refuses the other must refuse.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore

import asynctensor as ts

#: Docstrings whose examples need a network, or a store that is not there, by a word in them.
ELSEWHERE = ("gs://", "s3://", "http", "gcs", "ocdbt")
#: Examples whose outcome differs, each for a reason in docs/differences.md.
DIFFERENT = {
    "Transaction": "with ts.Transaction() is atomic, which a folder of files is not",
}
#: Their `repr` is Python here and their `str` is TensorStore's `repr`.
TEXTS = ("IndexDomain", "IndexTransform", "Dim", "OutputIndexMap", "OutputIndexMaps")
#: What is never the same twice: times, generations, addresses, tasks.
VARYING = re.compile(r"TimestampedStorageGeneration\([^)]*\)|0x[0-9a-f]+|<Task .*")


def docstrings() -> dict[str, str]:
    spec = importlib.util.find_spec("tensorstore")
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).with_name("__init__.pyi").read_text())
    found: dict[str, str] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef)):
                text = ast.get_docstring(child) or ""
                if ">>>" in text:
                    key = f"{prefix}{child.name}"
                    found[f"{key}@{child.lineno}" if key in found else key] = text
                visit(child, f"{prefix}{child.name}.")

    visit(tree, "")
    return found


DOCSTRINGS = docstrings()


async def outcome(source: str, scope: dict[str, Any]) -> tuple[str, ...]:
    """What one example gives: its text, nothing, or the kind of its error."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        try:
            code = compile(source, "<example>", "eval", flags)
        except SyntaxError:
            code = compile(source, "<example>", "exec", flags)
        value = eval(code, scope)
        if asyncio.iscoroutine(value):
            value = await value
    except (Exception, asyncio.CancelledError) as error:
        kinds = [cls for cls in type(error).__mro__ if cls.__module__ == "builtins"]
        # A wrong index is a ValueError or an IndexError, as TensorStore pleases; here it is both.
        # So is a key with nothing there, of which TensorStore says KeyError.
        said = KeyError if KeyError in kinds else ValueError if kinds[0] is IndexError else kinds[0]
        return ("error", said.__name__)
    shown = str(value).rstrip() if type(value).__name__ in TEXTS else repr(value)
    return ("value", VARYING.sub("", shown))


async def run(library: Any, text: str, folder: Path) -> list[tuple[str, tuple[str, ...]]]:
    os.chdir(folder)
    scope = {"ts": library, "np": np, "asyncio": asyncio}
    examples = doctest.DocTestParser().get_examples(text)
    return [(each.source, await outcome(each.source, scope)) for each in examples]


@pytest.mark.parametrize(
    "name", [name for name, text in DOCSTRINGS.items() if not any(w in text for w in ELSEWHERE)]
)
async def test_examples(
    name: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # And back, when all is done.
    ours = await run(ts, DOCSTRINGS[name], tmp_path_factory.mktemp("ours"))
    theirs = await run(tensorstore, DOCSTRINGS[name], tmp_path_factory.mktemp("theirs"))
    assert ours
    differing = [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]
    assert bool(differing) == (name in DIFFERENT), differing


def test_none_is_forgotten() -> None:
    # Should the next wheel have fewer or other examples, look at what became of them.
    assert len(DOCSTRINGS) > 200
    elsewhere = [name for name, text in DOCSTRINGS.items() if any(w in text for w in ELSEWHERE)]
    assert len(elsewhere) <= 12
    assert DIFFERENT.keys() <= DOCSTRINGS.keys()
