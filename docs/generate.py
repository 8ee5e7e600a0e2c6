"""Rewrites the generated parts of the docs: ``python -m docs.generate [--check]``.

The floors come from the import contracts in pyproject.toml, the state diagrams from the tables in
the code. A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import tomllib
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

from docs import figures

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "docs" / "design.md",
    ROOT / "docs" / "design" / "scheduler.md",
    ROOT / "docs" / "design" / "states.md",
    ROOT / "docs" / "design" / "transactions.md",
)
TABLE = re.compile(r"^MOVES\b", re.MULTILINE)
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def contracts() -> list[dict[str, Any]]:
    """The import contracts, in their order."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    return found


def floors() -> str:
    """The layers as a house: the highest floor first, one line each."""
    (house,) = (c for c in contracts() if c["type"] == "layers")
    lines = [
        "   ".join(room.strip(" ()") for room in re.split("[|:]", layer))
        for layer in house["layers"]
    ]
    width = max(map(len, lines))
    wall = f"+{'-' * (width + 4)}+"
    storeys = [f"|  {line.center(width)}  |\n{wall}" for line in lines]
    return "\n".join(["```text", wall, *storeys, "```"])


def other_contracts() -> str:
    """What is enforced besides the floors."""
    return "\n".join(f"- {c['name']}." for c in contracts() if c["type"] != "layers")


def machines() -> list[ModuleType]:
    """The modules that hold a table of moves: ``MOVES``, from (state, event) to state."""
    found = []
    for room in ("asynctensor", "drivers", "kvstores"):
        for path in sorted((ROOT / room).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            linked = module.startswith(("asynctensor.drivers.", "asynctensor.kvstores."))
            if not linked and TABLE.search(path.read_text(encoding="utf-8")):
                outer = module if room == "asynctensor" else f"asynctensor.{module}"
                found.append(importlib.import_module(outer))
    return found


def states() -> str:
    """A diagram for each table of moves."""
    return "\n\n".join(map(diagram, machines()))


def read_states() -> str:
    """The diagram of the scheduler's reads."""
    return diagram(importlib.import_module("asynctensor.scheduler.read_states"))


def transaction_states() -> str:
    """The diagram of transactions."""
    return diagram(importlib.import_module("asynctensor.transaction.states"))


def diagram(machine: ModuleType) -> str:
    """One table as a Mermaid diagram; the first state is where it begins."""
    moves: dict[tuple[Enum, Enum], Enum] = machine.MOVES
    order = list(type(next(iter(moves))[0]))
    lines = [f'    state "{state.value}" as {state.name}' for state in order]
    lines.append(f"    [*] --> {order[0].name}")
    lines += [
        f"    {state.name} --> {following.name} : {event.value}"
        for (state, event), following in moves.items()
    ]
    final = {state for state in order if all(s != state or f == s for (s, _), f in moves.items())}
    lines += [f"    {state.name} --> [*]" for state in order if state in final]
    title = (machine.__doc__ or "").splitlines()[0]
    body = "\n".join(lines)
    return f"## `{machine.__name__}`\n\n{title}\n\n```mermaid\nstateDiagram-v2\n{body}\n```"


def decisions() -> str:
    """The pages in docs/design/, by their headings."""
    pages = sorted((ROOT / "docs" / "design").glob("*.md"))
    return "\n".join(
        f"- [{page.read_text(encoding='utf-8').splitlines()[0].lstrip('# ')}](design/{page.name})"
        for page in pages
    )


PARTS: dict[str, Callable[[], str]] = {
    "floors": floors,
    "contracts": other_contracts,
    "states": states,
    "read_states": read_states,
    "transaction_states": transaction_states,
    "decisions": decisions,
}


#: Pictures that are drawn from what the code decides, and by whom.
FIGURES: dict[Path, Callable[[], str]] = {
    ROOT / "docs" / "coalescing.svg": figures.coalescing,
}


def generated(page: str) -> str:
    """The page with all its generated parts made anew."""

    def fill(part: re.Match[str]) -> str:
        return f"{part[1]}\n{PARTS[part[2]]()}\n\n{part[3]}"

    return PART.sub(fill, page)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail if outdated")
    arguments = parser.parse_args()
    outdated = []
    for path in (*PAGES, *FIGURES):
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        new = FIGURES[path]() if path in FIGURES else generated(old)
        if new != old:
            outdated.append(path.relative_to(ROOT).as_posix())
            if not arguments.check:
                path.write_text(new, encoding="utf-8")
    if outdated and arguments.check:
        print(f"{', '.join(outdated)}: outdated; run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
