"""What a spec must know about drivers and kvstores, told to it by whoever knows them.

A spec names formats and stores but imports none. It asks a `SpecRules`; the registry is one, and
`AnyRules`, which knows no names and accepts all, is the one of specs made without a registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.transform import IndexTransform
from asynctensor.pipeline_url import UrlComponent
from asynctensor.schema.schema import Schema

#: Gives all that is known of an array without opening it: from the driver's members of a spec (of
#: an adapter, ``base`` and ``layers`` are specs themselves) and the spec's schema. Raises
#: `InvalidArgument` where they contradict.
EffectiveSchema: TypeAlias = Callable[[Mapping[str, Any], Schema], Schema]
#: Divides the schema of an adapter's spec: what it keeps, and what that says of its base.
BaseSchema: TypeAlias = Callable[[Mapping[str, Any], Schema], tuple[Schema, Schema]]

#: Gives the normal form of a kvstore's JSON; raises `InvalidArgument`.
KvStoreForm: TypeAlias = Callable[[Any], dict[str, Any]]
#: Checks a kvstore's own members and brings them into their normal form, given that of kvstores
#: within them. Raises `InvalidArgument` with the path of the wrong member.
MemberCheck: TypeAlias = Callable[[dict[str, Any], KvStoreForm], dict[str, Any]]
#: Members and path of a kvstore's spec.
Place: TypeAlias = tuple[dict[str, Any], str]
#: From members, transform of a view, and domain of the base, to the view of the base below it.
BasePart: TypeAlias = Callable[
    [Mapping[str, Any], IndexTransform, IndexDomain], IndexTransform | None
]


@dataclass(frozen=True, slots=True)
class UrlRules:
    """How a kvstore is named in URLs that hold more than its path (a host, a bucket, a query).

    Attributes:
        read: Members and path that a component of a URL stands for. Raises `InvalidArgument`.
        write: The URL of members and path. Raises `InvalidArgument` where there is none.
        schemes: Its further schemes.
    """

    read: Callable[[UrlComponent], Place]
    write: Callable[[Mapping[str, Any], str], str]
    schemes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Signature:
    """How a single file shows what it is.

    Attributes:
        matches: Tells it from the first and the last bytes; shorter where the file is.
        head_bytes: How many of the first it needs.
        tail_bytes: How many of the last.
    """

    matches: Callable[[bytes, bytes], bool]
    head_bytes: int = 0
    tail_bytes: int = 0


@dataclass(frozen=True, slots=True)
class KvStoreRules:
    """How a kvstore is specified.

    Attributes:
        driver: Its name in JSON.
        scheme: Its scheme in URLs, None if it has none.
        members: Members of its JSON beyond ``driver``, ``path``, ``context`` and ``base``; None:
            anything goes.
        resources: Those of `members` that are context resources.
        adapter: Whether it stands on a ``base`` kvstore.
        absolute_path: Whether the URL has no authority, so that its path begins with ``/``.
        defaults: What members default to, for ``to_json(include_defaults=True)``.
        has_layers: Whether it stands on several kvstores, each the ``base`` of one of the objects
            in its member ``layers``.
        check: Checks `members`; None: any JSON goes.
        place: Brings members and path together into their normal form, after `check`. Raises
            `InvalidArgument` where they contradict.
        urls: How URLs name it; None: by `scheme` and path.
    """

    driver: str
    scheme: str | None = None
    members: frozenset[str] | None = frozenset()
    resources: frozenset[str] = frozenset()
    adapter: bool = False
    absolute_path: bool = False
    defaults: tuple[tuple[str, Any], ...] = ()
    has_layers: bool = False
    check: MemberCheck | None = None
    place: Callable[[dict[str, Any], str], Place] | None = None
    urls: UrlRules | None = None

    def all_schemes(self) -> tuple[str, ...]:
        """Its schemes in URLs."""
        further = self.urls.schemes if self.urls is not None else ()
        return further if self.scheme is None else (self.scheme, *further)


@dataclass(frozen=True, slots=True)
class DriverRules:
    """How arrays of a driver are specified.

    Attributes:
        driver: Its name in JSON (of zarr2: ``"zarr"``).
        scheme: Its scheme in URLs, None if it has none.
        members: Members of its JSON beyond the common ones; None: anything goes.
        resources: Those of `members` that are context resources.
        has_kvstore: Whether it stores its arrays in a kvstore.
        is_directory: Whether its kvstore path names a directory, and so ends in ``/``.
        chunked: Whether it has the members that all chunked formats share (open mode, rechecks).
        has_open_mode: Whether it has the flags of the open mode, though not chunked.
        resizable: Whether upper bounds may move, so that those of a spec are implicit.
        fixed_rank: How many trailing dimensions never move all the same, from the driver's members;
            None: none.
        has_base: Whether it is an adapter, with the spec of one array in its member ``base``.
        has_layers: Whether it has the specs of several arrays in its member ``layers``.
        shares_indices: Whether an index means the same to its base.
        url_path: What the path of its URL component is: ``"path"``, the rest of the kvstore's; the
            member of this name; or None, where there must be none.
        defaults: What `members` default to, for ``to_json(include_defaults=True)``.
        has_json: Whether all its members are JSON.
        effective_schema: Interprets `members`; None: only the schema says something.
        spelled_out: Gives the members of a spec as they are to be written: defaults filled in where
            TensorStore does so. Raises `InvalidArgument` where they are wrong. None: as given.
        of_json: Data type and rank that specs from JSON have, whatever they say.
        passes_on: Whether it takes resources of every kind, for whatever it finds.
        passes_to_base: Which of ``dtype`` and ``rank`` mean the same to its base.
        base_schema: What constraints mean for the base, if there is one.
        base_part: Which part of the base a view is of, from the driver's members, the view's
            transform and the base's domain; None: all of it.
    """

    driver: str
    scheme: str | None = None
    members: frozenset[str] | None = frozenset()
    resources: frozenset[str] = frozenset()
    has_kvstore: bool = True
    is_directory: bool = True
    chunked: bool = True
    has_open_mode: bool = False
    resizable: bool = True
    has_base: bool = False
    has_layers: bool = False
    shares_indices: bool = False
    url_path: str | None = "path"
    defaults: tuple[tuple[str, Any], ...] = ()
    has_json: bool = True
    of_json: tuple[str, int] | None = None
    passes_on: bool = False
    passes_to_base: frozenset[str] = frozenset()
    fixed_rank: Callable[[Mapping[str, Any]], int] | None = None
    effective_schema: EffectiveSchema | None = None
    spelled_out: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    base_schema: BaseSchema | None = None
    base_part: BasePart | None = None

    @property
    def takes_open_mode(self) -> bool:
        """Whether its specs have the flags of the open mode."""
        return self.chunked or self.has_open_mode


class SpecRules(Protocol):
    """Knows the drivers and kvstores there are; picklable, and equal to its copies."""

    def driver(self, name: str) -> DriverRules:
        """The rules of a driver, by any of its names.

        Raises:
            InvalidArgument: There is no such driver.
        """
        ...

    def kvstore(self, name: str) -> KvStoreRules:
        """The rules of a kvstore.

        Raises:
            InvalidArgument: There is no such kvstore.
        """
        ...

    def scheme(self, scheme: str, *, first: bool) -> DriverRules | KvStoreRules:
        """What a scheme in a URL stands for.

        Args:
            scheme: The scheme, lower case.
            first: Whether it begins the URL, and so must name a root kvstore.

        Raises:
            InvalidArgument: Nothing has this scheme.
        """
        ...


class AnyRules:
    """Accepts all names and members. Schemes that begin a URL name kvstores, others drivers."""

    def driver(self, name: str) -> DriverRules:
        """Rules that allow anything."""
        return DriverRules(name, scheme=name, members=None, resizable=False, has_base=True)

    def kvstore(self, name: str) -> KvStoreRules:
        """Rules that allow anything."""
        return KvStoreRules(name, scheme=name, members=None, absolute_path=name == "file")

    def scheme(self, scheme: str, *, first: bool) -> DriverRules | KvStoreRules:
        """Rules that allow anything."""
        return self.kvstore(scheme) if first else self.driver(scheme)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyRules)

    def __hash__(self) -> int:
        return hash(AnyRules)


ANY_RULES = AnyRules()
