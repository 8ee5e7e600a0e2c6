"""Going on with an answer that was cut off: its rest is asked for, if it is still that version.

``If-Range`` says so (RFC 9110, section 13.1.5): the server answers with the rest, or, where the
value was replaced, with all of the new one. Whatever it does, two versions are never put together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from asynctensor.kvstores._http.errors import NoAnswer
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.ranges import parse_content_range
from asynctensor.kvstores._http.stored import length_of

#: Bytes that are worth it.
_LEAST: Final = 1 << 16
#: An ETag that tells versions apart; one that begins with ``W/`` does not (section 8.8.1).
_STRONG: Final = re.compile('"[!-~]+"')


@dataclass(frozen=True, slots=True)
class Part:
    """The beginning of an answer.

    Attributes:
        answer: Its head, and what has come of its body.
        start: Where in the value that begins.
        stop: Where it would have ended.
    """

    answer: Response
    start: int
    stop: int

    @property
    def _next(self) -> int:
        return self.start + len(self.answer.body)

    @property
    def _tag(self) -> str:
        return self.answer.headers["etag"]

    def rest_of(self, request: Request) -> Request:
        """What asks for the rest of what a request asked for."""
        kept = [field for field in request.headers if field[0] not in ("If-Range", "Range")]
        part = ("Range", f"bytes={self._next}-{self.stop - 1}")
        headers = (*kept, ("If-Range", self._tag), part)
        return Request(request.method, request.url, headers, None, request.max_body)

    def _is_followed_by(self, answer: Response) -> bool:
        given = parse_content_range(answer.headers.get("content-range"))
        place = None if given is None else (given.start, given.stop)
        is_same = answer.headers.get("etag") == self._tag
        return answer.status == 206 and is_same and place == (self._next, self.stop)

    def with_more(self, cut: Response) -> Part | None:
        """The beginning with what came of its rest; None if that is of something else."""
        if not self._is_followed_by(cut):
            return None
        first = self.answer
        body = b"".join([first.body, cut.body])
        joined = Response(first.status, first.headers, body, first.time)
        return Part(joined, self.start, self.stop)


def part_of(cut: Response | None) -> Part | None:
    """The beginning of an answer that was cut off; None if it is not worth going on with."""
    if cut is None or cut.headers.get("content-encoding") or len(cut.body) < _LEAST:
        return None
    if _STRONG.fullmatch(cut.headers.get("etag", "")) is None:
        return None
    if cut.status == 200:
        return Part(cut, 0, length_of(cut.headers.get("content-length", "")))
    given = parse_content_range(cut.headers.get("content-range"))
    return None if cut.status != 206 or given is None else Part(cut, given.start, given.stop)


def gone_on(
    part: Part | None, answer: Response | NoAnswer
) -> tuple[Response | NoAnswer, Part | None]:
    """What an answer to a request comes to, and what there is to go on with.

    Args:
        part: What had come before; None: nothing, the request was the original one.
        answer: To the request for all, or for the rest.
    """
    if isinstance(answer, NoAnswer):
        if part is None or answer.cut is None:
            return answer, part or part_of(answer.cut)
        return answer, part.with_more(answer.cut) or part_of(answer.cut)
    if part is None or answer.status not in (206, 416):
        # All of the new version; or something that may pass.
        return answer, part if answer.status >= 400 else None
    more = part.with_more(answer)
    if more is not None and len(more.answer.body) == more.stop - more.start:
        return more.answer, None
    return NoAnswer("the value was replaced before all of it had come"), None
