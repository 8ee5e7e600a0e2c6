"""What is said of branches and tags."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BranchInfo:
    """A branch.

    Attributes:
        name: Its name.
        id: Its id, which stays when the name comes to mean another branch.
        origin: The id of the commit that it was forked at; None for ``main``, and where there was
            no commit yet.
    """

    name: str
    id: str
    origin: str | None


@dataclass(frozen=True, slots=True)
class TagInfo:
    """A tag.

    Attributes:
        name: Its name.
        commit: The id of the commit.
        message: Why; None if that was not said.
        author: By whom; None if that was not said.
    """

    name: str
    commit: str
    message: str | None
    author: str | None
