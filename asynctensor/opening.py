"""`open`: from a spec, a URL or a path to a `TensorStore`."""

from __future__ import annotations

import copyreg
import os
from collections.abc import Mapping
from typing import Any, Unpack

from asynctensor.chunked.array_driver import ArrayDriver
from asynctensor.chunked.driver_request import DriverRequest, Mode, OpenView
from asynctensor.chunked.view import View
from asynctensor.detection import detected, tell_arrays_below
from asynctensor.errors import FailedPrecondition, InvalidArgument
from asynctensor.index_space.propagate_bounds import resolve_over
from asynctensor.index_space.transform import IndexTransform
from asynctensor.kvstore import KvStore
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.public_kvstore_spec import kvstore_value
from asynctensor.registry import REGISTRY, driver_opener, store_opener
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.scheduler.scheduled_store import ScheduledStore
from asynctensor.schema.keywords import optional_type
from asynctensor.schema.schema import Schema
from asynctensor.spec import Spec
from asynctensor.spec_json import state_from_json
from asynctensor.spec_options import OpenOptions
from asynctensor.spec_state import SpecState
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction

_ACCESS = {"r": "read", "w": "written"}


def open(  # noqa: A001 -- TensorStore's name
    spec: Spec | Mapping[str, Any] | str | os.PathLike[str],
    *,
    read: bool | None = None,
    write: bool | None = None,
    driver: str | None = None,
    context: Context | None = None,
    transaction: Transaction | None = None,
    batch: Batch | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
    **constraints: Unpack[OpenOptions],
) -> Future[TensorStore]:
    """Opens or creates an array.

    Args:
        spec: A `Spec` or its JSON; a URL (``"file:///data/a/|zarr3:"``; without a format it is
            found out); or a path of the local file system (`pathlib.Path`).
        read: Allow reading. Without `read` and `write`, both are allowed.
        write: Allow writing.
        driver: With a path or a URL without format: the format. A path that is created without
            one becomes ``"zarr3"``.
        context: Resources to use, and to share with what else is opened with it; by default a
            new one.
        transaction: What opening, reads and writes belong to.
        batch: Accepted; one metadata document is read at most.
        timeout: Seconds after which to give up.
        deadline: The same as a Unix time.
        **constraints: What `Spec.update` takes: `open_mode`, `open`, `create`,
            `delete_existing`, `assume_metadata`, `assume_cached_metadata`, `kvstore` (also a
            `KvStore`, whose transaction and resources are used),
            `recheck_cached_metadata`, `recheck_cached_data`, `recheck_cached`, `rank`, `dtype`,
            `domain`, `shape`, `chunk_layout`, `codec`, `fill_value`, `dimension_units`, `schema`.

    Returns:
        Future of the array. It fails with `NotFound` or `AlreadyExists`; with
        `FailedPrecondition` if what is stored does not satisfy the constraints; with
        `InvalidArgument` if they contradict each other or leave out what creating needs; with
        `DataLoss` if the stored metadata is damaged. A cancelled call may have created the array.

    Raises:
        InvalidArgument: The spec is wrong; the message gives the member's path.
        IncompatibleType: An argument has the wrong type or name.
    """
    optional_type(batch, Batch, "batch")
    optional_type(context, Context, "context")
    optional_type(transaction, Transaction, "transaction")
    given = _spec_of(spec, driver)
    kvstore = constraints.get("kvstore")
    if isinstance(kvstore, KvStore):
        constraints["kvstore"] = kvstore.spec(retain_context=True)
        transaction = kvstore.transaction if transaction is None else transaction
    given.update(**constraints)
    bound = Context() if context is None else context
    mode = access_mode(read, write)
    required = mode if read or write else ""
    return start(
        _open,
        given.state,
        bound,
        transaction,
        mode,
        required,
        timeout=timeout,
        deadline=deadline,
    )


def access_mode(read: bool | None, write: bool | None) -> str:
    """The mode that ``read=`` and ``write=`` of `open` mean.

    Raises:
        InvalidArgument: They allow nothing.
    """
    if read or write:
        return ("r" if read else "") + ("w" if write else "")
    mode = ("r" if read is None else "") + ("w" if write is None else "")
    if not mode:
        raise InvalidArgument("read=False, write=False leaves nothing to do; allow one of them")
    return mode


def _spec_of(spec: object, driver: str | None) -> Spec:
    if isinstance(spec, Spec):
        return spec.copy()
    if isinstance(spec, os.PathLike):
        path = os.path.abspath(os.fspath(spec))  # noqa: PTH100 -- links stay as they are
        kvstore = KvStoreSpec.of("file", path + "/")
        return Spec.from_state(SpecState(driver or "auto", kvstore=kvstore))
    found = Spec(spec)
    if driver is not None:
        if found.driver not in ("auto", REGISTRY.driver(driver).driver):
            raise InvalidArgument(f"driver={driver!r} contradicts the spec's {found.driver!r}")
        found = Spec.from_state(found.state.found_to_be(REGISTRY.driver(driver).driver))
    return found


async def _open(
    state: SpecState,
    context: Context,
    transaction: Transaction | None,
    mode: str,
    required: str = "",
    place: tuple[KeyValueStore, str] | None = None,
) -> TensorStore:
    bound = await _resolved(state.bound(context), context, transaction)
    try:
        view = await _open_view(bound, context, transaction, mode, place)
    except FailedPrecondition as error:
        if state.driver == "auto":
            # Most likely a group.
            await tell_arrays_below(error, bound, open_store, context, transaction)
        raise
    if not set(required) <= set(view.mode):
        raise InvalidArgument(
            f'arrays of driver "{view.driver.driver}" can be {_ACCESS[view.mode]} only here'
        )
    return TensorStore(view.driver, view.transform, context, view.mode, bound)


