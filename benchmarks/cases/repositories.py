"""Commits, their history, and what they cost: on S3 with 20 ms for each request, and on files."""

from __future__ import annotations

from benchmarks.case import Case
from benchmarks.cases import (
    repository_bulk,
    repository_commits,
    repository_reads,
    repository_writers,
)

CASES: tuple[Case, ...] = (
    *repository_commits.CASES,
    *repository_writers.CASES,
    *repository_bulk.CASES,
    *repository_reads.CASES,
)
