"""`Refusable`: who asks, of whom a service may say that he may not, or not any more."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Refusable(ABC):
    """Gives what says who asks; used on the I/O loop.

    Of many requests that are refused with the same token, the first has another one looked up: as
    many as were sent would otherwise ask for one each.
    """

    def __init__(self) -> None:
        self._refusals = 0

    @property
    def refusals(self) -> int:
        """How many tokens, or keys, were refused: tells them from their successors."""
        return self._refusals

    def forget(self, refusals: object) -> bool:
        """Has what was refused looked up anew.

        Args:
            refusals: What `refusals` was before the request was sent.

        Returns:
            Whether there may be another token now.
        """
        if self._refusals == refusals:
            if not self.may_change:
                return False
            self._refusals += 1
            self._drop()
        return True

    @property
    @abstractmethod
    def may_change(self) -> bool:
        """Whether there may be another one when this one is refused."""

    @abstractmethod
    def _drop(self) -> None:
        """Has it looked up at the next request."""
