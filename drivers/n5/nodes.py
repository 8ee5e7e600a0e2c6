"""Groups and attributes of N5: all in ``attributes.json``.

Source: N5 specification, "File-system specification", numbers 1 to 4. A directory is a group, with
or without attributes; one whose attributes say ``dimensions`` is a dataset. The root's ``n5`` is
the version of the specification. N5 has no consolidated metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from asynctensor.chunked.document_merge import MergeRules
from asynctensor.chunked.member import Member, dump_document, load_document
from asynctensor.drivers.n5.merging import DOCUMENT
from asynctensor.errors import DataLoss, InvalidArgument
from asynctensor.hierarchy.array_summary import ArraySummary, read_sizes
from asynctensor.hierarchy.node_format import Kind, Node, NodeFormat
from asynctensor.hierarchy.node_path import check_dots
from asynctensor.storage.kvstore import Json

_DOCUMENT: Final = "attributes.json"
#: Members that are no attributes of the user.
_RESERVED: Final = ("n5", "dimensions", "blockSize", "dataType", "compression", "compressionType")
#: Old readers refuse newer versions, which differ in nothing that is written here.
_VERSION: Final = "2.0.0"


class N5Nodes(NodeFormat):
    """N5."""

    driver = "n5"
    documents = (_DOCUMENT,)
    group_document = attributes_document = _DOCUMENT
    implicit_groups = True

    def node(self, documents: Mapping[str, bytes]) -> Node | None:
        if _DOCUMENT not in documents:
            return None
        member = load_document(documents[_DOCUMENT])
        kind: Kind = "array" if "dimensions" in member.value else "group"
        summary = None
        if kind == "array":
            try:
                summary = _summary(member)
            except InvalidArgument as error:
                raise DataLoss(f"invalid N5 metadata: {error.message}") from error
        return Node(kind, _attributes(member.value), member.value, summary)

    def merge_rules(self, document: str) -> MergeRules:
        return DOCUMENT

    def new_group(self, attributes: Mapping[str, Json]) -> dict[str, bytes]:
        return {_DOCUMENT: dump_document({"n5": _VERSION, **attributes})}

    def attributes(self, document: bytes | None) -> dict[str, Any]:
        return {} if document is None else _attributes(load_document(document).value)

    def with_attributes(self, document: bytes | None, attributes: Mapping[str, Json]) -> bytes:
        self.check_attributes(attributes)
        found = {} if document is None else load_document(document).value
        kept = {name: found[name] for name in found if name in _RESERVED}
        return dump_document({**kept, **attributes})

    def check_attributes(self, attributes: Mapping[str, Json]) -> None:
        for name in attributes:
            if name in _RESERVED:
                raise InvalidArgument(
                    f'attribute "{name}" has a meaning of its own in N5; choose another name'
                )

    def array_metadata(self, attributes: Mapping[str, Json]) -> dict[str, Any] | None:
        return dict(attributes)

    def check_name(self, name: str) -> None:
        check_dots(name)
        if name == _DOCUMENT:
            raise InvalidArgument(f"{name!r} is no name of an N5 node: it is reserved")


def _attributes(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in _RESERVED}


def _summary(member: Member) -> ArraySummary:
    """Whatever can be said of an array; only the shape is checked."""
    document = member.value
    compression = document.get("compression")
    old = document.get("compressionType")
    name = compression.get("type") if isinstance(compression, dict) else old
    dtype = document.get("dataType")
    return ArraySummary(
        shape=member.at("dimensions", document["dimensions"]).sizes(0),
        dtype=dtype if isinstance(dtype, str) else "",
        chunk_shape=read_sizes(document.get("blockSize")),
        codecs=(name,) if isinstance(name, str) and name != "raw" else (),
        fill_value=0,
    )
