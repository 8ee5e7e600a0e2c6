"""What the processes that work on one transaction hand to each other; all of it can be pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

#: What a commit validates: see `asynctensor.storage.commit_domain`.
Isolation: TypeAlias = Literal["serializable", "snapshot", "blind"]


@dataclass(frozen=True, slots=True)
class SharedTransaction:
    """Names a transaction to other processes; made by `Transaction.share`.

    It holds no credentials: whoever joins brings a `Context` of its own. Everything that must be
    the same whoever commits it is here, so that the same commit is known when it is tried again.

    Attributes:
        store: Spec of the kvstore that it commits to.
        id: The transaction's id, 32 hexadecimal digits.
        branch: The id of the branch that it commits to.
        base: The commit whose state it reads.
        time: When it was shared, in microseconds since the Unix epoch.
        isolation: What the commit validates.
        message: Why.
        author: By whom.
        metadata: What else is noted with the commit.
        cleared: Ranges of keys that were deleted before it was shared: first, and end.
        staged: Values that were written before it was shared; None deletes a key.
        caller_key: See `Transaction`.
    """

    store: Mapping[str, Any]
    id: str
    branch: str
    base: tuple[int, int]
    time: int
    isolation: Isolation = "serializable"
    message: str | None = None
    author: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    cleared: tuple[tuple[str, str], ...] = ()
    staged: tuple[tuple[str, bytes | None], ...] = ()
    caller_key: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Says that a worker's part of a transaction is stored; made by `Transaction.finish`.

    Attributes:
        transaction: The id of the transaction.
        worker: Who wrote the part, or which task: of several with the same, one counts.
        attempt: At which try.
        count: How many keys it writes or deletes.
        body: What the commit needs to know of it.
    """

    transaction: str
    worker: str
    attempt: int
    count: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SharedCommit:
    """That a commit is one of a shared transaction.

    Attributes:
        token: The transaction.
        receipts: The parts that belong to it, each worker's once.
    """

    token: SharedTransaction
    receipts: tuple[Receipt, ...] = ()
