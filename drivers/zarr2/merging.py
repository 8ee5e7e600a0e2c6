"""How versions of the documents merge when several transactions change them."""

from __future__ import annotations

from typing import Final

from asynctensor.chunked.document_merge import MergeRules

#: Of the document that describes an array.
DOCUMENT: Final = MergeRules(by_axis=frozenset({"shape"}))
