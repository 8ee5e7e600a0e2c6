"""How often what goes wrong between a client and its store: tables, some of which imitate services.

The numbers are far worse than those of any service that is in order: what must hold at these will
hold there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

#: Which requests are meant, by operation and key (for ranges of keys: their lower bound).
When: TypeAlias = Callable[[str, str], bool]


def everything(operation: str, key: str) -> bool:
    """Every request."""
    return True


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong. Probabilities are per request and exclude each other: at most one occurs.

    Attributes:
        lost_request: The request never arrives; the caller gets `Unavailable` after `patience`.
        lost_answer: It is done; the caller gets `Unavailable` after `patience`.
        late: A write or delete of which the caller is told `Unavailable` lands up to `latest`
            seconds later.
        duplicated: A write is delivered once more, up to `latest` seconds later.
        refused_own: A conditional write is done, and answered as if its condition had not held:
            a proxy has repeated it, and passes the answer to the second on.
        conflict: 409: a conditional write is refused with `Aborted`, and nothing was done.
        unavailable: 503: `Unavailable` at once, and nothing was done.
        throttled: The same as 429.
        hidden: A read of a key written less than `memory` seconds ago answers that it is missing.
        stale_read: A read answers what was there up to `memory` seconds ago.
        torn_read: A read answers a value whose end is missing or wrong.
        stale_list: A listing answers what was there up to `memory` seconds ago.
        unordered_list: All listings are in no order; not a probability.
        overwrites: A create-if-absent replaces what is there and says that it created: a lie.
        creates: A write on condition of a version that finds the key missing creates it: a lie.
        latency: Seconds that a request takes each way at most; it takes at least a quarter.
        slow: Probability that it takes ten times as long.
        patience: Seconds after which the caller of a lost request gives up.
        latest: Seconds by which what is late has landed.
        memory: Seconds of the past that stale answers come from.
        writes_per_second: Writes of one key that are accepted; more are throttled. 0: any number.
        when: Which requests these faults concern; all wait their latency.
    """

    lost_request: float = 0.0
    lost_answer: float = 0.0
    late: float = 0.0
    duplicated: float = 0.0
    refused_own: float = 0.0
    conflict: float = 0.0
    unavailable: float = 0.0
    throttled: float = 0.0
    hidden: float = 0.0
    stale_read: float = 0.0
    torn_read: float = 0.0
    stale_list: float = 0.0
    unordered_list: bool = False
    overwrites: float = 0.0
    creates: float = 0.0
    latency: float = 0.02
    slow: float = 0.02
    patience: float = 1.0
    latest: float = 5.0
    memory: float = 2.0
    writes_per_second: float = 0.0
    when: When = everything

    def scaled(self, factor: float) -> Faults:
        """The same with every probability of a fault multiplied."""
        return replace(self, **{name: getattr(self, name) * factor for name in KINDS})


#: The faults that have a probability, in the order in which they are drawn.
KINDS = (
    "lost_request", "lost_answer", "late", "duplicated", "refused_own", "conflict", "unavailable",
    "throttled", "hidden", "stale_read", "torn_read", "stale_list", "overwrites", "creates",
)  # fmt: skip
#: Nothing goes wrong, and everything takes its time.
RELIABLE = Faults()
#: A network that loses and delays, in front of a store without fault.
LOSSY = Faults(
    lost_request=0.04, lost_answer=0.04, late=0.03, duplicated=0.03, unavailable=0.03,
    throttled=0.02, refused_own=0.01, conflict=0.02,
)  # fmt: skip
#: S3: strongly consistent; 409 when writes of a key race, 503 when it has too much to do.
S3 = Faults(
    lost_request=0.01, lost_answer=0.02, late=0.01, duplicated=0.01, conflict=0.02, unavailable=0.05
)
#: GCS: one write of an object per second, and 429 for more.
GCS = Faults(lost_request=0.01, lost_answer=0.02, late=0.01, writes_per_second=1.0)
#: Tigris: a region may be behind another for reads and listings.
TIGRIS = Faults(lost_answer=0.02, stale_read=0.1, hidden=0.05, stale_list=0.2)
#: S3 Express: directory buckets list in no order.
EXPRESS = Faults(lost_request=0.01, lost_answer=0.02, unordered_list=True, latency=0.005)
#: MinIO before 2024: a write on condition of a version creates a key that is missing.
OLD_MINIO = Faults(lost_answer=0.02, creates=1.0)
#: A service or proxy that ignores "only if absent".
LYING = Faults(overwrites=1.0)
#: Bytes go missing on the way.
TEARING = Faults(torn_read=0.2)

PRESETS: Mapping[str, Faults] = {
    "reliable": RELIABLE,
    "lossy": LOSSY,
    "s3": S3,
    "gcs": GCS,
    "tigris": TIGRIS,
    "express": EXPRESS,
    "old_minio": OLD_MINIO,
    "lying": LYING,
    "tearing": TEARING,
}
