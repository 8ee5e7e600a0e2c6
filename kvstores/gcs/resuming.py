"""How the rest of an object is asked for: a range, on condition of its generation. Pure.

Source: "Objects: get" in Google's documentation of Cloud Storage.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.resuming import Resuming

#: What the generation of an object that has come has met: conditions that it stands for.
_CONDITIONS: Final = ("ifGenerationMatch=", "ifGenerationNotMatch=")


class ByGenerations(Resuming):
    """See `Resuming`."""

    def version_of(self, answer: Response) -> str:
        """The generation; empty where ranges are of other bytes than those that come."""
        fields = answer.headers
        stored = fields.get("x-goog-stored-content-encoding", "identity")
        number = fields.get("x-goog-generation", "")
        is_plain = stored in ("", "identity") and number.isascii() and number.isdigit()
        return number if is_plain else ""

    def part_of(self, request: Request, version: str, part: str) -> Request:
        """See `Resuming.part_of`."""
        before, _, query = request.url.partition("?")
        pairs = [pair for pair in query.split("&") if pair and not pair.startswith(_CONDITIONS)]
        asked = "&".join([*pairs, f"ifGenerationMatch={version}"])
        kept = [field for field in request.headers if field[0] != "Range"]
        return replace(request, url=f"{before}?{asked}", headers=(*kept, ("Range", part)))
