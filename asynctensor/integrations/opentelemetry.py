"""OpenTelemetry: what the process counts, as metrics; it costs nothing until they are collected."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from importlib.metadata import version

from opentelemetry.metrics import (
    CallbackOptions,
    Meter,
    MeterProvider,
    Observation,
    get_meter_provider,
)

from asynctensor.runtime.counters import Counter, each_counter

__all__ = ["observe"]

#: Units as OpenTelemetry names them: those of UCUM, where there is one.
_UNITS = {"bytes": "By"}


def observe(provider: MeterProvider | None = None, prefix: str = "") -> None:
    """Makes an asynchronous counter of each counter of the process, those of later times as well.

    They are those of `experimental_collect_matching_metrics`, with dots:
    ``/tensorstore/kvstore/file/bytes_read`` is ``tensorstore.kvstore.file.bytes_read``, in ``By``.
    Nothing is called but when the provider's readers collect, and what is counted costs no more
    than before. Call it once for each provider. A forked child goes on from its parent's counts.

    Args:
        provider: Whose meter is used; None: the global one.
        prefix: Of the names, as they are in `experimental_collect_matching_metrics`.

    Source: the OpenTelemetry specification, metrics API, "Asynchronous Counter".
    """
    chosen = get_meter_provider() if provider is None else provider
    meter = chosen.get_meter("asynctensor", version("asynctensor"))
    each_counter(partial(_observe, meter, prefix, set(), threading.Lock()))


def _observe(
    meter: Meter, prefix: str, seen: set[str], lock: threading.Lock, counter: Counter
) -> None:
    if not counter.name.startswith(prefix):
        return
    with lock:
        if counter.name in seen:
            return
        seen.add(counter.name)

    def observed(options: CallbackOptions) -> Iterable[Observation]:
        del options
        return [Observation(counter.value)]

    meter.create_observable_counter(
        counter.name.strip("/").replace("/", "."),
        [observed],
        _UNITS.get(counter.unit, counter.unit),
        counter.text,
    )
