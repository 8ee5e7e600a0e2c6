"""The first full garbage collection of a process, before anything waits for the GIL.

What was imported until then is looked at once: some 40,000 objects here, for 10 to 20 ms. Left to
itself, it comes in the middle of some early read, and every timer of the caller's loop is as late.
"""

from __future__ import annotations

import gc

#: The oldest generation: a collection of it is a full one.
_OLDEST = 2


def collect_early() -> None:
    """Has the first full collection now, if there was none yet.

    Where there was none, there are not many objects, as Python has one when there are. Who has
    turned the collector off is not overruled.
    """
    if gc.isenabled() and not gc.get_stats()[_OLDEST]["collections"]:
        gc.collect()
