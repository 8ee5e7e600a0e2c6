"""What S3 says of requests that it refuses. Pure.

Source: "Error responses" in AWS's reference of the S3 API::

    <Error><Code>NoSuchKey</Code><Message>...</Message> ... </Error>
"""

from __future__ import annotations

from typing import Final

from asynctensor.errors import (
    DataLoss,
    Error,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)
from asynctensor.kvstores._http.errors import Problem
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.xml_document import parse_document

#: Code -> class, where the status alone says too little or something else.
_BY_CODE: Final[dict[str, type[Error]]] = {
    "AccessDenied": PermissionDenied,
    "AuthorizationHeaderMalformed": InvalidArgument,
    "EntityTooLarge": ResourceExhausted,
    "ExpiredToken": PermissionDenied,
    "IllegalLocationConstraintException": InvalidArgument,
    "InvalidAccessKeyId": PermissionDenied,
    "InvalidBucketName": InvalidArgument,
    "InvalidObjectState": FailedPrecondition,
    "InvalidToken": PermissionDenied,
    "KeyTooLongError": InvalidArgument,
    "NoSuchBucket": NotFound,
    "NoSuchUpload": FailedPrecondition,
    "NotImplemented": Unimplemented,
    "PermanentRedirect": FailedPrecondition,
    "QuotaExceeded": ResourceExhausted,
    "RequestTimeTooSkewed": FailedPrecondition,
    "SignatureDoesNotMatch": PermissionDenied,
    "TokenRefreshRequired": PermissionDenied,
}
#: What may succeed when it is sent again, whatever its status.
_PASSING: Final[dict[str, type[Error]]] = {
    "BadDigest": DataLoss,
    "ConditionalRequestConflict": Unavailable,
    "IncompleteBody": Unavailable,
    "InternalError": Unavailable,
    "OperationAborted": Unavailable,
    "RequestTimeout": Unavailable,
    "ServiceUnavailable": Unavailable,
    "SlowDown": Unavailable,
    "XAmzContentSHA256Mismatch": DataLoss,
}
#: What new keys help against.
EXPIRED: Final = frozenset({"ExpiredToken", "TokenRefreshRequired", "InvalidToken"})
_REMEDIES: Final = {
    "ExpiredToken": "get new keys",
    "NoSuchBucket": "is its name right, and its region?",
    "PermanentRedirect": "set aws_region to where the bucket is",
    "AuthorizationHeaderMalformed": "set aws_region to where the bucket is",
    "RequestTimeTooSkewed": "set the clock of this machine",
    "SignatureDoesNotMatch": "is the secret key right?",
}
#: Bytes of a document that is read.
_MOST: Final = 1 << 16


def read_problem(response: Response) -> Problem:
    """What the body of an answer says; nothing where it is no error of S3."""
    if not response.body or len(response.body) > _MOST:
        return Problem()
    try:
        root = parse_document(response.body)
    except DataLoss:
        return Problem()
    if root.tag != "Error":
        return Problem()
    return problem(root.findtext("Code") or "", root.findtext("Message") or "")


def problem(code: str, message: str) -> Problem:
    """What a code and a message say."""
    words = " ".join(message.split())
    if code in _REMEDIES:
        words = f"{words.removesuffix('.')} ({_REMEDIES[code]})" if words else _REMEDIES[code]
    passing = True if code in _PASSING else None
    return Problem(code, words, _BY_CODE.get(code) or _PASSING.get(code), passing)
