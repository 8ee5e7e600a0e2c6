"""What Azure says of requests that it refuses. Pure.

Source: "Status and error codes" in Microsoft's reference of the Storage Services REST API::

    x-ms-error-code: BlobNotFound
    <Error><Code>BlobNotFound</Code><Message>...LF RequestId:... LF Time:...</Message>
        [<AuthenticationErrorDetail>...</AuthenticationErrorDetail>]</Error>

The detail may hold what a request was signed with: of it nothing is shown.
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
    "AccountIsDisabled": PermissionDenied,
    "AuthenticationFailed": PermissionDenied,
    "AuthorizationFailure": PermissionDenied,
    "BlobArchived": FailedPrecondition,
    "BlobBeingRehydrated": FailedPrecondition,
    "BlobImmutableDueToPolicy": FailedPrecondition,
    "BlockCountExceedsLimit": ResourceExhausted,
    "ContainerBeingDeleted": FailedPrecondition,
    "ContainerDisabled": FailedPrecondition,
    "ContainerNotFound": NotFound,
    "FeatureNotSupported": Unimplemented,
    "InvalidAuthenticationInfo": PermissionDenied,
    "InvalidBlobType": FailedPrecondition,
    "InvalidBlockList": FailedPrecondition,
    "InvalidResourceName": InvalidArgument,
    "KeyBasedAuthenticationNotPermitted": PermissionDenied,
    "LeaseIdMissing": FailedPrecondition,
    "LeaseLost": FailedPrecondition,
    "NoAuthenticationInformation": PermissionDenied,
    "PathAlreadyExists": FailedPrecondition,
    "PendingCopyOperation": FailedPrecondition,
    "PublicAccessNotPermitted": PermissionDenied,
    "RequestBodyTooLarge": ResourceExhausted,
    "ResourceTypeMismatch": FailedPrecondition,
    "SnapshotsPresent": FailedPrecondition,
}
#: What may succeed when it is sent again, whatever its status.
_PASSING: Final[dict[str, type[Error]]] = {
    "InternalError": Unavailable,
    "Md5Mismatch": DataLoss,
    "OperationTimedOut": Unavailable,
    "ServerBusy": Unavailable,
}
#: What another token helps against.
EXPIRED: Final = frozenset({"AuthenticationFailed", "InvalidAuthenticationInfo"})
_SIGN: Final = "say who asks with azure_credentials"
_REMEDIES: Final = {
    "BlobArchived": "have it rehydrated first",
    "ContainerNotFound": "is its name right? It has to be created elsewhere",
    "InvalidBlobType": "it is no block blob: delete it first",
    "KeyBasedAuthenticationNotPermitted": "use azure_credentials of another type",
    "LeaseIdMissing": "somebody holds a lease on it",
    "NoAuthenticationInformation": _SIGN,
    "PublicAccessNotPermitted": _SIGN,
    "ResourceNotFound": _SIGN,
    "SnapshotsPresent": "delete its snapshots first",
}
#: Parts of `AuthenticationErrorDetail` that tell what is wrong -> what to do.
_CLOCK: Final = ("date header too old", "too far in the future", "request date header")
_LIFETIME: Final = "not valid in the specified time frame"
#: Bytes of a document that is read.
_MOST: Final = 1 << 16


def read_problem(response: Response) -> Problem:
    """What an answer says; nothing where it is no error of Azure."""
    code = response.headers.get("x-ms-error-code", "")
    code = code if code.isalnum() and code.isascii() else ""
    message, detail = "", ""
    if response.body and len(response.body) <= _MOST:
        try:
            root = parse_document(response.body)
        except DataLoss:
            return _problem(code, "", "")
        if root.tag == "Error":
            code = code or (root.findtext("Code") or "").strip()
            message = root.findtext("Message") or ""
            detail = root.findtext("AuthenticationErrorDetail") or ""
    return _problem(code, message, detail)


def _problem(code: str, message: str, detail: str) -> Problem:
    # What follows names the request, and no two are alike.
    words = " ".join(message.partition("RequestId:")[0].split())
    error, remedy = _BY_CODE.get(code) or _PASSING.get(code), _REMEDIES.get(code)
    if code == "AuthenticationFailed":
        detail = detail.lower()
        if any(part in detail for part in _CLOCK):
            error, remedy = FailedPrecondition, "set the clock of this machine"
        elif _LIFETIME in detail:
            remedy = "the token has expired, or is not valid yet: get a new one"
        else:
            remedy = "are the key and the name of the account right?"
    if remedy:
        words = f"{words.removesuffix('.')} ({remedy})" if words else remedy
    return Problem(code, words, error, True if code in _PASSING else None)
