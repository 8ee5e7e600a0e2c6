"""``repo.json``: what a repository is. Written once, by whoever creates it, and never changed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from asynctensor.errors import DataLoss, Unimplemented
from asynctensor.storage.checksum import crc32c

FORMAT = "asynctensor repository"
VERSION = 1
#: What stands for the checksum while it is worked out.
_UNKNOWN = "00000000"
_NOTED = re.compile(rb'("crc32c": ")[0-9a-f]{8}')
#: The branch that every repository begins with.
MAIN = "main"


@dataclass(frozen=True, slots=True)
class Description:
    """A repository.

    Attributes:
        id: 32 hex digits, random: tells two repositories apart.
        main: The id of the branch ``main``.
        created: Microseconds since the Unix epoch.
        features: What a reader must know beyond the format's version; none so far.
        single_writer: Whether the store does not create if absent, which its maker accepted.
        lists: Whether the store was seen to list what was just created.
    """

    id: str
    main: str
    created: int
    features: tuple[str, ...] = ()
    single_writer: bool = False
    lists: bool = True

    def encode(self) -> bytes:
        """The body of ``repo.json``."""
        members: dict[str, object] = {
            "format": FORMAT,
            "version": VERSION,
            "id": self.id,
            "main": self.main,
            "created": self.created,
            "features": list(self.features),
        }
        if self.single_writer:
            members["single_writer"] = True
        if not self.lists:
            members["lists"] = False
        members["crc32c"] = _UNKNOWN
        data = (json.dumps(members, indent=2) + "\n").encode()
        return _NOTED.sub(rb"\g<1>" + _checksum(data).encode(), data)

    @staticmethod
    def decode(data: bytes, *, object: str) -> Description:
        """The repository that ``repo.json``, the object of that name, describes.

        Raises:
            DataLoss: It is no such document, or is damaged.
            Unimplemented: It needs a newer version of the format, or a feature that is not known.
        """
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise DataLoss(f"is no JSON document: {error}", key=object) from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise DataLoss(
                f'is no description of a repository: "format" is not "{FORMAT}"', key=object
            )
        # First the checksum: damaged bytes do not say which version they are in.
        noted = found.get("crc32c")
        actual = _checksum(data)
        if noted != actual:
            raise DataLoss(
                f"is damaged: its crc32c is {actual}, and {noted!r:.20} is noted in it", key=object
            )
        version = found.get("version")
        if type(version) is not int or version < 1:
            raise DataLoss('member "version" is no positive integer', key=object)
        if version > VERSION:
            raise Unimplemented(
                f"the repository is in version {version} of the format, and this library knows "
                f"version {VERSION}; upgrade asynctensor",
                key=object,
            )
        features = found.get("features", [])
        if features:
            raise Unimplemented(
                f"the repository uses {features!r:.200}, which this library does not know; upgrade "
                "asynctensor",
                key=object,
            )
        return Description(
            _digits(found, "id", 32, object),
            _digits(found, "main", 12, object),
            _time(found, object),
            single_writer=found.get("single_writer") is True,
            lists=found.get("lists") is not False,
        )


def _checksum(data: bytes) -> str:
    """The checksum of the document, with zeros in the place of the one that is noted in it."""
    blank = _NOTED.sub(rb"\g<1>" + _UNKNOWN.encode(), data)
    return f"{crc32c(blank):08x}"


def _digits(found: dict[str, object], name: str, count: int, object: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{count}}}", value):
        raise DataLoss(f'member "{name}" is not {count} hex digits', key=object)
    return value


def _time(found: dict[str, object], object: str) -> int:
    value = found.get("created")
    if type(value) is not int or not 0 <= value < 2**63:
        raise DataLoss('member "created" is no time in microseconds', key=object)
    return value
