"""``KvStore.Spec`` as users hold it: a `KvStoreSpec` that can be changed."""

from __future__ import annotations

from typing import Any, ClassVar

from asynctensor.display.page import Display, Displayed
from asynctensor.errors import IncompatibleType
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.kvstore_values import KeyLike, to_key
from asynctensor.runtime.context import Context
from asynctensor.schema.json_value import check_document


class PublicKvStoreSpec(Displayed):
    """A kvstore that has not been opened: driver, path, base, options, resources.

    Mutable by `update` and `path`, not hashable; equal by JSON and by the resources it is bound to.

    >>> spec = at.KvStore.Spec("memory://a/")
    >>> spec.path += "b/"
    >>> spec, (spec / "c").path
    (KvStore.Spec({'driver': 'memory', 'path': 'a/b/'}), 'a/b/c')

    Args:
        json: ``{"driver": ..., "path": ..., ...}``, a URL such as ``"file:///data/"``, or another
            spec.

    Raises:
        InvalidArgument: It is none of them; the message gives the path of the wrong member.
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]
    __slots__ = ("_value",)

    def __init__(self, json: Any) -> None:
        self._value = kvstore_value(json)

    @property
    def value(self) -> KvStoreSpec:
        """All that it says now, as an immutable value."""
        return self._value

    @property
    def bound_spec(self) -> KvStoreSpec:
        """What stands for it where the JSON of a kvstore may stand."""
        return self._value

    @property
    def path(self) -> str:
        """Prefix of all keys, which it begins without any separator of its own."""
        return self._value.path

    @path.setter
    def path(self, value: KeyLike) -> None:
        self._value = self._value.with_path(to_key(value))

    @property
    def base(self) -> PublicKvStoreSpec | None:
        """A copy of the spec below, if this is an adapter."""
        base = self._value.base
        return None if base is None else PublicKvStoreSpec(base)

    @property
    def url(self) -> str:
        """The URL; it says nothing of options and resources.

        Raises:
            InvalidArgument: There is no URL for this kvstore or path.
        """
        return self._value.url

    def update(
        self,
        *,
        unbind_context: bool | None = None,
        strip_context: bool | None = None,
        context: Context | None = None,
    ) -> None:
        """Changes what context resources it refers to, in the order of the arguments.

        Args:
            unbind_context: Name the resources that it is bound to, and define the names in the
                member ``context``: who opens it shares them no longer.
            strip_context: Forget all resources, bound or named.
            context: Bind to the resources of this context; what is bound already stays.

        Raises:
            InvalidArgument: `context` has no resource of a name.
        """
        value = self._value
        if unbind_context:
            value = value.unbound()
        if strip_context:
            value = value.without_context()
        if context is not None:
            if not isinstance(context, Context):
                raise IncompatibleType(f"Expected Context, but received {context!r:.200}")
            value = value.bound(context)
        self._value = value

    def copy(self) -> PublicKvStoreSpec:
        """An independent copy, bound to the same resources."""
        return PublicKvStoreSpec(self._value)

    def __copy__(self) -> PublicKvStoreSpec:
        """See `copy`."""
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> PublicKvStoreSpec:
        """See `copy`: resources are never copied."""
        return self.copy()

    def __add__(self, suffix: KeyLike) -> PublicKvStoreSpec:
        """The spec with `suffix` put after the path as it is."""
        return PublicKvStoreSpec(self._value + to_key(suffix))

    def __truediv__(self, component: KeyLike) -> PublicKvStoreSpec:
        """The spec with `component` after the path, and a ``/`` between them."""
        return PublicKvStoreSpec(self._value / to_key(component))

    def to_json(self, include_defaults: bool = False) -> Any:
        """Its JSON, with `include_defaults` also of members that have their defaults."""
        return self._value.to_json(include_defaults)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PublicKvStoreSpec):
            return NotImplemented
        return self._value == other._value

    def __reduce__(self) -> tuple[Any, ...]:
        return (PublicKvStoreSpec, (self._value,))

    def _display(self) -> Display:
        json = self.to_json()
        rows = [(name, str(value)) for name, value in json.items() if name != "driver"]
        return Display("KvStore.Spec", str(json["driver"]), tuple(rows))

    def __repr__(self) -> str:
        return repr(self._value)


def kvstore_value(spec: Any) -> KvStoreSpec:
    """The value of what users give as a kvstore: a spec, its JSON, or a URL.

    Raises:
        InvalidArgument: It is none.
    """
    if isinstance(spec, PublicKvStoreSpec):
        return spec.value
    if isinstance(spec, KvStoreSpec):
        return spec
    check_document(spec)
    return KvStoreSpec(spec)
