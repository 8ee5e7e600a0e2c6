"""A transform as text for people, in TensorStore's notation; `repr` is what Python reads back."""

from __future__ import annotations

from collections.abc import Iterator

from asynctensor.index_space.interval import format_interval
from asynctensor.index_space.output_map import OutputIndexMap, array_text
from asynctensor.index_space.representation import TransformRep


def transform_text(rep: TransformRep) -> str:
    """Ranks, domain and output maps, one dimension a line."""
    return "\n".join(_lines(rep))


def _lines(rep: TransformRep) -> Iterator[str]:
    yield f"Rank {rep.input_rank} -> {rep.output_rank} index space transform:"
    yield "  Input domain:"
    columns = zip(*rep.bounds, rep.input_labels, strict=True)
    for dim, (lower, upper, ilo, ihi, label) in enumerate(columns):
        name = f' "{label}"' if label else ""
        yield f"    {dim}: {format_interval(lower, upper, ilo, ihi)}{name}"
    yield "  Output index maps:"
    for out, item in enumerate(rep.maps):
        yield f"    out[{out}] = {_map_text(item)}"
        if item.index_array is not None:
            yield f"      {array_text(item.index_array)}"


def _map_text(item: OutputIndexMap) -> str:
    if item.stride is None:
        return str(item.offset)
    scaled = f"{item.offset} + {item.stride} *"
    if item.index_array is None:
        return f"{scaled} in[{item.input_dimension}]"
    return f"{scaled} bounded({format_interval(*item.range)}, array(in)), where array ="
