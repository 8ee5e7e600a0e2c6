"""Names of the front door that are loaded when they are asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import asynctensor


def test_they_are_those_that_type_checkers_see() -> None:
    source = Path(asynctensor.__file__).read_text(encoding="utf-8")
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.If):
            for each in node.body:
                assert isinstance(each, ast.ImportFrom)
                found |= {alias.name: each.module for alias in each.names}
    assert found == asynctensor._LATER
    assert set(found) <= set(asynctensor.__all__) <= set(dir(asynctensor))


def test_they_are_there_and_others_are_not() -> None:
    for name, module in asynctensor._LATER.items():
        assert getattr(asynctensor, name) is getattr(sys.modules[module], name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = asynctensor.nothing


def test_they_are_not_loaded_by_importing() -> None:
    code = "import sys, asynctensor; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert "asynctensor.opening" in loaded.stdout.split()
    assert "asynctensor.groups.opening" not in loaded.stdout.split()
