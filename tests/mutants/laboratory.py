"""Where mutants are tried: a copy of the tree, one mutant at a time, and the test of each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self

from tests.mutants.mutant import ROOT, Mutant, Stale

#: What is not copied.
_ASIDE = frozenset({".git", ".srv", "build", "dist", "output", ".data", "__pycache__"})
#: Seconds after which a test counts as one that hangs, which is one way to fail.
_PATIENCE = 300.0


class Verdict(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    #: The patch does not fit the tree, or the test does not run.
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Trial:
    """One mutant tried.

    Attributes:
        mutant: Which.
        verdict: What became of it.
        seconds: How long its test ran.
        text: The last lines that the test printed, unless it was killed.
    """

    mutant: Mutant
    verdict: Verdict
    seconds: float
    text: str = ""


class Laboratory:
    """A copy of the tree in a temporary folder; leaving the context removes it."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="mutants-")
        self.root = Path(self._temporary.name) / "tree"

    def __enter__(self) -> Self:
        shutil.copytree(
            ROOT,
            self.root,
            symlinks=True,
            ignore=lambda _, names: [n for n in names if n in _ASIDE or n.startswith(".venv")],
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    def check(self) -> None:
        """Makes sure that what runs here is what was copied.

        Raises:
            RuntimeError: It is not.
        """
        code = "import asynctensor, asynctensor.kvstores.memory.store as s; print(s.__file__)"
        found = self._run([sys.executable, "-c", code]).stdout.strip()
        if not Path(found).resolve().is_relative_to(self.root.resolve()):
            raise RuntimeError(f"mutants would not be tried: the copy imports {found!r}")

    def healthy(self, tests: Iterable[str]) -> str:
        """Runs tests without any mutant; empty if they pass, or what they printed."""
        status, text = self._test([*dict.fromkeys(tests)], patience=10 * _PATIENCE)
        return "" if status == 0 else text

    def tried(self, mutant: Mutant) -> Trial:
        """Lets one mutant live for as long as its test takes."""
        began = time.monotonic()
        try:
            with self._mutated(mutant):
                status, text = self._test([mutant.test])
        except Stale as error:
            return Trial(mutant, Verdict.BROKEN, 0.0, str(error))
        seconds = time.monotonic() - began
        # pytest: 0 all passed, 1 some failed; others: it could not run them.
        verdict = {0: Verdict.SURVIVED, 1: Verdict.KILLED}.get(status, Verdict.BROKEN)
        return Trial(mutant, verdict, seconds, "" if verdict is Verdict.KILLED else text)

    @contextmanager
    def _mutated(self, mutant: Mutant) -> Iterator[None]:
        before = {}
        try:
            for path, text in mutant.applied(self.root).items():
                before[path] = path.read_text(encoding="utf-8")
                path.write_text(text, encoding="utf-8")
            yield
        finally:
            for path, text in before.items():
                path.write_text(text, encoding="utf-8")

    def _test(self, tests: list[str], *, patience: float = _PATIENCE) -> tuple[int, str]:
        # Servers, which the slow ones talk to, are not there.
        options = ["-q", "-x", "-p", "no:cacheprovider", "--tb", "line", "-m", "not slow"]
        try:
            done = self._run([sys.executable, "-m", "pytest", *options, *tests], patience)
        except subprocess.TimeoutExpired:
            return 1, f"no end after {patience:.0f} s"
        return done.returncode, "\n".join(done.stdout.splitlines()[-15:])

    def _run(
        self, command: list[str], patience: float = _PATIENCE
    ) -> subprocess.CompletedProcess[str]:
        # Two versions of a file may have the same size and be of the same second.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            command,
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=patience,
            check=False,
        )
