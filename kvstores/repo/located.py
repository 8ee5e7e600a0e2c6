"""Which key space a key lies in: a pure function of its spelling.

A key that ends in decimals is a chunk key: its *family* is everything before the longest run of
decimals with one separator, that separator, and their number. So `image/c/3/4` lies in the family
of prefix ``image/c/``, and nobody needs to declare it. Any other key is a document.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from asynctensor.kvstores.repo.family import DOCUMENTS, Family, Keys

#: More coordinates than any array has.
_MAX_RANK = 32
#: Longer decimals are no coordinates.
_DIGITS = 18
_DECIMAL = f"(?:0|[1-9][0-9]{{0,{_DIGITS - 1}}})"
_SLASHED = re.compile(f"(?:^|(?<=/)){_DECIMAL}(?:/{_DECIMAL})*\\Z")
_COORDINATE = re.compile(_DECIMAL)
_DOTTED = re.compile(f"(?<![0-9]){_DECIMAL}(?:\\.{_DECIMAL})+\\Z")
#: Families by prefix, separator and rank: most keys come from a few.
_KNOWN: dict[tuple[str, str, int], Family] = {}
_MOST_KNOWN = 4096
#: So many families at most are each tried on all keys that are left.
_MOST_TRIED = 4


def family_of(key: str) -> Family | None:
    """The family of a chunk key; None if `key` is a document."""
    if not key or not "0" <= key[-1] <= "9":
        return None
    found = _DOTTED.search(key)
    separator = "."
    if found is None:
        found = _SLASHED.search(key)
        separator = "/"
    if found is None:
        return None
    rank = found[0].count(separator) + 1
    if rank > _MAX_RANK:
        return None
    name = (key[: found.start()], separator, rank)
    family = _KNOWN.get(name)
    if family is None:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        family = _KNOWN[name] = Family.of(*name)
    return family


def located(key: str) -> tuple[bytes, bytes, Family | None]:
    """The space of a key, the key there, and its family."""
    family = family_of(key)
    if family is None:
        return DOCUMENTS, key.encode("utf-8", "surrogatepass"), None
    inside = family.parse(key)
    assert inside is not None
    return family.id, inside, family


@lru_cache(maxsize=1 << 16)
def _coordinate(number: str) -> bytes | None:
    """A coordinate in a family's space; None if `number` is none."""
    return int(number).to_bytes(8, "big") if _COORDINATE.fullmatch(number) else None


def of_one_family(keys: Sequence[str]) -> tuple[Family, list[bytes]] | None:
    """The family that all of some keys are of, and what they are in its space, in that order.

    None: they are of several, or documents are among them.
    """
    family: Family | None = None
    found: list[bytes] = []
    before: str | None = None
    start = b""
    for key in keys:
        # Neighbours differ in the last number alone.
        cut = len(key)
        if family is not None:
            cut = key.rfind(family.separator) + 1
            if key[:cut] == before and (last := _coordinate(key[cut:])) is not None:
                found.append(start + last)
                continue
        mine = family_of(key)
        if mine is None or (family is not None and mine != family):
            return None
        inside = mine.parse(key)
        assert inside is not None
        family = mine
        before, start = key[: key.rfind(mine.separator) + 1], inside[:-8]
        found.append(inside)
    return None if family is None else (family, found)


def by_family(keys: Sequence[str]) -> tuple[list[str], list[tuple[Family, list[str], Keys]]]:
    """The documents among `keys`; and of each family the keys, spelled and in its space."""
    documents: list[str] = []
    families: list[tuple[Family, list[str], Keys]] = []
    left = list(keys)
    for _ in range(_MOST_TRIED):
        if not left:
            return documents, families
        family = family_of(left[0])
        if family is None:
            documents.append(left.pop(0))
            continue
        prefix = family.prefix
        mine = [key for key in left if key.startswith(prefix)]
        parsed = family.parse_each(mine, _DIGITS)
        if parsed is None:
            break
        families.append((family, mine, parsed))
        left = [key for key in left if not key.startswith(prefix)] if len(mine) < len(left) else []
    rest: dict[Family, list[str]] = {}
    for key in left:
        family = family_of(key)
        if family is None:
            documents.append(key)
        else:
            rest.setdefault(family, []).append(key)
    families += [(family, mine, family.parse_many(mine)) for family, mine in rest.items()]
    return documents, families
