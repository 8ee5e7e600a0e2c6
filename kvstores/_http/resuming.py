"""Going on with an answer that was cut off: its rest is asked for, if it is still that version.

A web server is asked with ``If-Range`` (RFC 9110, section 13.1.5): it answers with the rest, or,
where the value was replaced, with all of the new one. Services of objects have conditions instead,
which fail then, and all is asked for anew. Whatever they do, two versions are never put together.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Final, Literal

from asynctensor.kvstores._http.errors import NoAnswer
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.ranges import parse_content_range
from asynctensor.kvstores._http.stored import length_of

#: Bytes that are worth it.
_LEAST: Final = 1 << 16
#: An ETag that tells versions apart; one that begins with ``W/`` does not (section 8.8.1).
_STRONG: Final = re.compile('"[!-~]+"')
#: Where there is nothing to go on with: no such range, and a condition that does not hold.
_REPLACED: Final = (412, 416)


class Resuming(ABC):
    """How a service is asked for a part of one version of a value."""

    @abstractmethod
    def version_of(self, answer: Response) -> str:
        """What tells the version that an answer is of from all others; empty: nothing."""

    @abstractmethod
    def part_of(self, request: Request, version: str, part: str) -> Request:
        """The request for a part of a version.

        Args:
            request: The one for all.
            version: The version.
            part: As ``Range`` says it.
        """


@dataclass(frozen=True, slots=True)
class ByEtags(Resuming):
    """How a service is asked that tells versions by ETags.

    Attributes:
        condition: The field that says which version is meant. ``If-Match`` stands for all other
            conditions: a version that it holds for has met them.
        range_field: The field that says which part is meant.
    """

    condition: Literal["If-Match", "If-Range"]
    range_field: str = "Range"

    def version_of(self, answer: Response) -> str:
        """See `Resuming.version_of`."""
        tag = answer.headers.get("etag", "")
        return tag if _STRONG.fullmatch(tag) else ""

    def part_of(self, request: Request, version: str, part: str) -> Request:
        """See `Resuming.part_of`."""
        left_out = {self.condition, self.range_field}
        if self.condition == "If-Match":
            left_out.add("If-None-Match")
        kept = [field for field in request.headers if field[0] not in left_out]
        fields = (*kept, (self.condition, version), (self.range_field, part))
        return replace(request, headers=fields)


@dataclass(frozen=True, slots=True)
class Part:
    """The beginning of an answer.

    Attributes:
        answer: Its head, and what has come of its body.
        version: What tells its version.
        start: Where in the value that begins.
        stop: Where it would have ended.
    """

    answer: Response
    version: str
    start: int
    stop: int

    @property
    def _next(self) -> int:
        return self.start + len(self.answer.body)

    def rest_of(self, request: Request, resuming: Resuming) -> Request:
        """What asks for the rest of what a request asked for."""
        return resuming.part_of(request, self.version, f"bytes={self._next}-{self.stop - 1}")

    def with_more(self, cut: Response, resuming: Resuming) -> Part | None:
        """The beginning with what came of its rest; None if that is of something else."""
        given = parse_content_range(cut.headers.get("content-range"))
        if given is None or (given.start, given.stop) != (self._next, self.stop):
            return None
        is_same = resuming.version_of(cut) == self.version
        if cut.status != 206 or not is_same or cut.headers.get("content-encoding"):
            return None
        first = self.answer
        body = b"".join([first.body, cut.body])
        joined = Response(first.status, first.headers, body, first.time)
        return Part(joined, self.version, self.start, self.stop)


def part_of(cut: Response | None, resuming: Resuming) -> Part | None:
    """The beginning of an answer that was cut off; None if it is not worth going on with."""
    if cut is None or cut.headers.get("content-encoding") or len(cut.body) < _LEAST:
        return None
    version = resuming.version_of(cut)
    if not version:
        return None
    if cut.status == 200:
        return Part(cut, version, 0, length_of(cut.headers.get("content-length", "")))
    given = parse_content_range(cut.headers.get("content-range"))
    if cut.status != 206 or given is None:
        return None
    return Part(cut, version, given.start, given.stop)


def gone_on(
    part: Part | None, answer: Response | NoAnswer, resuming: Resuming
) -> tuple[Response | NoAnswer, Part | None]:
    """What an answer to a request comes to, and what there is to go on with.

    Args:
        part: What had come before; None: nothing, the request was the original one.
        answer: To the request for all, or for the rest.
        resuming: How the rest is asked for.
    """
    if isinstance(answer, NoAnswer):
        begun = part_of(answer.cut, resuming)
        if part is None or answer.cut is None:
            return answer, part or begun
        return answer, part.with_more(answer.cut, resuming) or begun
    if part is None or answer.status not in (206, *_REPLACED):
        # All of the new version; or something that may pass.
        return answer, part if answer.status >= 400 else None
    more = part.with_more(answer, resuming)
    if more is not None and len(more.answer.body) == more.stop - more.start:
        return more.answer, None
    return NoAnswer("the value was replaced before all of it had come"), None
