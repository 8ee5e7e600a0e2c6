"""`asynctensor.integrations`: loaded when asked for, and clear where a library is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import asynctensor as at
from asynctensor import integrations

ROOT = Path(__file__).parents[2]


def test_they_are_loaded_when_asked_for() -> None:
    code = (
        "import sys, asynctensor as at; faces = at.integrations;"
        "assert not {'fsspec', 'obstore', 'xarray', 'zarr'} & set(sys.modules), 'too early';"
        "print(faces.zarr.Store.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "Store\n"


@pytest.mark.parametrize("name", integrations._FACES)
def test_a_missing_library_is_named(name: str) -> None:
    code = (
        f"import sys; sys.modules[{name!r}] = None;import asynctensor as at; at.integrations.{name}"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    # Where more than one is missing, whichever it needs first.
    assert re.fullmatch(
        rf"ModuleNotFoundError: asynctensor\.integrations\.{name} needs \w+, which is not "
        rf"installed: pip install 'asynctensor\[{name}\]'",
        done.stderr.splitlines()[-1],
    )


@pytest.mark.parametrize(
    ("name", "spec"), [("fsspec", {"protocol": "file"}), ("obstore", {"url": "memory:///"})]
)
def test_a_kvstore_whose_library_is_missing(name: str, spec: dict[str, str]) -> None:
    code = (
        f"import sys; sys.modules[{name!r}] = None;"
        f"import asynctensor as at; at.KvStore.open({ {'driver': name, **spec} }).result()"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        f'asynctensor.errors.Unimplemented: the kvstore "{name}" needs {name}, which is not '
        f'installed: pip install "asynctensor[{name}]"'
    )


def test_each_has_an_extra_and_a_page() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for name in integrations._FACES:
        assert name in extras
        assert (ROOT / "docs" / "integrations" / f"{name}.md").exists()


def test_others_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = at.integrations.nothing
    assert set(integrations._FACES) <= set(dir(integrations))
