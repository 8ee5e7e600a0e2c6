"""Specs read from JSON and from URLs."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from asynctensor.errors import InvalidArgument
from asynctensor.index_space.transform import IndexTransform
from asynctensor.kvstore_spec import KvStoreSpec, joined, kvstore_from_json, kvstore_of_url
from asynctensor.near_names import extra_members
from asynctensor.open_mode import FLAGS, OpenMode
from asynctensor.pipeline_url import UrlComponent, parse_pipeline, shown_url
from asynctensor.resource_members import checked_resources
from asynctensor.schema.contradiction import (
    between,
    contradiction,
    in_schema,
    same,
    written_in,
)
from asynctensor.schema.data_type import dtype
from asynctensor.schema.json_value import (
    annotated,
    at_position,
    boolean,
    expected,
    in_member,
    members,
    merging,
    rank_value,
    string,
)
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_state import SchemaState
from asynctensor.spec_rules import DriverRules, KvStoreRules, SpecRules
from asynctensor.spec_state import CHUNKED_DEFAULTS, CHUNKED_RESOURCES, SpecState

#: Members of every spec.
_COMMON: Final = frozenset({"driver", "context", "dtype", "rank", "transform", "schema"})


def recheck_option(value: object) -> bool | float | str:
    """When cached data are read again: always, never, before a time, or when the array opens.

    Args:
        value: A bool, a number (Unix seconds) or ``"open"``.

    Raises:
        InvalidArgument: It is none of them.
    """
    if isinstance(value, bool) or value == "open":
        return "open" if value == "open" else bool(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise expected('boolean, number, or "open"', value)


def state_from_json(json: Any, rules: SpecRules) -> SpecState:
    """The spec that JSON or a URL says.

    Raises:
        InvalidArgument: It is none; the message gives the path of the wrong member.
    """
    if isinstance(json, str):
        return state_from_url(json, rules)
    with written_in(json):
        return _state_of(members(json), rules)


def _state_of(found: dict[str, Any], rules: SpecRules, base: SpecState | None = None) -> SpecState:
    """The spec that members say; `base`: that of the array below, if they do not say it."""
    with in_member("driver"):
        if "driver" not in found:
            raise InvalidArgument("Expected string, but member is missing")
        driver = rules.driver(string(found.pop("driver")))
    state = SpecState(driver.driver, rules, base=base)
    state = replace(state, kvstore=_take_kvstore(found, driver, rules))
    state = _with_arrays_below(state, found, driver)
    if driver.takes_open_mode:
        flags = {name: _take(found, name, boolean) for name in FLAGS if name in found}
        if "create" not in flags:
            flags.setdefault("open", True)
        state = replace(state, open_mode=OpenMode(**flags).normalized())
    state = replace(state, schema=_take_schema(found))
    transform = None
    if "transform" in found:
        with in_member("transform"):
            transform = IndexTransform(json=members(found.pop("transform")))
    state = replace(state, options=_checked_options(found, driver))
    if driver.of_json is not None:
        name, rank = driver.of_json
        with between(lambda _: "driver", in_schema):
            known = state.schema.with_rank(rank).with_dtype(dtype(name))
        state = replace(state, schema=known)
    return _with_transform(_handed_down(state), transform)


def _handed_down(state: SpecState) -> SpecState:
    """With what the schema says of the array below in the spec of that."""
    fill = state.schema.fill_value
    if fill is None or "dtype" not in state.driver_rules.passes_to_base or state.base is None:
        return state.handed_down()
    # In JSON, unlike in updates, it is that of the base.
    below = state.base.with_schema(Schema.from_state(SchemaState(fill_value=fill)))
    rest = replace(state.schema, fill_value=None)
    return replace(state, schema=rest, base=below).handed_down()


def state_from_url(url: str, rules: SpecRules) -> SpecState:
    """The spec that a URL says: kvstores, then at most one format stored in them.

    Without a format, the driver is ``auto``, which looks at what is stored.

    Raises:
        InvalidArgument: It is no URL, or its components do not fit together.
    """
    components = parse_pipeline(url)
    with annotated(f'Parsing spec from url: "{shown_url(url)}"'):
        kinds = [
            rules.scheme(each.scheme, first=place == 0) for place, each in enumerate(components)
        ]
        formats = [place for place, each in enumerate(kinds) if isinstance(each, DriverRules)]
        stores = formats[0] if formats else len(components)
        kvstore = kvstore_of_url(components[:stores], rules)
        if not formats:
            return SpecState("auto", rules, kvstore)
        driver, component = kinds[stores], components[stores]
        if not isinstance(driver, DriverRules) or driver.has_base:
            raise InvalidArgument(f'"{component}" must follow a format in a URL')
        path = component.decoded_path()
        options = {}
        if path and driver.url_path == "path":
            kvstore = kvstore.as_directory()
            kvstore = kvstore.with_path(kvstore.path + path)
        elif path:
            with annotated(f'Invalid TensorStore URL component "{component}"'):
                if driver.url_path is None:
                    raise InvalidArgument("Path not supported")
                options = _checked_options({driver.url_path: path}, driver)
        mode = OpenMode().normalized() if driver.takes_open_mode else OpenMode()
        state = SpecState(
            driver.driver, rules, _placed(kvstore, driver), open_mode=mode, options=options
        )
        adapters = list(zip(kinds[stores + 1 :], components[stores + 1 :], strict=True))
        if adapters:
            # As adapters hold it that are said in JSON.
            state = state_from_json(state.to_json(), rules)
        for kind, component in adapters:
            state = _adapted(state, kind, component)
    return state


def _adapted(
    base: SpecState, driver: DriverRules | KvStoreRules, component: UrlComponent
) -> SpecState:
    """The adapter that a component of a URL says, over what stands before it."""
    if not isinstance(driver, DriverRules) or not driver.has_base:
        raise InvalidArgument(f'"{component}" is not valid following a format in a URL')
    found: dict[str, Any] = {"driver": driver.driver}
    with annotated(f'Invalid TensorStore URL component "{component}"'):
        path = component.decoded_path()
        if driver.url_path is not None:
            found[driver.url_path] = path
        elif path:
            raise InvalidArgument("Path not supported")
        return _state_of(found, base.rules, base)


def placed_kvstore(kvstore: KvStoreSpec, state: SpecState) -> KvStoreSpec:
    """`kvstore` as the driver of `state` wants its path.

    Raises:
        InvalidArgument: The driver uses no kvstore.
    """
    if not state.driver_rules.has_kvstore:
        raise InvalidArgument(f'Driver "{state.driver}" does not use a kvstore')
    return _placed(kvstore, state.driver_rules)


def _placed(kvstore: KvStoreSpec, driver: DriverRules) -> KvStoreSpec:
    return kvstore.as_directory() if driver.is_directory else kvstore


def _take(found: dict[str, Any], name: str, read: Callable[[Any], Any]) -> Any:
    with in_member(name):
        return read(found.pop(name))


def _take_kvstore(
    found: dict[str, Any], driver: DriverRules, rules: SpecRules
) -> KvStoreSpec | None:
    if not driver.has_kvstore or "kvstore" not in found:
        if driver.has_kvstore and "path" in found:
            with in_member("path"):
                raise InvalidArgument('"path" must be specified in conjunction with "kvstore"')
        return None
    kvstore = _take(found, "kvstore", lambda json: kvstore_from_json(json, rules))
    if "path" in found:
        kvstore = kvstore.with_path(joined(kvstore.path, _take(found, "path", string)))
    return _placed(kvstore, driver)


def _with_arrays_below(state: SpecState, found: dict[str, Any], driver: DriverRules) -> SpecState:
    """With ``base`` or ``layers``, as the driver has them; what it needs, the driver checks."""
    if driver.has_base and "base" in found:
        passed = {name: found[name] for name in driver.passes_to_base & {"dtype"} & found.keys()}
        base = _take(found, "base", lambda json: state_from_json(_with(passed, json), state.rules))
        state = replace(state, base=base)
    if driver.has_layers and "layers" in found:
        with in_member("layers"):
            given = found.pop("layers")
            if not isinstance(given, (list, tuple)):
                raise expected("array", given)
            layers = []
            for place, json in enumerate(given):
                with at_position(place):
                    layers.append(state_from_json(json, state.rules))
        state = replace(state, layers=tuple(layers))
    return state


def _with(passed: dict[str, Any], json: Any) -> Any:
    """The JSON of a base with what the adapter above it says of it, unless it says so itself."""
    return {**passed, **json} if isinstance(json, dict) else json


def _take_schema(found: dict[str, Any]) -> SchemaState:
    state = SchemaState()
    if "schema" in found:
        with in_member("schema"):
            state = Schema(found.pop("schema")).state
    if "dtype" in found:
        data_type = _take(found, "dtype", lambda json: dtype(string(json)))
        with merging("dtype"), between(same, in_schema):
            state = state.with_dtype(data_type)
    if "rank" in found:
        rank = _take(found, "rank", rank_value)
        with merging("rank"), between(same, in_schema):
            state = state.with_rank(rank)
    return state


def _with_transform(state: SpecState, transform: IndexTransform | None) -> SpecState:
    rank = state.effective_schema().rank
    if transform is None or transform == state.effective_transform():
        # What `to_json` derived is not a choice of the user: a resize may outdate it.
        return state
    if rank not in (None, transform.output_rank):
        raise contradiction(
            f'Error parsing object member "transform": Transform of rank {transform.input_rank} -> '
            f"{transform.output_rank} does not fit an array of rank {rank}",
            "transform",
            _rank_said_at(state),
        )
    return replace(state, transform=transform)


def _rank_said_at(state: SpecState) -> str:
    """The member that says the rank of the stored array."""
    if state.schema.rank is not None:
        return in_schema(state.schema.rank_said_by())
    if state.base is not None:
        return "base"
    if state.layers:
        return "layers"
    return next((each for each in ("metadata", "array") if each in state.options), "driver")


def _taken(driver: DriverRules) -> set[str]:
    """Members that are read before the options of a driver."""
    found = {"kvstore", "path"} if driver.has_kvstore else set()
    if driver.takes_open_mode:
        found.update(FLAGS)
    if driver.has_base:
        found.add("base")
    if driver.has_layers:
        found.add("layers")
    return found


def _checked_options(found: dict[str, Any], driver: DriverRules) -> dict[str, Any]:
    known = set(_COMMON)
    if driver.chunked:
        known |= {*CHUNKED_DEFAULTS, *CHUNKED_RESOURCES}
        for name in CHUNKED_DEFAULTS:
            if name in found:
                read = recheck_option if name.startswith("recheck") else boolean
                found[name] = _take(found, name, read)
    resources = driver.resources.union(CHUNKED_RESOURCES if driver.chunked else ())
    found = checked_resources(found, resources)
    if "recheck_cached_data" in (driver.members or ()) and "recheck_cached_data" in found:
        found["recheck_cached_data"] = _take(found, "recheck_cached_data", recheck_option)
    if "context" in found:
        with in_member("context"):
            members(found["context"])
        if not found["context"]:
            del found["context"]
    if driver.members is not None:
        extra = found.keys() - known - driver.members
        if extra:
            # What has been taken before is no longer in `found`, and may have been meant.
            raise InvalidArgument(extra_members(extra, known | driver.members | _taken(driver)))
    if driver.spelled_out is not None:
        found = driver.spelled_out(found)
    return {k: copy.deepcopy(v) for k, v in sorted(found.items())}
