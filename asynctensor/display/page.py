"""`Display`: what an object shows of itself, as HTML for notebooks and as text for rich."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from asynctensor.display.box import box
from asynctensor.display.picture import Picture, shape_text
from asynctensor.display.svg import svg

#: Longer values are cut: a page shows what something is, not all that it says.
_LONGEST = 300
_TABLE = "border-collapse:collapse;border:none;margin:0;font-size:13px;color:inherit"
_CELL = "padding:2px 10px 2px 0;text-align:left;vertical-align:top;border:none;background:none"


@dataclass(frozen=True, slots=True)
class Display:
    """What is shown.

    Attributes:
        title: What it is: ``"TensorStore"``.
        headline: The most important of it, in one line.
        rows: Names and values.
        picture: What to draw beside them.
    """

    title: str
    headline: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    picture: Picture | None = None

    def html(self) -> str:
        """As HTML: every value is escaped, whatever a store says."""
        rows = "".join(
            f'<tr style="background:none"><th style="{_CELL};font-weight:600;opacity:.7">'
            f'{escape(name)}</th><td style="{_CELL};word-break:break-word">'
            f"{escape(_cut(value))}</td></tr>"
            for name, value in self.rows
        )
        head = (
            f'<div style="margin-bottom:4px"><b>{escape(self.title)}</b> '
            f'<span style="opacity:.8">{escape(_cut(self.headline))}</span></div>'
        )
        table = f'<table style="{_TABLE}">{rows}</table>'
        drawing = "" if self.picture is None else _drawing(self.picture)
        return (
            '<div style="font-family:sans-serif;font-size:13px;line-height:1.4">'
            f'{head}<div style="display:flex;flex-wrap:wrap;gap:24px;align-items:flex-start">'
            f"<div>{table}</div>{drawing}</div></div>"
        )

    def text(self) -> str:
        """As plain text, the drawing beside the rows."""
        width = max((len(name) for name, _ in self.rows), default=0)
        right = [f"{name:<{width}}  {_cut(value)}" for name, value in self.rows]
        left = [] if self.picture is None else box(self.picture)
        margin = max(map(len, left), default=0)
        lines = [f"{self.title}  {_cut(self.headline)}".rstrip()]
        for k in range(max(len(left), len(right))):
            drawn = left[k] if k < len(left) else ""
            said = right[k] if k < len(right) else ""
            lines.append(f"{drawn:<{margin}}  {said}".rstrip() if margin else said)
        return "\n".join(lines)


class Displayed(ABC):
    """What notebooks and rich show; `repr` stays TensorStore's. Nothing of it does any I/O."""

    __slots__ = ()

    @abstractmethod
    def _display(self) -> Display:
        """What is shown."""

    def _repr_html_(self) -> str:
        """For notebooks."""
        return self._display().html()

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        """For rich, which alone calls it: nothing else here needs rich."""
        from rich.text import Text

        first, _, rest = self._display().text().partition("\n")
        yield Text(first, style="bold")
        if rest:
            yield Text(rest, no_wrap=True, overflow="ellipsis")


def _drawing(picture: Picture) -> str:
    hidden = [axis.size for axis in picture.hidden]
    said = f"one of {shape_text(hidden)}" if hidden else ""
    return (
        f'<div>{svg(picture)}<div style="font-size:11px;opacity:.7;text-align:center">'
        f"{escape(said)}</div></div>"
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
