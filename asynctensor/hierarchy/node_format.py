"""The contract between hierarchies and a format: which documents say that a node is there.

A *node* is a group or an array at some path of a store; its *documents* are the values beside it
that describe it (``zarr.json``; ``.zarray``, ``.zgroup`` and ``.zattrs``; ``attributes.json``).
Everything here is pure: the core reads and writes the documents.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from asynctensor.chunked.document_merge import OPAQUE, MergeRules
from asynctensor.hierarchy.array_summary import ArraySummary
from asynctensor.storage.kvstore import Json

Kind: TypeAlias = Literal["array", "group"]


@dataclass(frozen=True, slots=True)
class Node:
    """What the documents at one path say.

    Attributes:
        kind: ``"array"`` or ``"group"``.
        attributes: The user's attributes.
        document: The metadata document as it is stored, attributes included where it has them.
        summary: Of an array.
    """

    kind: Kind
    attributes: Mapping[str, Any] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)
    summary: ArraySummary | None = None


class NodeFormat(ABC):
    """A format, as a strategy without state.

    Attributes:
        driver: Name of its arrays' driver in specs.
        zarr_format: 2 or 3, None for what is not zarr.
        documents: Keys of all documents, relative to the node.
        group_document: The one that makes a group.
        attributes_document: The one that holds the attributes.
        consolidated_document: The one of a group that may hold a copy of all documents below.
        implicit_groups: Whether a place without documents, but with keys below, is a group.
    """

    driver: str
    zarr_format: int | None = None
    documents: tuple[str, ...]
    group_document: str
    attributes_document: str
    consolidated_document: str | None = None
    implicit_groups: bool = False

    @abstractmethod
    def node(self, documents: Mapping[str, bytes]) -> Node | None:
        """The node that these stored documents (those that exist) make; None if they make none.

        Raises:
            DataLoss: One is damaged; the message names the document and the member.
        """

    def merge_rules(self, document: str) -> MergeRules:
        """How versions of one of the documents merge, when several transactions change it."""
        del document
        return OPAQUE

    @abstractmethod
    def new_group(self, attributes: Mapping[str, Json]) -> dict[str, bytes]:
        """The documents of a new group."""

    @abstractmethod
    def attributes(self, document: bytes | None) -> dict[str, Any]:
        """The attributes in their stored document (None: there is none).

        Raises:
            DataLoss: It is damaged.
        """

    @abstractmethod
    def with_attributes(self, document: bytes | None, attributes: Mapping[str, Json]) -> bytes:
        """Their stored document with other attributes and all else as it is.

        Raises:
            DataLoss: It is damaged.
            InvalidArgument: The format has a meaning of its own for an attribute's name.
        """

    def check_attributes(self, attributes: Mapping[str, Json]) -> None:  # noqa: B027
        """Checks the names of attributes that a user wants to set.

        Raises:
            InvalidArgument: The format has a meaning of its own for one.
        """

    @abstractmethod
    def array_metadata(self, attributes: Mapping[str, Json]) -> dict[str, Any] | None:
        """Members of a spec's ``metadata`` with which an array is created with attributes.

        None if they are written into a document of their own afterwards.
        """

    @abstractmethod
    def check_name(self, name: str) -> None:
        """Checks one component of a path.

        Raises:
            InvalidArgument: The format does not allow it.
        """

    def consolidated(self, documents: Mapping[str, bytes]) -> dict[str, Node] | None:
        """The nodes that a group's documents hold a copy of, by path relative to the group.

        None if they hold no copy.

        Raises:
            DataLoss: The copy is damaged.
        """
        return None

    def with_consolidated(
        self, document: bytes | None, group: Node, below: Mapping[str, Node] | None
    ) -> bytes | None:
        """The consolidated document with a copy of the group and of what is `below`.

        Args:
            document: As it is stored.
            group: The group itself.
            below: By path relative to the group; None to leave the copy out.

        Returns:
            Its new value; None if it is to be deleted.
        """
        return document
