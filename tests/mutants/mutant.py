"""A mutant: a patch that takes one safeguard away, and the test that must notice.

A patch file opens with two headers, and continues as a unified diff against the root::

    What: the commit of `memory` does not look at what it rests on
    Test: tests/torture/test_torture.py::test_ten_worlds_without_anomaly

    --- a/kvstores/memory/memory_map.py
    +++ b/kvstores/memory/memory_map.py
    @@ -74,3 +74,3 @@
     ...

Hunks are found by their lines, and by their number only where the lines occur more than once, so
that a patch outlives changes elsewhere in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")


class Stale(Exception):
    """A patch that does not fit the tree any more."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """One change: `old` lines, found near `line`, become `new` ones."""

    line: int
    old: tuple[str, ...]
    new: tuple[str, ...]

    def applied(self, lines: list[str]) -> list[str]:
        """The lines of a file with it applied.

        Raises:
            Stale: The old lines are not there.
        """
        length = len(self.old)
        places = [
            at
            for at in range(len(lines) - length + 1)
            if tuple(lines[at : at + length]) == self.old
        ]
        if not places:
            raise Stale("these lines are not there any more:\n" + "\n".join(self.old))
        at = min(places, key=lambda place: abs(place + 1 - self.line))
        return [*lines[:at], *self.new, *lines[at + length :]]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One of them.

    Attributes:
        name: Of its file, without ``.patch``.
        what: Which safeguard is missing.
        test: The node id of a test, or of a file of tests, that must fail.
        changes: Hunks, by path.
    """

    name: str
    what: str
    test: str
    changes: Mapping[str, tuple[Hunk, ...]]

    def applied(self, root: Path) -> dict[Path, str]:
        """The texts that the files below `root` get.

        Raises:
            Stale: The patch does not fit them.
        """
        texts = {}
        for name, hunks in self.changes.items():
            path = root / name
            if not path.is_file():
                raise Stale(f"{self.name}: there is no {name}")
            lines = path.read_text(encoding="utf-8").split("\n")
            try:
                for hunk in hunks:
                    lines = hunk.applied(lines)
            except Stale as error:
                raise Stale(f"{self.name}: {name}: {error}") from None
            texts[path] = "\n".join(lines)
        return texts


def load(path: Path) -> Mutant:
    """Reads a patch file.

    Raises:
        ValueError: It is none.
    """
    head, _, diff = path.read_text(encoding="utf-8").partition("\n--- ")
    fields = dict(re.findall(r"^(What|Test): (.+)$", head, re.MULTILINE))
    changes: dict[str, list[Hunk]] = {}
    for part in diff.split("\n--- ") if diff else ():
        old_name, new_name, *lines = part.rstrip("\n").split("\n")
        name = old_name.partition("/")[2].strip()
        if not name or new_name != f"+++ b/{name}":
            raise ValueError(f"{path.name} is no patch: {old_name!r}, {new_name!r}")
        changes[name] = _hunks(lines, path.name)
    if not changes or fields.keys() != {"What", "Test"}:
        raise ValueError(f"{path.name} needs What:, Test: and a unified diff")
    return Mutant(
        path.stem,
        fields["What"],
        fields["Test"],
        {name: tuple(hunks) for name, hunks in changes.items()},
    )


def _hunks(lines: list[str], name: str) -> list[Hunk]:
    hunks: list[Hunk] = []
    current: list[str] = []
    number = 0
    for line in [*lines, "@@ -0 +0 @@"]:
        start = _HUNK.match(line)
        if start is None:
            current.append(line or " ")
            continue
        if current:
            wrong = [text for text in current if text[0] not in " +-"]
            if wrong:
                raise ValueError(f"{name} is no patch: {wrong[0]!r}")
            old = tuple(text[1:] for text in current if text[0] != "+")
            new = tuple(text[1:] for text in current if text[0] != "-")
            hunks.append(Hunk(number, old, new))
        number, current = int(start[1]), []
    return hunks


def every() -> list[Mutant]:
    """All mutants, by name."""
    return [load(path) for path in sorted(FOLDER.glob("*.patch"))]
