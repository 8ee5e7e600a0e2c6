"""Groups, attributes and consolidated metadata of zarr v3: all in ``zarr.json``.

Source: zarr core specification 3.1; ``consolidated_metadata`` as zarr-python writes it::

    {"kind": "inline", "must_understand": false, "metadata": {relative/path: document}}

one flat map, in which each group has an empty ``consolidated_metadata`` of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from asynctensor.chunked.document_merge import MergeRules
from asynctensor.chunked.member import MAX_RANK, Member, dump_document, load_document
from asynctensor.drivers.zarr3.merging import DOCUMENT
from asynctensor.errors import DataLoss, InvalidArgument
from asynctensor.hierarchy.array_summary import ArraySummary, read_sizes
from asynctensor.hierarchy.node_format import Kind, Node, NodeFormat
from asynctensor.hierarchy.node_path import check_dots
from asynctensor.storage.kvstore import Json

_DOCUMENT: Final = "zarr.json"
_CONSOLIDATED: Final = "consolidated_metadata"
_SHARDING: Final = "sharding_indexed"


class Zarr3Nodes(NodeFormat):
    """Zarr v3."""

    driver = "zarr3"
    zarr_format = 3
    documents = (_DOCUMENT,)
    group_document = attributes_document = consolidated_document = _DOCUMENT

    def node(self, documents: Mapping[str, bytes]) -> Node | None:
        if _DOCUMENT not in documents:
            return None
        return _checked(load_document(documents[_DOCUMENT]))

    def merge_rules(self, document: str) -> MergeRules:
        return DOCUMENT

    def new_group(self, attributes: Mapping[str, Json]) -> dict[str, bytes]:
        document: dict[str, Json] = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": dict(attributes),
        }
        return {_DOCUMENT: dump_document(document)}

    def attributes(self, document: bytes | None) -> dict[str, Any]:
        return {} if document is None else dict(_checked(load_document(document)).attributes)

    def with_attributes(self, document: bytes | None, attributes: Mapping[str, Json]) -> bytes:
        if document is None:
            raise DataLoss("the node was deleted")
        found = load_document(document).value
        return dump_document({**found, "attributes": dict(attributes)})

    def array_metadata(self, attributes: Mapping[str, Json]) -> dict[str, Any] | None:
        return {"attributes": dict(attributes)} if attributes else {}

    def check_name(self, name: str) -> None:
        check_dots(name)
        if name.startswith("__") or name == _DOCUMENT:
            raise InvalidArgument(
                f"{name!r} is no name of a zarr v3 node: names that start with two underscores, "
                f"and {_DOCUMENT}, are reserved"
            )

    def consolidated(self, documents: Mapping[str, bytes]) -> dict[str, Node] | None:
        if _DOCUMENT not in documents:
            return None
        member = load_document(documents[_DOCUMENT])
        found = member.value.get(_CONSOLIDATED)
        if found is None:
            return None
        try:
            return dict(_copies(member.at(_CONSOLIDATED, found), ""))
        except InvalidArgument as error:
            raise DataLoss(f"invalid consolidated metadata: {error.message}") from error

    def with_consolidated(
        self, document: bytes | None, group: Node, below: Mapping[str, Node] | None
    ) -> bytes | None:
        if document is None:
            return None
        found = load_document(document).value
        if below is None:
            if _CONSOLIDATED not in found:
                return document
            return dump_document({k: v for k, v in found.items() if k != _CONSOLIDATED})
        copies = {path: _copy(below[path]) for path in sorted(below, key=_by_depth)}
        return dump_document({**found, _CONSOLIDATED: _inline(copies)})


def _checked(member: Member) -> Node:
    try:
        return _node(member)
    except InvalidArgument as error:
        raise DataLoss(f"invalid zarr v3 metadata: {error.message}") from error


def _node(member: Member) -> Node:
    found = member.object(required=("zarr_format", "node_type"))
    found["zarr_format"].integer(3, 3)
    kind: Kind = "array" if found["node_type"].string(("array", "group")) == "array" else "group"
    attributes = member.value.get("attributes")
    if attributes is not None:
        found["attributes"].object()
    summary = _summary(member.value) if kind == "array" else None
    return Node(kind, attributes or {}, member.value, summary)


def _copies(member: Member, prefix: str) -> Iterator[tuple[str, Node]]:
    """Nodes by path. Read as a tree too: groups may have their own copies within the copy."""
    fields = member.object(required=("kind", "metadata"))
    fields["kind"].string(("inline",))
    for path, each in fields["metadata"].object().items():
        node = _node(each)
        yield prefix + path, node
        inner = node.document.get(_CONSOLIDATED)
        if inner:
            yield from _copies(each.at(_CONSOLIDATED, inner), f"{prefix}{path}/")


def _inline(copies: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": "inline", "must_understand": False, "metadata": dict(copies)}


def _copy(node: Node) -> dict[str, Any]:
    document = dict(node.document)
    if node.kind == "group":
        document[_CONSOLIDATED] = _inline({})
    return document


def _by_depth(path: str) -> tuple[int, str]:
    return path.count("/"), path


def _summary(document: Mapping[str, Any]) -> ArraySummary:
    """Whatever can be said of an array; nothing is refused here."""
    codecs = list(_codecs(document.get("codecs"), 0))
    outer = read_sizes(_configuration(document.get("chunk_grid")).get("chunk_shape"))
    inner = outer
    for name, configuration in codecs:
        if name == _SHARDING:
            inner = read_sizes(configuration.get("chunk_shape")) or inner
    return ArraySummary(
        shape=read_sizes(document.get("shape")) or (),
        dtype=_type_name(document.get("data_type")),
        chunk_shape=inner,
        shard_shape=outer if inner is not outer else None,
        codecs=tuple(name for name, _ in codecs),
        fill_value=document.get("fill_value"),
    )


def _codecs(codecs: Any, depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for codec in codecs if isinstance(codecs, list) and depth < MAX_RANK else ():
        name = codec.get("name") if isinstance(codec, dict) else codec
        configuration = _configuration(codec)
        if isinstance(name, str):
            yield name, configuration
            if name == _SHARDING:
                yield from _codecs(configuration.get("codecs"), depth + 1)


def _configuration(extension: Any) -> Mapping[str, Any]:
    found = extension.get("configuration") if isinstance(extension, dict) else None
    return found if isinstance(found, dict) else {}


def _type_name(data_type: Any) -> str:
    name = data_type.get("name") if isinstance(data_type, dict) else data_type
    return name if isinstance(name, str) else json.dumps(data_type)
