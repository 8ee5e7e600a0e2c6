"""The members of a user's JSON spec: what the parameters of their function say."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from asynctensor.errors import Error, InvalidArgument
from asynctensor.schema.json_value import (
    array,
    boolean,
    dump,
    expected,
    floating,
    in_member,
    integer,
    members,
    optional,
    reject_extra,
    string,
)

#: Reads a JSON value; raises `InvalidArgument` if it is of another type.
Reader: TypeAlias = Callable[[Any], Any]
_READERS: dict[Any, Reader] = {
    str: string,
    int: integer,
    float: floating,
    bool: boolean,
    list: lambda value: list(array(value, _anything)),
    tuple: lambda value: list(array(value, _anything)),
    dict: members,
}


@dataclass(frozen=True, slots=True)
class Members:
    """Names, types and defaults of members, from the parameters of a function or class.

    Attributes:
        readers: Per member, what reads it.
        defaults: Of those that need not be given.
        special: The parameters that are no members, but given by us.
    """

    readers: Mapping[str, Reader]
    defaults: Mapping[str, Any]
    special: frozenset[str]

    @classmethod
    def of(cls, function: Callable[..., Any], special: Collection[str] = ()) -> Members:
        """The members that the parameters of `function` declare.

        A parameter without annotation takes any JSON; with one of ``str``, ``int``, ``float``,
        ``bool``, ``list``, ``dict``, ``Literal[...]``, ``T | None``, only that. A function in
        ``Annotated[T, check]`` gets the value, and gives the one to use or raises `ValueError`.

        Args:
            function: A function, or a class.
            special: Names of parameters that are no members.

        Raises:
            InvalidArgument: A parameter cannot be given by its name, or is of another type.
        """
        hinted = inspect.getattr_static(function, "__init__") if _is_class(function) else function
        hints = typing.get_type_hints(hinted, include_extras=True)
        readers, defaults, ours = {}, {}, set()
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise InvalidArgument(
                    f"parameter {parameter} of {function!r} has no name that a member of a spec "
                    "could have; give every parameter one"
                )
            if name in special:
                ours.add(name)
                continue
            readers[name] = _reader(hints.get(name, Any), f"parameter {name!r} of {function!r}")
            if parameter.default is not parameter.empty:
                defaults[name] = parameter.default
        return cls(readers, defaults, frozenset(ours))

    @property
    def names(self) -> frozenset[str]:
        """Names of all members."""
        return frozenset(self.readers)

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The members that are given, in their normal form; those of other names as they are.

        Raises:
            InvalidArgument: One is wrong; the message gives its path.
        """
        found = dict(options)
        for name, read in self.readers.items():
            if name in found:
                with in_member(name):
                    found[name] = read(found[name])
        return found

    def arguments(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What to call the function with.

        Raises:
            InvalidArgument: A member is wrong, not known, or missing.
        """
        reject_extra(options, self.names)
        for name in self.readers:
            if name not in options and name not in self.defaults:
                with in_member(name):
                    raise InvalidArgument("member is missing, and has no default")
        return self.checked(options)


def _is_class(function: object) -> bool:
    return isinstance(function, type)


def _anything(value: Any) -> Any:
    return value


def _reader(hint: Any, where: str) -> Reader:
    if hint is Any or hint is inspect.Parameter.empty:
        return _anything
    origin = get_origin(hint)
    if origin is Annotated:
        base, *checks = get_args(hint)
        return _checked(_reader(base, where), [check for check in checks if callable(check)])
    if origin is Literal:
        return _choice(get_args(hint))
    if origin in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        if len(kinds) == 1:
            return optional(_reader(kinds[0], where))
    found = _READERS.get(origin or hint)
    if found is None:
        raise InvalidArgument(
            f"{where} is of type {hint}, which no JSON has: use str, int, float, bool, list, dict, "
            "Literal, one of them or None, or Annotated with a function that converts it"
        )
    return found


def _choice(choices: tuple[Any, ...]) -> Reader:
    def read(value: Any) -> Any:
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            raise expected(f"one of {', '.join(map(dump, choices))}", value)
        return value

    return read


def _checked(read: Reader, checks: list[Callable[[Any], Any]]) -> Reader:
    def checked(value: Any) -> Any:
        found = read(value)
        for check in checks:
            try:
                result = check(found)
            except Error:
                raise
            except (TypeError, ValueError) as error:
                raise InvalidArgument(f"{error}, but received: {dump(value)}") from error
            if result is not None:
                found = result
        return found

    return checked
