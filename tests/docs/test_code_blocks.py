"""The Python code in README.md and docs/ runs, each page from top to bottom."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from asynctensor.testing.registrations import registrations_undone

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> Iterator[tuple[int, str]]:
    """The line where each block's code begins, and the code."""
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        yield text.count("\n", 0, block.start(1)) + 1, block[1]


HEAVY = ROOT / "tests" / "integrations" / "heavy"


def heavy_pages() -> set[Path]:
    """The pages of libraries that take long to install: their tests are among the heavy ones."""
    names = {path.stem.removeprefix("test_") for path in HEAVY.iterdir()}
    return {path for path in (ROOT / "docs" / "integrations").glob("*.md") if path.stem in names}


def pages(*, heavy: bool = False) -> list[str]:
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    kept = [path for path in found if any(blocks(path)) and (path in heavy_pages()) is heavy]
    return [path.relative_to(ROOT).as_posix() for path in kept]


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "integrations").glob("*.md")))
def test_a_page_of_a_library_begins_with_five_lines(path: Path) -> None:
    (_, code), *_ = blocks(path)
    assert 3 <= len(ast.parse(code).body) <= 6


@pytest.mark.parametrize("page", pages())
def test_code_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(page, tmp_path, monkeypatch)


def run_page(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs all code of a page, from top to bottom."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    with registrations_undone(), asyncio.Runner() as runner:
        for line, code in blocks(ROOT / page):
            tree = ast.increment_lineno(ast.parse(code), line - 1)
            compiled = compile(tree, page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if compiled.co_flags & inspect.CO_COROUTINE:
                runner.run(eval(compiled, names))
            else:
                exec(compiled, names)


def test_readme_shows_ten_lines_and_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    ((_, code),) = blocks(ROOT / "README.md")
    body = [line for line in code.splitlines() if line.startswith("    ")]
    assert len(body) <= 10
    assert "{" not in code
    commands = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert commands is not None
    assert [line.split("#")[0].strip() for line in commands[1].splitlines()] == [
        "make demo",
        "make test",
    ]


LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def links(page: Path) -> list[Path]:
    """Where the relative links of a page lead."""
    found = LINK.findall(page.read_text(encoding="utf-8"))
    return [page.parent.joinpath(link).resolve() for link in found]


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CHANGELOG.md", *PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not link.exists()] == []


def test_every_page_is_reached_from_the_index() -> None:
    seen, left = set(), [(ROOT / "docs" / "index.md").resolve()]
    while left:
        page = left.pop()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            left += links(page)
    assert [page for page in PAGES if page.resolve() not in seen] == []
