"""The members of kvstores of other libraries, checked where a spec is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from asynctensor.errors import InvalidArgument

_SAID: Final[dict[type, str]] = {str: "string", dict: "object"}


@dataclass(frozen=True, slots=True)
class SpecMembers:
    """What a spec says of a store of another library, beside its path.

    Attributes:
        place: The member that says which store; a text that is not empty.
        meaning: What that text is, in words.
        options: The member that holds what the library is told further.
    """

    place: str
    meaning: str
    options: str

    def check(
        self, members: dict[str, Any], form: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        """The members of a spec as they are kept: without options that say nothing.

        Raises:
            InvalidArgument: The place is missing, or a member is of another type.
        """
        del form
        for name, kind in ((self.place, str), ("opened", str), (self.options, dict)):
            if name in members and not isinstance(members[name], kind):
                raise InvalidArgument(
                    f'Error parsing object member "{name}": Expected {_SAID[kind]}'
                )
        if not members.get(self.place):
            raise InvalidArgument(
                f'Error parsing object member "{self.place}": Expected {self.meaning}'
            )
        return {name: value for name, value in members.items() if name != self.options or value}
