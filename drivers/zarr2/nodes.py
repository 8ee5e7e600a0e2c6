"""Groups, attributes and consolidated metadata of zarr v2.

Source: zarr storage specification, version 2. ``.zarray`` or ``.zgroup`` makes a node, ``.zattrs``
holds its attributes (missing: none), and a group's ``.zmetadata`` may hold copies::

    {"zarr_consolidated_format": 1, "metadata": {"a/.zarray": document, "a/.zattrs": ...}}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from asynctensor.chunked.document_merge import MEMBERS, MergeRules
from asynctensor.chunked.member import Member, dump_document, load_document
from asynctensor.drivers.zarr2.merging import DOCUMENT
from asynctensor.errors import DataLoss, InvalidArgument
from asynctensor.hierarchy.array_summary import ArraySummary, read_sizes
from asynctensor.hierarchy.node_format import Node, NodeFormat
from asynctensor.hierarchy.node_path import check_dots
from asynctensor.storage.kvstore import Json

_ARRAY: Final = ".zarray"
_GROUP: Final = ".zgroup"
_ATTRIBUTES: Final = ".zattrs"
_CONSOLIDATED: Final = ".zmetadata"


class Zarr2Nodes(NodeFormat):
    """Zarr v2."""

    driver = "zarr"
    zarr_format = 2
    documents = (_ARRAY, _GROUP, _ATTRIBUTES)
    group_document = _GROUP
    attributes_document = _ATTRIBUTES
    consolidated_document = _CONSOLIDATED

    def node(self, documents: Mapping[str, bytes]) -> Node | None:
        return _node({name: load_document(data) for name, data in documents.items()})

    def merge_rules(self, document: str) -> MergeRules:
        return DOCUMENT if document == _ARRAY else MEMBERS

    def new_group(self, attributes: Mapping[str, Json]) -> dict[str, bytes]:
        documents = {_GROUP: dump_document({"zarr_format": 2})}
        if attributes:
            documents[_ATTRIBUTES] = dump_document(dict(attributes))
        return documents

    def attributes(self, document: bytes | None) -> dict[str, Any]:
        return {} if document is None else dict(load_document(document).value)

    def with_attributes(self, document: bytes | None, attributes: Mapping[str, Json]) -> bytes:
        return dump_document(dict(attributes))

    def array_metadata(self, attributes: Mapping[str, Json]) -> dict[str, Any] | None:
        return None if attributes else {}

    def check_name(self, name: str) -> None:
        check_dots(name)
        if name in (_ARRAY, _GROUP, _ATTRIBUTES, _CONSOLIDATED) or "\\" in name:
            raise InvalidArgument(
                f"{name!r} is no name of a zarr v2 node: it is reserved, or holds a backslash"
            )

    def consolidated(self, documents: Mapping[str, bytes]) -> dict[str, Node] | None:
        if _CONSOLIDATED not in documents:
            return None
        member = load_document(documents[_CONSOLIDATED])
        try:
            found = member.object(required=("zarr_consolidated_format", "metadata"))
            found["zarr_consolidated_format"].integer(1, 1)
            copies: dict[str, dict[str, Member]] = {}
            for key, each in found["metadata"].object().items():
                path, _, name = key.rpartition("/")
                each.object()
                if name in self.documents:
                    copies.setdefault(path, {})[name] = each
        except InvalidArgument as error:
            raise DataLoss(f"invalid consolidated metadata: {error.message}") from error
        nodes = {path: _node(members) for path, members in copies.items()}
        return {path: node for path, node in nodes.items() if node is not None and path}

    def with_consolidated(
        self, document: bytes | None, group: Node, below: Mapping[str, Node] | None
    ) -> bytes | None:
        if below is None:
            return None
        metadata: dict[str, Any] = {}
        for path in sorted(below):
            metadata.update(_copies(f"{path}/", below[path]))
        metadata.update(_copies("", group))
        content: dict[str, Json] = {"zarr_consolidated_format": 1, "metadata": metadata}
        return dump_document(content)


def _node(documents: Mapping[str, Member]) -> Node | None:
    kind = _ARRAY if _ARRAY in documents else _GROUP
    member = documents.get(kind)
    if member is None:
        return None
    try:
        member.object(required=("zarr_format",))["zarr_format"].integer(2, 2)
    except InvalidArgument as error:
        raise DataLoss(f"invalid zarr v2 metadata: {error.message}") from error
    attributes = documents[_ATTRIBUTES].value if _ATTRIBUTES in documents else {}
    if kind == _GROUP:
        return Node("group", attributes, member.value)
    return Node("array", attributes, member.value, _summary(member.value))


def _copies(prefix: str, node: Node) -> Iterator[tuple[str, Any]]:
    yield prefix + (_ARRAY if node.kind == "array" else _GROUP), dict(node.document)
    yield prefix + _ATTRIBUTES, dict(node.attributes)


def _summary(document: Mapping[str, Any]) -> ArraySummary:
    """Whatever can be said of an array; nothing is refused here."""
    return ArraySummary(
        shape=read_sizes(document.get("shape")) or (),
        dtype=_type_name(document.get("dtype")),
        chunk_shape=read_sizes(document.get("chunks")),
        codecs=tuple(_codec_names(document)),
        fill_value=document.get("fill_value"),
    )


def _codec_names(document: Mapping[str, Any]) -> Iterator[str]:
    filters = document.get("filters")
    for each in [*(filters if isinstance(filters, list) else ()), document.get("compressor")]:
        name = each.get("id") if isinstance(each, dict) else None
        if isinstance(name, str):
            yield name


def _type_name(dtype: Any) -> str:
    if not isinstance(dtype, str):
        return json.dumps(dtype)
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError):
        return dtype
    return found.name if found.kind in "biufc" else dtype
