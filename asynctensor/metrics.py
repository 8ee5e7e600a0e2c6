"""What the process has counted so far, as values, as Prometheus text, and sent to a gateway.

The names are TensorStore's where the same thing is counted. Counting costs an addition per chunk
or value; nothing else happens until somebody asks.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from asynctensor.errors import InvalidArgument, Unavailable
from asynctensor.runtime.counters import Counter, counters
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future

#: Seconds that a gateway may take to answer.
_PUSH_TIMEOUT = 30.0
#: Prometheus' text format, version 0.0.4.
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def experimental_collect_matching_metrics(
    metric_prefix: str = "", include_zero_metrics: bool = False
) -> list[dict[str, Any]]:
    """What was counted since the process began.

    Args:
        metric_prefix: Of the names, such as ``"/tensorstore/kvstore/file/"``.
        include_zero_metrics: Also what never happened.

    Returns:
        One ``{"name": ..., "values": [{"value": ...}]}`` per metric, by name.
    """
    return [
        {"name": each.name, "values": [{"value": each.value}]}
        for each in counters(metric_prefix)
        if each.value or include_zero_metrics
    ]


def experimental_collect_prometheus_format_metrics(metric_prefix: str = "") -> list[str]:
    """The same in Prometheus' text format, one element per line.

    Args:
        metric_prefix: Of the names, as they are in `experimental_collect_matching_metrics`.
    """
    return [line for each in counters(metric_prefix) for line in _lines(each)]


def _lines(each: Counter) -> Iterator[str]:
    name = each.name.strip("/").replace("/", "_")
    yield f"# HELP {name} {each.text}"
    if each.unit:
        yield f"# UNIT {name} {each.unit}"
    yield f"# TYPE {name} counter"
    yield f"{name} {each.value}"


def experimental_push_metrics_to_prometheus(
    pushgateway: str = "",
    job: str = "",
    instance: str = "",
    metric_prefix: str = "",
    *,
    timeout: float | None = None,
    deadline: float | None = None,
) -> Future[int]:
    """Sends the metrics to a Prometheus Pushgateway.

    Args:
        pushgateway: Its URL, such as ``"http://localhost:9091/"``.
        job: Name of the job.
        instance: Name of the instance; empty for none.
        metric_prefix: Of the names of the metrics to send.
        timeout: Seconds after which to give up.
        deadline: The same as a Unix time.

    Returns:
        Future of the HTTP status of the answer. It fails with `Unavailable` if there is none
        within 30 seconds. A cancelled call may or may not have been received.

    Raises:
        InvalidArgument: The URL is none, or there is no job.
    """
    if not pushgateway.startswith(("http://", "https://")):
        raise InvalidArgument(f"pushgateway must be an http or https URL, but is: {pushgateway!r}")
    if not job:
        raise InvalidArgument("job must not be empty: the gateway keeps metrics by job")
    url = f"{pushgateway.rstrip('/')}/metrics/job/{quote(job, safe='')}"
    if instance:
        url += f"/instance/{quote(instance, safe='')}"
    return start(_push, url, metric_prefix, timeout=timeout, deadline=deadline)


async def _push(url: str, metric_prefix: str) -> int:
    # Loaded now, because nearly nobody needs it.
    aiohttp = importlib.import_module("aiohttp")
    lines = experimental_collect_prometheus_format_metrics(metric_prefix)
    body = "".join(f"{line}\n" for line in lines)
    timeout = aiohttp.ClientTimeout(total=_PUSH_TIMEOUT)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                url, data=body.encode(), headers={"Content-Type": _CONTENT_TYPE}
            ) as answer,
        ):
            return int(answer.status)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(
            f"the gateway did not answer ({error or type(error).__name__}); is its URL right?",
            store=url,
            operation="push metrics",
        ) from error
