"""The operation on whose behalf a request is made: what fairness is between."""

from __future__ import annotations

from collections.abc import Hashable
from contextvars import ContextVar

#: Set by whoever starts many requests of one operation; tasks inherit it.
FLOW: ContextVar[Hashable] = ContextVar("asynctensor_flow", default=None)
