"""Whether a repository is still where it was opened.

Folders are deleted, and made anew, beside those who use them. What is committed to the log of a
repository that is gone is found by nobody.
"""

from __future__ import annotations

from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.description import Description
from asynctensor.kvstores.repo.place import Place


class Presence:
    """Looks at ``repo.json`` again.

    Args:
        place: Where the repository is.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        #: The generation that it had when it was last seen to be the same.
        self._seen: bytes | None = None

    async def is_of(self, known: Description) -> bool:
        """Whether the repository in the place is the one that is known.

        Raises:
            DataLoss, Unimplemented: See `Description.decode`.
            Error: The store failed.
        """
        key = self._place.key(objects.REPOSITORY)
        self._place.requests["read"] += 1
        found = await self._place.store.read(key)
        if found.state != "value" or Description.decode(found.value, object=key) != known:
            return False
        self._seen = found.stamp.generation
        return True

    async def remains(self, known: Description) -> bool:
        """The same, with a glance only if that tells that nothing has changed.

        Raises:
            DataLoss, Unimplemented, Error: See `is_of`.
        """
        face = self._place.store.blocking
        now = None if face is None else face.glance(self._place.key(objects.REPOSITORY))
        return (now is not None and now == self._seen) or await self.is_of(known)
