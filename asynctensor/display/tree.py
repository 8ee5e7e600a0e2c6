"""`Tree`: a hierarchy as text and as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One node of a tree.

    Attributes:
        name: Its name.
        label: What is said beside it.
        is_group: Whether it can have children.
        children: Its children.
    """

    name: str
    label: str = ""
    is_group: bool = False
    children: tuple[TreeNode, ...] = ()


@dataclass(frozen=True, slots=True)
class Tree:
    """A hierarchy, shown: ``print`` it, or let a notebook or rich do so.

    Attributes:
        root: The group that was asked.
        is_complete: Whether nothing was left out.
    """

    root: TreeNode
    is_complete: bool = True

    def __str__(self) -> str:
        lines = [_said(self.root), *_lines(self.root.children, "")]
        if not self.is_complete:
            lines.append("… (more; see max_depth and max_nodes)")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """For notebooks: groups can be opened and closed."""
        more = "" if self.is_complete else "<div>… (more; see max_depth and max_nodes)</div>"
        return (
            '<div style="font-family:monospace;font-size:13px;line-height:1.5">'
            f"{_html(self.root)}{more}</div>"
        )

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        """For rich, which alone calls it: nothing else here needs rich."""
        from rich.text import Text

        yield Text(str(self), no_wrap=True, overflow="ellipsis")


def tree_of(name: str, nodes: Sequence[tuple[str, TreeNode]], *, is_complete: bool = True) -> Tree:
    """The tree of nodes by path, parents before their children.

    Args:
        name: Of the root.
        nodes: Path relative to the root, and the node without children.
        is_complete: See `Tree`.
    """
    below: dict[str, list[tuple[str, TreeNode]]] = {}
    for path, node in nodes:
        below.setdefault(path.rpartition("/")[0], []).append((path, node))

    def grown(path: str, node: TreeNode) -> TreeNode:
        children = tuple(grown(*child) for child in below.get(path, ()))
        return TreeNode(node.name, node.label, node.is_group, children)

    return Tree(grown("", TreeNode(name, is_group=True)), is_complete)


def _said(node: TreeNode) -> str:
    return f"{node.name} {node.label}".rstrip()


def _lines(nodes: Sequence[TreeNode], margin: str) -> Iterator[str]:
    for k, node in enumerate(nodes):
        last = k == len(nodes) - 1
        yield margin + ("└── " if last else "├── ") + _said(node)
        yield from _lines(node.children, margin + ("    " if last else "│   "))


def _html(node: TreeNode) -> str:
    said = f'{escape(node.name)} <span style="opacity:.7">{escape(node.label)}</span>'
    if not node.is_group:
        return f'<div style="margin-left:1.1em">{said}</div>'
    children = "".join(map(_html, node.children))
    return (
        f'<details open><summary style="cursor:pointer"><b>{said}</b></summary>'
        f'<div style="margin-left:1.1em">{children}</div></details>'
    )
