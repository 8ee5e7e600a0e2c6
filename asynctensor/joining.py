"""Joining a transaction that another process shared, by its token."""

from __future__ import annotations

from asynctensor.errors import InvalidArgument, Unimplemented
from asynctensor.opening import open_store
from asynctensor.public_kvstore_spec import kvstore_value
from asynctensor.runtime.context import Context
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.shared_transaction import SharedTransaction
from asynctensor.transaction.sharing import Sharing
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction


async def join(token: SharedTransaction, context: Context | None, limit: int) -> Transaction:
    """See `Transaction.join`."""
    return await _joined(token, context, limit, part=True)


async def resume(token: SharedTransaction, context: Context | None, limit: int) -> Transaction:
    """See `Transaction.resume`."""
    return await _joined(token, context, limit, part=False)


async def _joined(
    token: SharedTransaction, context: Context | None, limit: int, *, part: bool
) -> Transaction:
    if not isinstance(token, SharedTransaction):
        raise InvalidArgument(f"{token!r} is no token: Transaction.share() gives one")
    known = Context() if context is None else context
    store, _ = open_store(kvstore_value(dict(token.store)).bound(known), known)
    domain = store.commit_domain
    if domain is None:
        raise Unimplemented(f"nothing can be committed to {token.store}")
    made = Transaction(
        message=token.message,
        author=token.author,
        metadata=token.metadata,
        isolation=token.isolation,
        staged_bytes_limit=limit,
        caller_key=token.caller_key,
    )
    mark = await (domain.join(token) if part else domain.resume(token))
    made.take_part(Sharing(token, domain, part=part), mark)
    deleted = [KeyRange(first, end) for first, end in token.cleared]
    staging = StagedStore(store, made).staging()
    staging.take(dict(token.staged), deleted, foreign=part)
    if not part:
        await staging.rest_on_staged()
    return made
