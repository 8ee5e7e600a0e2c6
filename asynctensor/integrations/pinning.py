"""`pinned`: an array of a repository as it is now, whatever is committed later."""

from __future__ import annotations

from asynctensor.errors import NotFound
from asynctensor.opening import open as open_array
from asynctensor.repository.repository import Repository
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.tensorstore import TensorStore


def pinned(array: TensorStore) -> Future[TensorStore]:
    """The same view at the snapshot that its branch is at.

    Args:
        array: Any array. One that is in no repository, in a transaction, or at a tag, a time or a
            snapshot, is given back as it is.

    Returns:
        Future of it. It fails with `NotFound` if its branch has no commit, or is gone.
    """
    return start(_pinned, array)


async def _pinned(array: TensorStore) -> TensorStore:
    spec = array.spec().to_json()
    kvstore = spec.get("kvstore")
    moving = (
        isinstance(kvstore, dict)
        and kvstore.get("driver") == "repo"
        and not kvstore.keys() & {"tag", "snapshot", "as_of"}
    )
    if not moving or array.transaction is not None:
        return array
    repository = await Repository.open(kvstore["base"], context=array.context)
    branch = kvstore.pop("branch", "main")
    async for commit in repository.log(branch, limit=1):
        kvstore["snapshot"] = commit.id
        return await open_array(spec, context=array.context)
    raise NotFound(f"branch {branch!r} has no commit")
