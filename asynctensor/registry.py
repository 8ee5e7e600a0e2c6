"""Names of drivers and kvstores, and the modules that are loaded when one is first used."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from types import ModuleType
from typing import Any, cast

from asynctensor.chunked.driver_request import DriverOpener
from asynctensor.chunked.format import ArrayFormat
from asynctensor.chunked.opening import open_format
from asynctensor.errors import AlreadyExists, InvalidArgument, Unimplemented
from asynctensor.hierarchy.node_format import NodeFormat
from asynctensor.names import (
    DRIVER_GROUP,
    KVSTORE_GROUP,
    entry_point_names,
    load_all_entry_points,
    load_entry_point,
    near,
)
from asynctensor.schema.schema import Schema
from asynctensor.spec_rules import DriverRules, KvStoreRules, Signature, UrlRules
from asynctensor.storage.store_request import StoreOpener


@dataclass(frozen=True, slots=True)
class _Driver:
    rules: DriverRules
    #: Its module, which offers ``open_driver``; of a chunked format, "module:class" of its
    #: `ArrayFormat`.
    module: str
    aliases: tuple[str, ...] = ()
    #: Its presence below a path says that an array of this format is there.
    marker: str | None = None
    nodes: str | None = None  # "module:class" of its NodeFormat
    #: How a file that is one array of this format shows it.
    signature: Signature | None = None
    #: Of one that a user wrote: what opens it.
    opener: DriverOpener | None = None


@dataclass(frozen=True, slots=True)
class _KvStore:
    rules: KvStoreRules
    module: str
    #: How a file that it shows the inside of shows that it is one.
    signature: Signature | None = None
    #: Of one that a user wrote: what opens it.
    opener: StoreOpener | None = None


@dataclass(frozen=True, slots=True)
class _MetadataSchema:
    """The schema of a spec, with what its ``metadata`` member says."""

    driver: str

    def __call__(self, options: Mapping[str, Any], schema: Schema) -> Schema:
        fmt = format_of(self.driver)
        if options.get("field") is not None or options.get("open_as_void"):
            # The metadata is about whole elements.
            return schema
        return fmt.constraint_schema(options.get("metadata", {}), schema)


@dataclass(frozen=True, slots=True)
class _MetadataOptions:
    """The options of a spec, with its ``metadata`` member spelled out by the format."""

    driver: str

    def __call__(self, options: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(options)
        if "metadata" in found:
            found["metadata"] = format_of(self.driver).spelled_out(found["metadata"])
            if not found["metadata"]:
                del found["metadata"]
        return found


@dataclass(frozen=True, slots=True)
class _Lazy:
    """A function of a driver's or kvstore's module, which is loaded when it is first called."""

    module: str
    function: str

    def __call__(self, *args: Any) -> Any:
        return getattr(importlib.import_module(self.module), self.function)(*args)


@dataclass(frozen=True, slots=True)
class _ModuleSchema:
    """A function of the module ``spec`` beside a driver's, loaded when it is first asked."""

    driver: str
    function: str

    def __call__(self, options: Mapping[str, Any], schema: Schema) -> Any:
        package = _driver(self.driver).module.rpartition(".")[0]
        return getattr(importlib.import_module(f"{package}.spec"), self.function)(options, schema)