def open_at_once(
    state: SpecState, context: Context, transaction: Transaction | None = None
) -> TensorStore:
    """Opens an array of a driver that has nothing to wait for.

    Raises:
        Error: As `open`'s future fails.
    """
    step = _open(state, context, transaction, "rw").__await__()
    try:
        next(step)
    except StopIteration as done:
        opened: TensorStore = done.value
        return opened
    raise AssertionError(f"opening an array of driver {state.driver} waits for something")


async def _resolved(
    state: SpecState, context: Context, transaction: Transaction | None
) -> SpecState:
    if state.driver != "auto":
        return state
    return await detected(state, open_store, context, transaction)


def view_opener(context: Context, transaction: Transaction | None, mode: str) -> OpenView:
    """What opens the arrays below an adapter: from a `SpecState`, or a spec's JSON."""

    async def open_view(spec: Any) -> View:
        below = spec if isinstance(spec, SpecState) else state_from_json(spec, REGISTRY)
        below = await _resolved(below, context, transaction)
        return await _open_view(below, context, transaction, mode)

    return open_view


async def _open_view(
    state: SpecState,
    context: Context,
    transaction: Transaction | None,
    mode: str,
    place: tuple[KeyValueStore, str] | None = None,
) -> View:
    """With a `place`, the array is there, and the spec need not say where."""
    if "context" in state.options:
        context = Context(state.options["context"], context)
    store, path = (None, "") if place is None else place
    if place is None and state.kvstore is not None:
        store, path = open_store(state.kvstore, context)
    state.open_mode.check()

    request = DriverRequest(
        state.driver,
        state.driver_members(),
        view_opener(context, transaction, mode),
        context,
        Schema.from_state(state.schema),
        _mode(state),
        mode,
        transaction,
        store,
        path,
    )
    opened = await driver_opener(state.driver)(request)
    if isinstance(opened, View):
        driver, transform = opened.driver, opened.transform
        if state.transform is not None:
            transform = transform[state.transform]
    else:
        driver, transform = opened, opened.transform()
        if state.transform is not None:
            _check_rank(state.transform, transform)
            transform = resolve_over(state.transform, transform)
    return View(driver, transform, _usable(mode, driver))


def _check_rank(transform: IndexTransform, array: IndexTransform) -> None:
    if transform.output_rank != array.input_rank:
        raise InvalidArgument(
            f"Transform of rank {transform.input_rank} -> {transform.output_rank} does not fit an "
            f"array of rank {array.input_rank}"
        )


def _usable(mode: str, driver: ArrayDriver) -> str:
    found = "".join(each for each in mode if each in driver.access)
    if not found:
        raise InvalidArgument(
            f'arrays of driver "{driver.driver}" can be {_ACCESS[driver.access]} only'
        )
    return found


async def open_at(
    store: KeyValueStore,
    path: str,
    spec: Spec,
    *,
    context: Context,
    transaction: Transaction | None,
    mode: str,
) -> TensorStore:
    """Opens or creates an array in a store that is open already; see `open`.

    Args:
        store: The store, outside of any transaction.
        path: The array's directory.
        spec: All else; its ``kvstore`` is not looked at.
        context: Resources to use.
        transaction: What opening, reads and writes belong to.
        mode: ``"r"``, ``"w"`` or ``"rw"``.
    """
    return await _open(spec.state, context, transaction, mode, place=(store, path))


def open_store(spec: KvStoreSpec, context: Context) -> tuple[KeyValueStore, str]:
    """The store that a spec names, and the key prefix in it.

    Raises:
        InvalidArgument: The spec is wrong.
    """
    if "context" in spec.options:
        context = Context(spec.options["context"], context)

    def open_base(json: Any) -> tuple[KeyValueStore, str]:
        return open_store(KvStoreSpec(json), context)

    request = StoreRequest(spec.driver, spec.path, spec.options, context, spec.base, open_base)
    store, path = store_opener(spec.driver)(request)
    return (_scheduled(store, request) if store.capabilities.remote else store), path


def _scheduled(store: KeyValueStore, request: StoreRequest) -> ScheduledStore:
    """A store with a network below, its reads scheduled as its resources say."""
    named = sorted(REGISTRY.kvstore(request.driver).resources)
    manner = [request.resource(name) for name in named if "request" in name or "rate" in name]
    hedging = request.resource("request_hedging").extra_requests
    return ScheduledStore(store, hedging=hedging, manner=tuple(manner))


def _mode(state: SpecState) -> Mode:
    mode = state.open_mode.normalized()
    return Mode(
        open=mode.open,
        create=mode.create,
        delete_existing=mode.delete_existing,
        assume_metadata=mode.assume_metadata or mode.assume_cached_metadata,
    )


async def _open_kvstore(spec: Any, context: Any) -> KvStore:
    known = Context() if context is None else context
    bound = kvstore_value(spec).bound(known)
    store, path = open_store(bound, known)
    return KvStore(store, path, context=known, opened=bound)


def _reopened(spec: Spec, context: Context, mode: str) -> TensorStore:
    return open(spec, context=context, read="r" in mode, write="w" in mode).result()


def _reduced(store: TensorStore) -> tuple[Any, ...]:
    """A pickled array is its spec and its context; it is opened again where it is read."""
    if store.transaction is not None:
        raise FailedPrecondition(
            "an array bound to a transaction cannot be pickled: what is staged is in this "
            "process; use with_transaction(None)"
        )
    return _reopened, (store.spec(open=True, retain_context=True), store.context, store.mode)


copyreg.pickle(TensorStore, _reduced)
KvStore.opener = staticmethod(_open_kvstore)
