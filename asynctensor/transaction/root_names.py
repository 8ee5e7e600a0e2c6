"""What participants staged, under the names by which one domain commits all of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from asynctensor.errors import FailedPrecondition
from asynctensor.storage.commit_domain import Commit, CommitDomain, at_root
from asynctensor.transaction.participant import Participant

#: A participant, and what it has.
Part: TypeAlias = "tuple[Participant, Commit]"


def domain_of(participant: Participant) -> CommitDomain:
    """What commits atomically what was staged; it was asked for before that was staged."""
    domain = participant.commit_domain
    assert domain is not None
    return domain


def together(parts: Sequence[Part]) -> list[Commit]:
    """What each has, under the names of their common root.

    Raises:
        FailedPrecondition: Two have staged the same key, each under a name of its own: neither
            knew of the other.
    """
    domains = [domain_of(participant) for participant, _ in parts]
    if all(domain.root is domain for domain in domains):
        return [part for _, part in parts]
    found: list[Commit] = []
    names: dict[str, str] = {}
    for (participant, part), domain in zip(parts, domains, strict=True):
        for key in part.values:
            name = domain.root_key(key)
            if name is not None and names.setdefault(name, key) != key:
                raise FailedPrecondition(
                    f"{names[name]!r} and {key!r} are the same stored value, and the transaction "
                    "has written it under both names: use one of them",
                    key=key,
                    store=participant.description,
                    operation="commit",
                )
        found.append(at_root(part, domain))
    return found


def owners_of(key: str | None, parts: Iterable[Part]) -> list[tuple[Participant, str]]:
    """Who staged a key of the root, or read it, and by which name each knows it."""
    return [
        (participant, own)
        for participant, part in parts
        for own in dict.fromkeys((*part.expected, *part.values))
        if domain_of(participant).root_key(own) == key
    ]
