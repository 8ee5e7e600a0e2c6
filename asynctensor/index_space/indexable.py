"""What is indexed through a transform."""

from __future__ import annotations


class Indexable:
    """Base of what index transforms compose with: `IndexTransform`, `Spec`, `TensorStore`.

    Says nothing but ``isinstance(x, Indexable)``: that ``x[...]`` with NumPy-style terms, a
    domain, a dimension expression or a transform gives another one of the same class.

    >>> isinstance(at.array([1]), at.Indexable), isinstance(at.Schema(), at.Indexable)
    (True, False)
    """

    __slots__ = ()
