"""What a commit says of itself, and what it validates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from asynctensor.errors import InvalidArgument
from asynctensor.lazy import Lazy
from asynctensor.storage.commit_domain import Commit, Isolation
from asynctensor.storage.partial_value import Written
from asynctensor.storage.shared_transaction import SharedCommit
from asynctensor.storage.stash import StoredValue

#: Making one chunk of several takes more than is known down here.
_merge = Lazy("asynctensor.merging", "merge")

#: Bytes of a caller's key at most: it stands in the index.
_LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class Terms:
    """What is fixed when a transaction is made; checked by `of`.

    Attributes:
        message: Why.
        author: By whom.
        metadata: What else is noted with the commit, as JSON.
        isolation: What of that which was read is validated.
        caller_key: By which its caller knows it again.
    """

    message: str | None = None
    author: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    isolation: Isolation = "serializable"
    caller_key: str | None = None

    @staticmethod
    def of(
        message: str | None,
        author: str | None,
        metadata: Mapping[str, Any] | None,
        isolation: Isolation,
        caller_key: str | None = None,
    ) -> Terms:
        """The terms that were asked for.

        Raises:
            InvalidArgument: One of them cannot be.
        """
        message, author = _text("message", message), _text("author", author)
        noted = _json_object(metadata)
        if isolation not in get_args(Isolation):
            raise InvalidArgument(
                f"isolation is one of {', '.join(map(repr, get_args(Isolation)))}, "
                f"not {isolation!r}"
            )
        return Terms(message, author, noted, isolation, _key(caller_key))

    def commit(self, parts: Sequence[Commit], mark: object, shared: SharedCommit | None) -> Commit:
        """One commit of what several participants have prepared.

        Args:
            parts: What each has.
            mark: The state that the transaction reads.
            shared: What the commit says of the transaction that several processes work on.
        """
        expected: dict[str, bytes] = {}
        values: dict[str, bytes | StoredValue | None] = {}
        written: dict[str, Written] = {}
        for part in parts:
            expected.update(part.expected)
            values.update(part.values)
            written.update(part.written)
        return Commit(
            expected,
            values,
            [each for part in parts for each in part.cleared],
            frozenset().union(*(part.read for part in parts)),
            frozenset().union(*(part.looked_up for part in parts)),
            [each for part in parts for each in part.listed],
            self.isolation,
            mark,
            self.message,
            self.author,
            self.metadata,
            next((part.stash for part in parts if part.stash is not None), None),
            shared,
            written,
            None if shared is None else _merge,
            self.caller_key,
        )


def _key(value: str | None) -> str | None:
    """A caller's key, checked."""
    found = _text("caller_key", value)
    if found is not None and not 0 < len(found.encode()) <= _LONGEST_KEY:
        raise InvalidArgument(f"caller_key must have 1 to {_LONGEST_KEY} bytes of UTF-8")
    return found


def _text(name: str, value: str | None) -> str | None:
    """A message or an author, checked."""
    if value is not None:
        try:
            value.encode()
        except (AttributeError, UnicodeEncodeError) as error:
            raise InvalidArgument(f"{name} must be text, not {value!r}") from error
    return value


def _json_object(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of `metadata`, checked."""
    if metadata is None:
        return {}
    try:
        found = json.loads(json.dumps(dict(metadata), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"metadata must be a mapping of JSON values: {error}") from error
    return dict(found)
