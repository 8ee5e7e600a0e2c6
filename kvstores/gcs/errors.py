"""What Google Cloud Storage says of requests that it refuses. Pure.

Source: "HTTP status and error codes for JSON" in Google's documentation::

    {"error": {"code": 404, "message": "...", "errors": [{"reason": "notFound", ...}]}}

Where the bytes of an object are asked for, there may be the message alone, as plain text.
"""

from __future__ import annotations

import json
from typing import Any, Final

from asynctensor.errors import (
    DataLoss,
    Error,
    FailedPrecondition,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from asynctensor.kvstores._http.errors import Problem
from asynctensor.kvstores._http.message import Response
from asynctensor.storage.kvstore import Buffer

#: Reason -> class, where the status alone says too little or something else.
_BY_REASON: Final[dict[str, type[Error]]] = {
    "accountDisabled": PermissionDenied,
    "forbidden": PermissionDenied,
    "quotaExceeded": ResourceExhausted,
    "retentionPolicyNotMet": FailedPrecondition,
    "objectUnderActiveHold": FailedPrecondition,
    "sslRequired": FailedPrecondition,
}
#: What may succeed when it is sent again, whatever its status.
_PASSING: Final = frozenset(
    {"backendError", "internalError", "rateLimitExceeded", "userRateLimitExceeded"}
)
_REMEDIES: Final = {
    "authError": "the token is not valid, or not any more",
    "required": "say who pays with gcs_user_project, or who asks with gcs_credentials",
}
#: Bytes of a document that is read.
_MOST: Final = 1 << 16
#: How Google begins what it says of a bucket.
_NO_BUCKET: Final = "The specified bucket does not exist"


def parse_document(body: Buffer) -> dict[str, Any]:
    """A JSON object.

    Raises:
        DataLoss: It is none.
    """
    try:
        found = json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise DataLoss("the answer is no JSON") from error
    if not isinstance(found, dict):
        raise DataLoss("the answer is no JSON object")
    return found


def read_problem(response: Response) -> Problem:
    """What the body of an answer says; nothing where it is no error of the service."""
    if not response.body or len(response.body) > _MOST:
        return Problem()
    try:
        error = parse_document(response.body).get("error")
    except DataLoss:
        return Problem(message=_words(response))
    if not isinstance(error, dict):
        return Problem()
    reason, message = "", error.get("message")
    errors = error.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        reason = str(errors[0].get("reason", ""))
    words = " ".join(message.split()) if isinstance(message, str) else ""
    if reason in _REMEDIES and response.status in (400, 401):
        words = f"{words} ({_REMEDIES[reason]})"
    words = _with_remedy(words)
    if reason in _PASSING:
        return Problem(reason, words, Unavailable, passing=True)
    return Problem(reason, words, _BY_REASON.get(reason))


def _words(response: Response) -> str:
    """A message that stands alone; Google calls it HTML."""
    kind, body = response.headers.get("content-type", ""), bytes(response.body)
    if not kind.startswith("text/") or body.lstrip().startswith(b"<"):
        return ""
    return _with_remedy(" ".join(body.decode("utf-8", "replace").split()))


def _with_remedy(words: str) -> str:
    if not words.startswith(_NO_BUCKET):
        return words
    return f"{words.removesuffix('.')} (is its name right? It has to be created elsewhere)"


def is_missing(answer: Response) -> bool:
    """Whether an answer says that there is no such object; that there is no bucket is an error."""
    return answer.status == 404 and not read_problem(answer).message.startswith(_NO_BUCKET)