_FILE_RESOURCES = frozenset(
    {"file_io_concurrency", "file_io_sync", "file_io_locking", "file_io_mode"}
)
_HTTP_RESOURCES = frozenset(
    {"http_credentials", "http_request_concurrency", "http_request_retries"}
)
_S3_RESOURCES = frozenset(
    {"aws_credentials", "data_copy_concurrency", "s3_request_concurrency", "s3_request_retries"}
)
_CACHE_RESOURCES = frozenset({"cache_pool", "data_copy_concurrency"})
_DRIVERS = (
    _Driver(
        DriverRules(
            "zarr3",
            scheme="zarr3",
            members=frozenset({"metadata", "field", "open_as_void"}),
            effective_schema=_MetadataSchema("zarr3"),
            spelled_out=_MetadataOptions("zarr3"),
        ),
        "asynctensor.drivers.zarr3.format:Zarr3Format",
        marker="zarr.json",
        nodes="asynctensor.drivers.zarr3.nodes:Zarr3Nodes",
    ),
    _Driver(
        DriverRules(
            "zarr",
            scheme="zarr2",
            members=frozenset(
                {"metadata", "field", "open_as_void", "key_encoding", "metadata_key"}
            ),
            effective_schema=_MetadataSchema("zarr"),
            spelled_out=_MetadataOptions("zarr"),
        ),
        "asynctensor.drivers.zarr2.format:Zarr2Format",
        aliases=("zarr2",),
        marker=".zarray",
        nodes="asynctensor.drivers.zarr2.nodes:Zarr2Nodes",
    ),
    _Driver(
        DriverRules(
            "n5",
            scheme="n5",
            members=frozenset({"metadata"}),
            effective_schema=_MetadataSchema("n5"),
            spelled_out=_MetadataOptions("n5"),
        ),
        "asynctensor.drivers.n5.format:N5Format",
        marker="attributes.json",
        nodes="asynctensor.drivers.n5.nodes:N5Nodes",
    ),
    _Driver(
        DriverRules(
            "virtual_chunked",
            members=frozenset({"functions", "cache_pool", "data_copy_concurrency"}),
            has_kvstore=False,
            chunked=False,
            resizable=False,
            has_json=False,
        ),
        "asynctensor.drivers.virtual_chunked.opening",
    ),
    _Driver(
        DriverRules(
            "array",
            members=frozenset({"array", "data_copy_concurrency"}),
            resources=frozenset({"data_copy_concurrency"}),
            has_kvstore=False,
            is_directory=False,
            chunked=False,
            resizable=False,
            effective_schema=_ModuleSchema("array", "effective_schema"),
        ),
        "asynctensor.drivers.array.driver",
    ),
    _Driver(
        DriverRules(
            "cast",
            scheme="cast",
            url_path="dtype",
            has_kvstore=False,
            is_directory=False,
            chunked=False,
            resizable=False,
            has_base=True,
            shares_indices=True,
            effective_schema=_ModuleSchema("cast", "effective_schema"),
            base_schema=_ModuleSchema("cast", "base_schema"),
        ),
        "asynctensor.drivers.cast.driver",
    ),
    _Driver(
        DriverRules(
            "downsample",
            members=frozenset({"downsample_factors", "downsample_method"}),
            has_kvstore=False,
            is_directory=False,
            chunked=False,
            resizable=False,
            has_base=True,
            effective_schema=_ModuleSchema("downsample", "effective_schema"),
            base_schema=_ModuleSchema("downsample", "base_schema"),
        ),
        "asynctensor.drivers.downsample.driver",
    ),
    _Driver(
        DriverRules(
            "stack",
            members=frozenset({"data_copy_concurrency"}),
            resources=frozenset({"data_copy_concurrency"}),
            has_kvstore=False,
            is_directory=False,
            chunked=False,
            resizable=False,
            has_layers=True,
            effective_schema=_ModuleSchema("stack", "effective_schema"),
        ),
        "asynctensor.drivers.stack.driver",
    ),
    _Driver(
        DriverRules(
            "json",
            scheme="json",
            members=_CACHE_RESOURCES | {"json_pointer", "recheck_cached_data"},
            resources=_CACHE_RESOURCES,
            is_directory=False,
            chunked=False,
            resizable=False,
            url_path="json_pointer",
            defaults=(
                *((name, name) for name in sorted(_CACHE_RESOURCES)),
                ("json_pointer", ""),
                ("recheck_cached_data", "open"),
            ),
            effective_schema=_Lazy("asynctensor.drivers.json.spec", "effective_schema"),
            spelled_out=_Lazy("asynctensor.drivers.json.spec", "spelled_out"),
        ),
        "asynctensor.drivers.json.driver",
    ),
    _Driver(DriverRules("auto", scheme="auto", is_directory=False, url_path=None), ""),
)
_KVSTORES = (
    _KvStore(
        KvStoreRules(
            "memory",
            scheme="memory",
            members=frozenset({"atomic", "memory_key_value_store"}),
            resources=frozenset({"memory_key_value_store"}),
            defaults=(("atomic", True),),
            check=_Lazy("asynctensor.kvstores.memory.opening", "check_members"),
        ),
        "asynctensor.kvstores.memory.opening",
    ),
    _KvStore(
        KvStoreRules(
            "file",
            scheme="file",
            members=_FILE_RESOURCES,
            resources=_FILE_RESOURCES,
            absolute_path=True,
        ),
        "asynctensor.kvstores.file.opening",
    ),
    _KvStore(
        KvStoreRules(
            "zip",
            scheme="zip",
            members=_CACHE_RESOURCES | {"compression"},
            resources=_CACHE_RESOURCES,
            adapter=True,
            defaults=(("compression", "deflate"),),
            check=_Lazy("asynctensor.kvstores.zip.opening", "check_members"),
        ),
        "asynctensor.kvstores.zip.opening",
        # The end record, its longest comment, and the fixed parts of the ZIP64 records.
        Signature(_Lazy("asynctensor.kvstores.zip.records", "is_zip_file"), tail_bytes=65_633),
    ),
    _KvStore(
        KvStoreRules(
            "kvstack",
            members=frozenset({"layers"}),
            has_layers=True,
            check=_Lazy("asynctensor.kvstores.kvstack.layers", "check_members"),
        ),
        "asynctensor.kvstores.kvstack.opening",
    ),
    _KvStore(
        KvStoreRules(
            "http",
            scheme="http",
            members=_HTTP_RESOURCES | {"base_url", "headers"},
            resources=_HTTP_RESOURCES,
            defaults=(("headers", []),),
            check=_Lazy("asynctensor.kvstores.http.address", "check_members"),
            place=_Lazy("asynctensor.kvstores.http.address", "place"),
            urls=UrlRules(
                _Lazy("asynctensor.kvstores.http.address", "read_url"),
                _Lazy("asynctensor.kvstores.http.address", "write_url"),
                ("https",),
            ),
        ),
        "asynctensor.kvstores.http.opening",
    ),
    _KvStore(
        KvStoreRules(
            "s3",
            scheme="s3",
            members=_S3_RESOURCES
            | {
                "aws_region",
                "bucket",
                "conditional_delete",
                "endpoint",
                "host_header",
                "requester_pays",
                "unquoted_etags",
                "use_conditional_write",
            },
            resources=_S3_RESOURCES,
            defaults=(("aws_region", ""), ("requester_pays", False)),
            check=_Lazy("asynctensor.kvstores.s3.address", "check_members"),
            urls=UrlRules(
                _Lazy("asynctensor.kvstores.s3.address", "read_url"),
                _Lazy("asynctensor.kvstores.s3.address", "write_url"),
            ),
        ),
        "asynctensor.kvstores.s3.opening",
    ),
)
_DRIVER_OF = {name: d for d in _DRIVERS for name in (d.rules.driver, *d.aliases)}
_KVSTORE_OF = {k.rules.driver: k for k in _KVSTORES}
_DRIVER_SCHEMES = {d.rules.scheme: d for d in _DRIVERS}
_KVSTORE_SCHEMES = {scheme: k for k in _KVSTORES for scheme in k.rules.all_schemes()}


