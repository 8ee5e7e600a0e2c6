"""What went wrong on the wire, as errors of `asynctensor.errors`: one place for all stores.

A status is an answer like others until a store finds that it expected another one; then
`refusal` gives the error, from the status and from what the store read in the body.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from asynctensor.errors import (
    Aborted,
    Error,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.scheme_doubt import NOT_TLS

#: status -> class. Other 4xx: the request is wrong; other 5xx: trying again may help.
_BY_STATUS: dict[int, type[Error]] = {
    401: PermissionDenied,
    403: PermissionDenied,
    404: NotFound,
    405: Unimplemented,
    407: PermissionDenied,
    408: Unavailable,
    409: Aborted,
    410: NotFound,
    411: Unimplemented,
    412: FailedPrecondition,
    413: ResourceExhausted,
    421: Unavailable,
    423: Unavailable,
    425: Unavailable,
    429: Unavailable,
    451: PermissionDenied,
    501: Unimplemented,
    505: Unimplemented,
    507: ResourceExhausted,
}
#: Statuses after which the same request may succeed: RFC 9110, sections 15.5.9 and 15.6; RFC 6585,
#: section 4 (429). 500 is among them, because servers say it of a lost race and of overload.
PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
#: Of these, the ones with which a server says that it did nothing at all with the request.
UNTOUCHED_STATUSES = frozenset({429})
#: What is said of a request that is to be sent when the transport is closed.
TOO_LATE = "the I/O loop ended before this request was sent"
#: Characters of a body that a message may quote.
_QUOTED = 200


class NoAnswer(Unavailable):
    """No whole response came.

    Attributes:
        sent: False: the server has certainly not seen the request.
        passing: Whether the same request may be answered later.
        cut: What came of an answer that was cut off, if that was told.
        silent: Whether nothing was said that could be HTTP: a new connection was lost before that,
            or, with TLS, did not come about in time.
        patient: Whether the narrow reader did not understand an answer before.
    """

    sent: bool = True
    passing: bool = True
    cut: Response | None = None
    silent: bool = False
    patient: bool = False

    @classmethod
    def unsent(cls, message: str) -> NoAnswer:
        """The same of a request that has certainly not been sent."""
        made = cls(message)
        made.sent = False
        return made


@dataclass(frozen=True, slots=True)
class Problem:
    """What a service says of a refused request.

    Attributes:
        code: Its own word for it (``"SlowDown"``); empty if none is known.
        message: Its explanation.
        error: The class that it means, where the status alone says too little.
        passing: Whether the same request may succeed later; None: as the status says.
    """

    code: str = ""
    message: str = ""
    error: type[Error] | None = None
    passing: bool | None = None


#: Reads a service's own error body. It never raises, whatever the body is.
ProblemReader: TypeAlias = Callable[[Response], Problem]


def plain_problem(response: Response) -> Problem:
    """The problem of a service with no error format of its own."""
    kind = response.headers.get("content-type", "")
    if not kind.startswith("text/plain"):
        return Problem()
    text = bytes(response.body[: 4 * _QUOTED]).decode("utf-8", "replace")
    return Problem(message=" ".join(text.split()))


def is_passing(response: Response, problem: Problem) -> bool:
    """Whether the same request may succeed later."""
    if problem.passing is not None:
        return problem.passing
    return response.status in PASSING_STATUSES


def refusal(
    request: Request, response: Response, problem: Problem, *, nobody: bool = False
) -> Error:
    """The error that says that a server refused a request.

    The text quotes what the service says; whoever asks knows the key and puts it in.

    Args:
        request: What was asked.
        response: The answer.
        problem: What the service says in it.
        nobody: Whether credentials were looked for, and none found.
    """
    status = response.status
    if _wants_tls(request, response):
        host = urlsplit(request.url).hostname
        return FailedPrecondition(f"{host} speaks TLS there; is it https, not http?")
    cls = problem.error or _BY_STATUS.get(status)
    if cls is None:
        cls = Unavailable if status >= 500 else InvalidArgument
        if 300 <= status < 400:
            cls = FailedPrecondition
    said = f" {problem.code}" if problem.code else ""
    if problem.message:
        text = problem.message.removesuffix(".")
        said += f": {text[:_QUOTED]}{'...' if len(text) > _QUOTED else ''}"
    return cls(f"the server answered {status}{said} to {request!r}{_remedy(cls, status, nobody)}")


def _wants_tls(request: Request, response: Response) -> bool:
    """Whether a server that speaks TLS was asked without, and says so."""
    if response.status != 400 or not request.url.startswith("http:"):
        return False
    return NOT_TLS.search(bytes(response.body[: 4 * _QUOTED])) is not None


def _remedy(cls: type[Error], status: int, nobody: bool) -> str:
    # Services say 403 of much that no other credentials would help (clocks, quotas, archives).
    if issubclass(cls, PermissionDenied) and status in (401, 403):
        if nobody:
            return "; no credentials were found here, so it was asked as nobody in particular"
        return "; check the credentials, and that they allow this"
    if status in (301, 302, 307, 308):
        return "; ask the place that it names"
    return ""
