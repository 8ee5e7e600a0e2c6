"""Documents in XML, as object stores send them. Pure."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from asynctensor.errors import DataLoss


def parse_document(body: bytes | bytearray | memoryview) -> ET.Element:
    """A document, its names without namespaces.

    Raises:
        DataLoss: It is none, or defines a type of its own.
    """
    text = bytes(body)
    # Entities could make it longer than any bound.
    if b"<!" in text.partition(b">")[2][:256] or b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise DataLoss("the answer is no document of the service: it defines a type of its own")
    try:
        root = ET.fromstring(text)  # noqa: S314 -- checked above
    except (ET.ParseError, ValueError) as error:
        raise DataLoss(f"the answer is no XML: {error}") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root