class Registry:
    """The rules of every driver and kvstore known by name (`SpecRules`)."""

    def driver(self, name: str) -> DriverRules:
        """See `SpecRules.driver`."""
        return _driver(name).rules

    def kvstore(self, name: str) -> KvStoreRules:
        """See `SpecRules.kvstore`."""
        return _kvstore(name).rules

    def scheme(self, scheme: str, *, first: bool) -> DriverRules | KvStoreRules:
        """See `SpecRules.scheme`."""
        for _ in range(2):
            if scheme in _KVSTORE_SCHEMES:
                return _KVSTORE_SCHEMES[scheme].rules
            if not first and scheme in _DRIVER_SCHEMES:
                return _DRIVER_SCHEMES[scheme].rules
            # A scheme need not be the name of what has it.
            load_all_entry_points(KVSTORE_GROUP)
            load_all_entry_points(DRIVER_GROUP)
        known = [s for s in _KVSTORE_SCHEMES if s]
        if not first:
            known += [s for s in _DRIVER_SCHEMES if s]
        raise InvalidArgument(f'unsupported URL scheme: "{scheme}"{near(scheme, known)}')

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registry)

    def __hash__(self) -> int:
        return hash(Registry)


REGISTRY = Registry()


def markers() -> dict[str, str]:
    """What to look for below a path, and which driver it means there."""
    return {d.marker: d.rules.driver for d in _DRIVERS if d.marker is not None}


def file_formats() -> dict[str, Signature]:
    """The drivers whose arrays are single files, by name, and how these show it."""
    return {d.rules.driver: d.signature for d in _DRIVERS if d.signature is not None}


def containers() -> dict[str, Signature]:
    """The kvstore adapters that show the inside of a file, by name, and how it shows that."""
    return {k.rules.driver: k.signature for k in _KVSTORES if k.signature is not None}


def driver_opener(driver: str) -> DriverOpener:
    """What opens arrays of this driver.

    Raises:
        InvalidArgument: There is no such driver.
    """
    found = _driver(driver)
    if found.opener is not None:
        return found.opener
    module = found.module
    if ":" in module:
        return partial(open_format, format_of(driver))
    return cast("DriverOpener", importlib.import_module(module).open_driver)


