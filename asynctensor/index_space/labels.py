"""Labels of dimensions: unique where they are not empty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asynctensor.errors import IncompatibleType, InvalidArgument, InvalidIndex


def parse_labels(labels: Iterable[str | None], rank: int | None = None) -> tuple[str, ...]:
    """Labels as they are kept: strings, empty for none.

    Raises:
        InvalidArgument: If a label occurs twice, or there are not `rank` of them.
        IncompatibleType: If one is no string.
    """
    parsed: list[str] = []
    for label in labels:
        if label is not None and not isinstance(label, str):
            raise IncompatibleType(
                f"Dimension label must be a string or None, but received: {label!r}"
            )
        parsed.append(label or "")
    if rank is not None and len(parsed) != rank:
        raise InvalidArgument(f"{len(parsed)} labels given for {rank} dimensions")
    check_unique(parsed)
    return tuple(parsed)


def check_unique(labels: Sequence[str]) -> None:
    """Refuses labels that occur twice.

    Raises:
        InvalidArgument: Naming them.
    """
    seen = [label for label in labels if label]
    if len(set(seen)) != len(seen):
        twice = sorted({label for label in seen if seen.count(label) > 1})
        names = ", ".join(f'"{label}"' for label in twice)
        raise InvalidArgument(f"Dimension label(s) {names} not unique")


def find_label(label: str, labels: Sequence[str]) -> int:
    """The dimension that bears `label`.

    Raises:
        InvalidIndex: If none does, naming those there are.
    """
    if label and label in labels:
        return labels.index(label)
    if not label:
        raise InvalidIndex("Dimension cannot be specified by empty label")
    known = ", ".join(f'"{other}"' for other in labels)
    raise InvalidIndex(f'Label "{label}" does not match one of {{{known}}}')


def merge_label(a: str, b: str) -> str:
    """The label of two dimensions that are one.

    Raises:
        InvalidArgument: If both have one and they differ.
    """
    if a and b and a != b:
        raise InvalidArgument(f'Mismatch in labels: "{a}" and "{b}"')
    return a or b
