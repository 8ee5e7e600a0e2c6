"""`AttributeChanges`: what becomes of single attributes, whatever becomes of the others. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asynctensor.errors import Aborted
from asynctensor.hierarchy.attribute_values import MISSING


@dataclass(frozen=True, slots=True)
class AttributeChanges:
    """Changes that were worked out from some state of the attributes, to be done to a later one.

    They can be if nobody has changed the same attributes in between.

    Attributes:
        values: New values; `MISSING`: deleted.
        expected: What they rest on: the values before; `MISSING`: there was none.
    """

    values: Mapping[str, Any]
    expected: Mapping[str, Any]

    @classmethod
    def between(
        cls, before: Mapping[str, Any], after: Mapping[str, Any], looked_at: Mapping[str, Any]
    ) -> AttributeChanges:
        """What makes `after` of `before`.

        Args:
            before: The attributes that there were.
            after: Those that there shall be.
            looked_at: Names of others on which the change rests.
        """
        names = [*before, *(name for name in after if name not in before)]
        values = {
            name: after.get(name, MISSING)
            for name in names
            if not same(before.get(name, MISSING), after.get(name, MISSING))
        }
        rests_on = {*values, *looked_at}
        return cls(values, {name: before.get(name, MISSING) for name in rests_on})

    def then(self, later: AttributeChanges) -> AttributeChanges:
        """Both, one after the other."""
        ours = {name: v for name, v in later.expected.items() if name not in self.values}
        return AttributeChanges({**self.values, **later.values}, {**ours, **self.expected})

    def applied(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes with the changes.

        Raises:
            Aborted: One that they rest on has another value; the message names it.
        """
        for name, wanted in self.expected.items():
            found = stored.get(name, MISSING)
            if not same(found, wanted):
                raise Aborted(
                    f'the attribute "{name}" was {wanted!r} when this transaction looked at it, '
                    f"and somebody else has made it {found!r}; start again"
                )
        changed = {**stored, **self.values}
        return {name: value for name, value in changed.items() if value is not MISSING}


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in JSON, where True is no 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(isinstance(one, bool) == isinstance(other, bool) and one == other)
