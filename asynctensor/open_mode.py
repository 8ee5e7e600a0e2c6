"""`OpenMode`: whether to open, create or replace, and what to believe without looking."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from asynctensor.errors import InvalidArgument


@dataclass(kw_only=True, slots=True, eq=True, repr=False)
class OpenMode:
    """How to open an array; all false stands for "as the driver does by default", which is open.

    >>> mode = at.OpenMode(open=True, create=True)
    >>> array = at.open("memory://a/|zarr3:", open_mode=mode, dtype="int8", shape=[2]).result()
    >>> array.spec(open_mode=mode).open_mode == mode
    True

    Attributes:
        open: Allow opening an array that exists.
        create: Allow creating one.
        delete_existing: Delete what exists before creating.
        assume_metadata: Neither read nor write metadata; take what the spec says.
        assume_cached_metadata: Do not read the metadata when opening; take what the spec says.
    """

    open: bool = False
    create: bool = False
    delete_existing: bool = False
    assume_metadata: bool = False
    assume_cached_metadata: bool = False

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def copy(self) -> OpenMode:
        """An independent copy."""
        return OpenMode(**self.flags())

    def flags(self) -> dict[str, bool]:
        """The flags that are set."""
        return {each.name: True for each in fields(self) if getattr(self, each.name)}

    def normalized(self) -> OpenMode:
        """What is meant: opening if nothing is said; and the stronger of the two assumptions."""
        mode = self.copy() if self.flags() else OpenMode(open=True)
        mode.assume_cached_metadata &= not mode.assume_metadata
        return mode

    def updated(self, new: OpenMode) -> OpenMode:
        """`new`, added to this one if it says neither `open` nor `create`, else instead of it."""
        kept = {} if new.open or new.create else self.flags()
        return OpenMode(**kept | new.flags()).normalized()

    def check(self) -> None:
        """Checks that the flags make sense together.

        Raises:
            InvalidArgument: `delete_existing` without `create`, or with `open`; or one of the two
                assumptions without `open`, or with `delete_existing`.
        """
        if self.delete_existing and (not self.create or self.open):
            error = InvalidArgument(
                "delete_existing=True needs create=True, and open=False: "
                "what is deleted cannot be opened"
            )
            error.contradicting = ("delete_existing", "open" if self.open else "create")
            raise error
        for name in ("assume_metadata", "assume_cached_metadata"):
            if getattr(self, name) and (not self.open or self.delete_existing):
                error = InvalidArgument(f"{name}=True needs open=True, and delete_existing=False")
                error.contradicting = (name, "delete_existing" if self.open else "open")
                raise error

    def __repr__(self) -> str:
        return f"OpenMode({', '.join(f'{name}=True' for name in self.flags())})"


#: Members of a spec, and keywords, that say an open mode.
FLAGS: tuple[str, ...] = tuple(each.name for each in fields(OpenMode))
