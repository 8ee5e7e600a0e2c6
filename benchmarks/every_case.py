"""All cases; `ALL` is the order of the table.

By itself, since a process that measures one case must not load the libraries of all others: the
more objects a process holds, the longer the pauses of its garbage collector.
"""

from __future__ import annotations

from benchmarks.case import Case
from benchmarks.cases import (
    dask_storing,
    far_objects,
    far_reads,
    gathered_reads,
    http_gets,
    http_read,
    import_time,
    indexing,
    killed_jobs,
    loop_lateness,
    peak_memory,
    plan,
    repositories,
    small_reads,
    tensorflow_loading,
    torch_loading,
    web_tiles,
    whole_read,
    whole_write,
    xarray_loading,
)

ALL: tuple[Case, ...] = (
    *whole_read.CASES,
    *whole_write.CASES,
    *small_reads.CASES,
    *gathered_reads.CASES,
    *loop_lateness.CASES,
    *plan.CASES,
    *peak_memory.CASES,
    *indexing.CASES,
    *http_read.CASES,
    *http_gets.CASES,
    *far_reads.CASES,
    *far_objects.CASES,
    *repositories.CASES,
    *torch_loading.CASES,
    *xarray_loading.CASES,
    *web_tiles.CASES,
    *tensorflow_loading.CASES,
    *dask_storing.CASES,
    *killed_jobs.CASES,
    *import_time.CASES,
)
