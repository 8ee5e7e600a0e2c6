"""Names of drivers and kvstores, and what each stands for."""

from __future__ import annotations

import importlib
from functools import partial
from types import ModuleType
from typing import Any, Final, cast

from asynctensor.chunked.driver_request import DriverOpener
from asynctensor.chunked.format import ArrayFormat
from asynctensor.errors import InvalidArgument, Unimplemented
from asynctensor.format_rules import format_rules
from asynctensor.hierarchy.node_format import NodeFormat
from asynctensor.known_drivers import DRIVERS, KnownDriver
from asynctensor.known_kvstores import KVSTORES, KnownKvStore
from asynctensor.name_table import NameTable
from asynctensor.names import DRIVER_GROUP, KVSTORE_GROUP
from asynctensor.near_names import near
from asynctensor.schema.codec_spec import CodecRules, find_rules_with
from asynctensor.spec_rules import DriverRules, KvStoreRules, Signature
from asynctensor.storage.store_request import StoreOpener

#: The drivers of this process; whoever registers one adds to it.
DRIVER_TABLE: Final[NameTable[KnownDriver]] = NameTable(
    "driver", "TensorStore driver", DRIVER_GROUP, DRIVERS
)
#: Its kvstores.
KVSTORE_TABLE: Final[NameTable[KnownKvStore]] = NameTable(
    "kvstore", "KvStore driver", KVSTORE_GROUP, KVSTORES
)


class Registry:
    """The rules of every driver and kvstore known by name (`SpecRules`)."""

    def driver(self, name: str) -> DriverRules:
        """See `SpecRules.driver`."""
        return DRIVER_TABLE.find(name).rules

    def kvstore(self, name: str) -> KvStoreRules:
        """See `SpecRules.kvstore`."""
        return KVSTORE_TABLE.find(name).rules

    def scheme(self, scheme: str, *, first: bool) -> DriverRules | KvStoreRules:
        """See `SpecRules.scheme`."""
        for _ in range(2):
            store = KVSTORE_TABLE.of_scheme(scheme)
            driver = None if first else DRIVER_TABLE.of_scheme(scheme)
            if store is not None:
                return store.rules
            if driver is not None:
                return driver.rules
            KVSTORE_TABLE.load_all()
            DRIVER_TABLE.load_all()
        known = KVSTORE_TABLE.schemes() + ([] if first else DRIVER_TABLE.schemes())
        raise InvalidArgument(f'unsupported URL scheme: "{scheme}"{near(scheme, known)}')

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registry)

    def __hash__(self) -> int:
        return hash(Registry)


REGISTRY: Final = Registry()


def markers() -> dict[str, str]:
    """What to look for below a path, and which driver it means there."""
    found: dict[str, str] = {}
    for driver in DRIVER_TABLE:
        if driver.marker is not None:
            found.setdefault(driver.marker, driver.rules.driver)
    return found


def file_formats() -> dict[str, Signature]:
    """The drivers whose arrays are single files, by name, and how these show it."""
    return {d.rules.driver: d.signature for d in DRIVER_TABLE if d.signature is not None}


def containers() -> dict[str, Signature]:
    """The kvstore adapters that show the inside of a file, by name, and how it shows that."""
    return {k.rules.driver: k.signature for k in KVSTORE_TABLE if k.signature is not None}


def driver_opener(driver: str) -> DriverOpener:
    """What opens arrays of this driver.

    Raises:
        InvalidArgument: There is no such driver.
    """
    found = DRIVER_TABLE.find(driver)
    if found.opener is not None:
        return found.opener
    if found.format is not None:
        # The chunk engine is loaded with the first array, as what drivers consist of is.
        from asynctensor.chunked.opening import open_format

        return partial(open_format, found.format())
    return cast("DriverOpener", importlib.import_module(found.module).open_driver)


def driver_module(driver: str) -> ModuleType:
    """The module of a driver that is no chunked format.

    Raises:
        InvalidArgument: There is no such driver.
    """
    return importlib.import_module(DRIVER_TABLE.find(driver).module)


def format_of(driver: str) -> ArrayFormat[Any]:
    """The format of a chunked driver.

    Raises:
        InvalidArgument: There is no such driver, or it is none of chunks.
    """
    found = DRIVER_TABLE.find(driver).format
    if found is None:
        raise InvalidArgument(f'driver "{driver}" is no chunked format')
    return found()


def node_format(driver: str) -> NodeFormat:
    """The groups and attributes of a driver's format.

    Raises:
        InvalidArgument: There is no such driver.
        Unimplemented: Its format has none.
    """
    found = DRIVER_TABLE.find(driver).nodes
    if found is None:
        raise Unimplemented(f'the format of driver "{driver}" has no groups and attributes here')
    return found()


def node_formats() -> tuple[NodeFormat, ...]:
    """All formats with groups and attributes."""
    return tuple(driver.nodes() for driver in DRIVER_TABLE if driver.nodes is not None)


def store_opener(kvstore: str) -> StoreOpener:
    """What opens stores of this name.

    Raises:
        InvalidArgument: There is no such kvstore.
    """
    found = KVSTORE_TABLE.find(kvstore)
    if found.opener is not None:
        return found.opener
    return cast("StoreOpener", importlib.import_module(found.module).open_store)


# -- what users wrote -------------------------------------------------------------------------


def add_driver(rules: DriverRules, opener: DriverOpener, *, replace: bool) -> None:
    """Makes a driver known by its name and scheme.

    Args:
        rules: Its rules.
        opener: What opens its arrays.
        replace: Whether it may take the place of another one that was added.

    Raises:
        AlreadyExists: The name or scheme is taken.
    """
    made = KnownDriver(rules, opener=opener, from_user=True)
    DRIVER_TABLE.add(made, [KVSTORE_TABLE], replace=replace)


def add_format(fmt: ArrayFormat[Any], scheme: str | None, *, replace: bool) -> None:
    """Makes a chunked format known by its name and scheme; the rest is as above."""
    rules = format_rules(fmt.driver, scheme, lambda: fmt)
    made = KnownDriver(rules, format=lambda: fmt, marker=fmt.metadata_key, from_user=True)
    DRIVER_TABLE.add(made, [KVSTORE_TABLE], replace=replace)


def add_kvstore(rules: KvStoreRules, opener: StoreOpener, *, replace: bool) -> None:
    """Makes a kvstore known by its name and scheme; arguments and errors are as above."""
    made = KnownKvStore(rules, opener=opener, from_user=True)
    KVSTORE_TABLE.add(made, [DRIVER_TABLE], replace=replace)


def _codec_rules(driver: str) -> CodecRules | None:
    """Of the codec specs of a driver; None for one that is not known, or knows nothing of them."""
    found = next((each for each in DRIVER_TABLE if driver in each.names), None)
    return None if found is None or found.format is None else found.format().codec_rules()


find_rules_with(_codec_rules)