def driver_module(driver: str) -> ModuleType:
    """The module of a driver that is no chunked format.

    Raises:
        InvalidArgument: There is no such driver.
    """
    return importlib.import_module(_driver(driver).module)


@cache
def format_of(driver: str) -> ArrayFormat[Any]:
    """The format of a chunked driver.

    Raises:
        InvalidArgument: There is no such driver.
    """
    module, _, name = _driver(driver).module.partition(":")
    return cast("ArrayFormat[Any]", getattr(importlib.import_module(module), name)())


@cache
def node_format(driver: str) -> NodeFormat:
    """The groups and attributes of a driver's format.

    Raises:
        InvalidArgument: There is no such driver.
        Unimplemented: Its format has none.
    """
    found = _driver(driver)
    if found.nodes is None:
        raise Unimplemented(f'the format of driver "{driver}" has no groups and attributes here')
    module, _, name = found.nodes.partition(":")
    return cast("NodeFormat", getattr(importlib.import_module(module), name)())


def node_formats() -> tuple[NodeFormat, ...]:
    """All formats with groups and attributes."""
    return tuple(node_format(d.rules.driver) for d in _DRIVERS if d.nodes is not None)


def store_opener(kvstore: str) -> StoreOpener:
    """What opens stores of this name.

    Raises:
        InvalidArgument: There is no such kvstore.
    """
    found = _kvstore(kvstore)
    if found.opener is not None:
        return found.opener
    return cast("StoreOpener", importlib.import_module(found.module).open_store)


def _driver(name: str) -> _Driver:
    if name not in _DRIVER_OF:
        load_entry_point(DRIVER_GROUP, name)
    found = _DRIVER_OF.get(name)
    if found is None:
        known = (*_DRIVER_OF, *entry_point_names(DRIVER_GROUP))
        raise InvalidArgument(f'"{name}" is not a registered TensorStore driver{near(name, known)}')
    return found


def _kvstore(name: str) -> _KvStore:
    if name not in _KVSTORE_OF:
        load_entry_point(KVSTORE_GROUP, name)
    found = _KVSTORE_OF.get(name)
    if found is None:
        known = (*_KVSTORE_OF, *entry_point_names(KVSTORE_GROUP))
        raise InvalidArgument(f'"{name}" is not a registered KvStore driver{near(name, known)}')
    return found


# -- what users wrote -------------------------------------------------------------------------

_lock = threading.RLock()


def add_driver(rules: DriverRules, opener: DriverOpener, *, replace: bool) -> None:
    """Makes a driver known by its name and scheme.

    Args:
        rules: Its rules.
        opener: What opens its arrays.
        replace: Whether it may take the place of another one that was added.

    Raises:
        AlreadyExists: The name or scheme is taken.
    """
    with _lock:
        taken = _DRIVER_OF.get(rules.driver)
        _check_free("driver", rules.driver, taken is not None, taken and taken.opener, replace)
        _check_scheme(rules.scheme, rules.driver)
        if taken is not None and taken.rules.scheme is not None:
            del _DRIVER_SCHEMES[taken.rules.scheme]
        made = _DRIVER_OF[rules.driver] = _Driver(rules, "", opener=opener)
        if rules.scheme is not None:
            _DRIVER_SCHEMES[rules.scheme] = made


def add_kvstore(rules: KvStoreRules, opener: StoreOpener, *, replace: bool) -> None:
    """Makes a kvstore known by its name and scheme; arguments and errors are as above."""
    with _lock:
        taken = _KVSTORE_OF.get(rules.driver)
        _check_free("kvstore", rules.driver, taken is not None, taken and taken.opener, replace)
        _check_scheme(rules.scheme, rules.driver)
        if taken is not None and taken.rules.scheme is not None:
            del _KVSTORE_SCHEMES[taken.rules.scheme]
        made = _KVSTORE_OF[rules.driver] = _KvStore(rules, "", opener=opener)
        if rules.scheme is not None:
            _KVSTORE_SCHEMES[rules.scheme] = made


def _check_free(kind: str, name: str, taken: bool, opener: object, replace: bool) -> None:
    if taken and (opener is None or not replace):
        remedy = "choose another name" if opener is None else "pass replace=True to replace it"
        raise AlreadyExists(f'there is a {kind} "{name}" already; {remedy}')


def _check_scheme(scheme: str | None, name: str) -> None:
    for known in (_DRIVER_SCHEMES, _KVSTORE_SCHEMES):
        owner = known.get(scheme) if scheme is not None else None
        if owner is not None and owner.rules.driver != name:
            raise AlreadyExists(
                f'the URL scheme "{scheme}" is that of "{owner.rules.driver}"; choose another one'
            )
