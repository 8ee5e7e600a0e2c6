"""What it costs to make a view: every form of indexing, on an array of rank 3 in memory."""

from __future__ import annotations

import functools
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.peers import peer_class

EDGE = 512
ROWS = [3, 1, 4, 1, 5, 9]
#: Seconds for one value, which is the least of several: what the work itself takes.
_SECONDS = 0.02
_REPEATS = 9

Form = Callable[[Any, Any], Any]
FORMS: dict[str, tuple[str, Form]] = {
    "slice": ("basic slice", lambda array, _: array[1:5, 2:6, 3:7]),
    "integer": ("integer", lambda array, _: array[5]),
    "newaxis": ("new axis", lambda array, ts: array[ts.newaxis, 1:5]),
    "stride": ("strided slice", lambda array, _: array[::2, ::2, ::2]),
    "vector": ("slice of vectors", lambda array, _: array[(1, 2, 3) : (4, 5, 6)]),
    "list": ("list", lambda array, _: array[ROWS]),
    "boolean": ("boolean array", lambda array, _: array[MASK]),
    "oindex": ("oindex, two lists", lambda array, _: array.oindex[ROWS, ROWS]),
    "vindex": ("vindex, two lists", lambda array, _: array.vindex[ROWS, ROWS]),
    "domain": ("domain", lambda array, ts: array[made(ts).domain]),
    "transform": ("transform", lambda array, ts: array[made(ts).transform]),
    "T": ("T", lambda array, _: array.T),
    "transpose": ("transpose", lambda array, _: array.transpose([2, 0, 1])),
    "translate-to": ("translate_to", lambda array, _: array.translate_to[1, 2, 3]),
    "translate-by": ("translate_by", lambda array, _: array.translate_by[1, 2, 3]),
    "translate-backward": (
        "translate_backward_by",
        lambda array, _: array.translate_backward_by[1, 2, 3],
    ),
    "label": ("label", lambda array, _: array.label["x", "y", "z"]),
    "implicit": ("mark_bounds_implicit", lambda array, _: array.mark_bounds_implicit[True]),
    "slice-by-dim": ("d[0, 2][1:5]", lambda array, ts: array[ts.d[0, 2][1:5]]),
    "oindex-by-dim": ("d[0, 1].oindex", lambda array, ts: array[ts.d[0, 1].oindex[ROWS, ROWS]]),
    "vindex-by-dim": ("d[0, 1].vindex", lambda array, ts: array[ts.d[0, 1].vindex[ROWS, ROWS]]),
    "chained": (
        "d[0, 1].label.translate_to",
        lambda array, ts: array[ts.d[0, 1].label["x", "y"].translate_to[0]],
    ),
    "diagonal": ("d[0, 1].diagonal", lambda array, ts: array[ts.d[0, 1].diagonal]),
    "stride-by-dim": ("d[0, 1].stride", lambda array, ts: array[ts.d[0, 1].stride[2]]),
    "transpose-by-dim": ("d[0, 1].transpose", lambda array, ts: array[ts.d[0, 1].transpose[-1]]),
    "translate-by-dim": (
        "d[0, 1].translate_by",
        lambda array, ts: array[ts.d[0, 1].translate_by[1, 2]],
    ),
    "implicit-by-dim": (
        "d[0, 1].mark_bounds_implicit",
        lambda array, ts: array[ts.d[0, 1].mark_bounds_implicit[True]],
    ),
}


@dataclass(frozen=True)
class Made:
    """What a library indexes with, made once."""

    domain: Any
    transform: Any


@functools.cache
def made(library: Any) -> Made:
    """A part of the array as a domain, and as a transform of another rank."""
    outputs = [library.OutputIndexMap(input_dimension=0), library.OutputIndexMap(7)]
    return Made(
        library.IndexDomain(inclusive_min=[1, 2, 3], exclusive_max=[4, 5, 6]),
        library.IndexTransform(input_shape=[3], output=[*outputs, outputs[0]]),
    )


MASK = np.arange(EDGE) % 64 == 0


@dataclass(frozen=True)
class Indexing:
    """Makes each view again and again, and compares its domain with that of NumPy."""

    peers: tuple[str, ...] = ("asynctensor", "tensorstore")
    name: str = "indexing"
    rows: tuple[RowSpec, ...] = (
        RowSpec("index: basic slice, time", "us", Target(8, 5, is_ratio=False), "slice"),
        *(
            RowSpec(
                f"index: {title}",
                "us",
                Target(0.33, 0.5) if key == "slice" else Target(0.125, 0.25),
                key,
            )
            for key, (title, _) in FORMS.items()
        ),
    )
    fresh_process: bool = False

    def prepare(self, scene: Scene) -> None:
        del scene

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        del setting, scene
        library: Any = peer_class(peer).library  # type: ignore[attr-defined]
        array = library.open(
            {"driver": "zarr3", "kvstore": {"driver": "memory"}},
            create=True,
            dtype=library.uint16,
            shape=[EDGE] * 3,
            chunk_layout=library.ChunkLayout(chunk_shape=[64] * 3),
        ).result()
        return {key: _microseconds(key, form, array, library) for key, (_, form) in FORMS.items()}


def _microseconds(key: str, form: Form, array: Any, library: Any) -> float:
    shape = {"slice": (4, 4, 4), "oindex": (6, 6, EDGE), "vindex": (6, EDGE)}.get(key)
    if shape is not None and form(array, library).shape != shape:
        raise WrongResult(f"{key}: a view of another shape")
    timer = timeit.Timer(lambda: form(array, library))
    once = min(timer.repeat(3, 20)) / 20
    count = max(1, int(_SECONDS / once / _REPEATS))
    return min(timer.repeat(_REPEATS, count)) / count * 1e6


CASES = (Indexing(),)
