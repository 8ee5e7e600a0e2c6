"""The drivers that there are: their rules, and the modules loaded when one is first used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from asynctensor.chunked.driver_request import DriverOpener
from asynctensor.format_rules import FormatSource, format_rules
from asynctensor.hierarchy.node_format import NodeFormat
from asynctensor.known_kvstores import CACHE_RESOURCES
from asynctensor.lazy import Lazy, LazyObject
from asynctensor.runtime.resources import STANDARD_RESOURCES
from asynctensor.spec_rules import DriverRules, Signature


@dataclass(frozen=True, slots=True)
class KnownDriver:
    """One driver.

    Attributes:
        rules: Of its specs.
        module: Offers ``open_driver``, unless it is a chunked format.
        format: Gives its format, if it is one.
        aliases: Its further names.
        marker: Its presence below a path says that an array of this format is there.
        nodes: Gives its groups and attributes, where it has such.
        signature: How a file that is one array of this format shows it.
        opener: Of one that a user wrote: what opens it.
        from_user: Whether a user registered it.
    """

    rules: DriverRules
    module: str = ""
    format: FormatSource | None = None
    aliases: tuple[str, ...] = ()
    marker: str | None = None
    nodes: Callable[[], NodeFormat] | None = None
    signature: Signature | None = None
    opener: DriverOpener | None = None
    from_user: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Its names in JSON."""
        return (self.rules.driver, *self.aliases)

    @property
    def schemes(self) -> tuple[str, ...]:
        """Its schemes in URLs."""
        return () if self.rules.scheme is None else (self.rules.scheme,)


_ZARR3: Final = LazyObject("asynctensor.drivers.zarr3.format", "Zarr3Format")
_ZARR2: Final = LazyObject("asynctensor.drivers.zarr2.format", "Zarr2Format")
_N5: Final = LazyObject("asynctensor.drivers.n5.format", "N5Format")
DRIVERS: Final = (
    KnownDriver(
        format_rules("zarr3", "zarr3", _ZARR3, "field", "open_as_void"),
        format=_ZARR3,
        marker="zarr.json",
        nodes=LazyObject("asynctensor.drivers.zarr3.nodes", "Zarr3Nodes"),
    ),
    KnownDriver(
        format_rules(
            "zarr",
            "zarr2",
            _ZARR2,
            "field",
            "open_as_void",
            "metadata_key",
            aliases=(("key_encoding", "dimension_separator"),),
        ),
        format=_ZARR2,
        aliases=("zarr2",),
        marker=".zarray",
        nodes=LazyObject("asynctensor.drivers.zarr2.nodes", "Zarr2Nodes"),
    ),
    KnownDriver(
        format_rules("n5", "n5", _N5),
        format=_N5,
        marker="attributes.json",
        nodes=LazyObject("asynctensor.drivers.n5.nodes", "N5Nodes"),
    ),
    KnownDriver(
        DriverRules(
            "virtual_chunked",
            members=frozenset({"functions", "cache_pool", "data_copy_concurrency"}),
            has_kvstore=False,
            chunked=False,
            resizable=False,
            has_json=False,
        ),
        module="asynctensor.drivers.virtual_chunked.opening",
    ),
    KnownDriver(
        DriverRules(
            "array",
            members=frozenset({"array", "data_copy_concurrency"}),
            defaults=(("data_copy_concurrency", "data_copy_concurrency"),),
            resources=frozenset({"data_copy_concurrency"}),
            has_kvstore=False,
            is_directory=False,
            chunked=False,
            resizable=False,
            effective_schema=Lazy("asynctensor.drivers.array.spec", "effective_schema"),
        ),
        module="asynctensor.drivers.array.driver",
    ),
    KnownDriver(
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
            passes_to_base=frozenset({"rank"}),
            effective_schema=Lazy("asynctensor.drivers.cast.spec", "effective_schema"),
            base_schema=Lazy("asynctensor.drivers.cast.spec", "base_schema"),
        ),
        module="asynctensor.drivers.cast.driver",
    ),
    KnownDriver(
        DriverRules(
            "downsample",
            members=frozenset({"downsample_factors", "downsample_method"}),
            has_kvstore=False,
            is_directory=False,
            chunked=False,
            resizable=False,
            has_base=True,
            passes_to_base=frozenset({"dtype", "rank"}),
            effective_schema=Lazy("asynctensor.drivers.downsample.spec", "effective_schema"),
            base_schema=Lazy("asynctensor.drivers.downsample.spec", "base_schema"),
            base_part=Lazy("asynctensor.drivers.downsample.spec", "base_part"),
        ),
        module="asynctensor.drivers.downsample.driver",
    ),
    KnownDriver(
        DriverRules(
            "stack",
            members=frozenset({"data_copy_concurrency"}),
            defaults=(("data_copy_concurrency", "data_copy_concurrency"),),
            resources=frozenset({"data_copy_concurrency"}),
            has_kvstore=False,
            is_directory=False,
            chunked=False,
            resizable=False,
            has_layers=True,
            effective_schema=Lazy("asynctensor.drivers.stack.spec", "effective_schema"),
        ),
        module="asynctensor.drivers.stack.driver",
    ),
    KnownDriver(
        DriverRules(
            "json",
            scheme="json",
            members=CACHE_RESOURCES | {"json_pointer", "recheck_cached_data"},
            resources=CACHE_RESOURCES,
            is_directory=False,
            chunked=False,
            resizable=False,
            url_path="json_pointer",
            of_json=("json", 0),
            defaults=(
                *((name, name) for name in sorted(CACHE_RESOURCES)),
                ("json_pointer", ""),
                ("recheck_cached_data", "open"),
            ),
            effective_schema=Lazy("asynctensor.drivers.json.spec", "effective_schema"),
            spelled_out=Lazy("asynctensor.drivers.json.spec", "spelled_out"),
        ),
        module="asynctensor.drivers.json.driver",
    ),
    KnownDriver(
        DriverRules(
            "auto",
            scheme="auto",
            members=frozenset(STANDARD_RESOURCES),
            resources=frozenset(STANDARD_RESOURCES),
            is_directory=False,
            url_path=None,
            passes_on=True,
        )
    ),
)
