"""Counters of the process as OpenTelemetry's SDK collects them."""

from __future__ import annotations

import subprocess
import sys

from opentelemetry.sdk.metrics import Counter, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricsData,
    Sum,
)

import asynctensor as at
from asynctensor.integrations.opentelemetry import observe
from asynctensor.runtime.counters import counter
from asynctensor.runtime.process import PROCESS


def collected(reader: InMemoryMetricReader) -> dict[str, tuple[int | float, str]]:
    """Value and unit of each metric."""
    data = reader.get_metrics_data()
    found = {}
    for resource in data.resource_metrics if isinstance(data, MetricsData) else ():
        for scope in resource.scope_metrics:
            assert scope.scope.name == "asynctensor"
            for metric in scope.metrics:
                assert isinstance(metric.data, Sum)
                assert metric.data.is_monotonic
                (point,) = metric.data.data_points
                found[metric.name] = point.value, metric.unit or ""
    return found


def counted() -> dict[str, int]:
    """The same as the process says by itself."""
    return {
        each["name"].strip("/").replace("/", "."): each["values"][0]["value"]
        for each in at.experimental_collect_matching_metrics(include_zero_metrics=True)
    }


def test_they_are_the_counters_of_the_process() -> None:
    reader = InMemoryMetricReader()
    observe(MeterProvider([reader]))
    store = at.open("memory://|zarr3", dtype="uint16", shape=[40], create=True).result()
    store.write(7).result()
    store.read().result()
    earlier, found, later = counted(), collected(reader), counted()
    assert found.keys() == later.keys()
    # Something else in this process may count meanwhile.
    assert all(earlier.get(name, 0) <= found[name][0] <= later[name] for name in later)
    assert found["tensorstore.kvstore.memory.bytes_written"][0] > 0
    assert found["tensorstore.kvstore.memory.bytes_written"][1] == "By"
    before = found["tensorstore.kvstore.memory.read"][0]
    store.read().result()
    assert collected(reader)["tensorstore.kvstore.memory.read"][0] > before


def test_those_that_are_made_later_and_those_that_are_not_wanted() -> None:
    both, one = InMemoryMetricReader(), InMemoryMetricReader()
    observe(MeterProvider([both]))
    observe(MeterProvider([one]), "/asynctensor/")
    counter("/tensorstore/of_this_test/things", "things of a test").value += 3
    try:
        assert collected(both)["tensorstore.of_this_test.things"] == (3, "")
        assert not [name for name in collected(one) if not name.startswith("asynctensor.")]
    finally:
        del PROCESS.counters["/tensorstore/of_this_test/things"]


def test_differences_between_collections() -> None:
    kinds = dict.fromkeys((Counter, ObservableCounter), AggregationTemporality.DELTA)
    reader = InMemoryMetricReader(preferred_temporality=kinds)
    observe(MeterProvider([reader]), "/tensorstore/kvstore/memory/")
    store = at.open("memory://|zarr3", dtype="uint16", shape=[40], create=True).result()
    collected(reader)
    for _ in range(3):
        store.write(1).result()
    name = "tensorstore.kvstore.memory.write"
    assert collected(reader)[name][0] == 3
    assert collected(reader).get(name, (0, ""))[0] == 0


def test_without_it_nothing_is_loaded() -> None:
    code = (
        "import sys, asynctensor as at;"
        "at.open('memory://|zarr3', dtype='uint8', shape=[1], create=True).result();"
        "at.experimental_collect_prometheus_format_metrics();"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
