"""The generated parts of the docs are those that the contracts and tables give."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import generate


@pytest.mark.parametrize("page", generate.PAGES, ids=lambda page: page.name)
def test_generated_parts_are_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert generate.generated(text) == text, "run `make docs`"


@pytest.mark.parametrize("path", generate.FIGURES, ids=lambda path: path.name)
def test_figures_are_up_to_date(path: Path) -> None:
    assert generate.FIGURES[path]() == path.read_text(encoding="utf-8"), "run `make docs`"


def test_every_part_stands_on_a_page() -> None:
    found = {
        part[2]
        for page in generate.PAGES
        for part in generate.PART.finditer(page.read_text(encoding="utf-8"))
    }
    assert found == set(generate.PARTS)


def test_the_highest_floor_is_drawn_first() -> None:
    picture = generate.floors()
    assert picture.index("drivers") < picture.index("chunked") < picture.index("errors")


def test_the_transaction_is_drawn_from_its_table() -> None:
    picture = generate.states()
    assert "OPEN --> FINISHING : commit is asked for" in picture
    assert "COMMITTED --> [*]" in picture
    assert "OPEN --> [*]" not in picture
