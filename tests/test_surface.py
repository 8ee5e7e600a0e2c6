"""Our public surface holds all of TensorStore's: its stub file is read and compared, name by name.

Ours may have more: further names, further keyword arguments, defaults where TensorStore has none.
"""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tensorstore

import asynctensor

Function = ast.FunctionDef


def _by_position(name: str) -> bool:
    """Operators and hooks are called by position, whatever their parameters are called."""
    return name.startswith("__") and name not in ("__init__", "__new__", "__call__")


def _stub() -> ast.Module:
    spec = find_spec("tensorstore")
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).with_name("__init__.pyi").read_text())


STUB = _stub()


@dataclass(frozen=True)
class Item:
    """One public name of the stub, and the definitions that it has there."""

    path: tuple[str, ...]
    nodes: tuple[ast.AST, ...]

    @property
    def name(self) -> str:
        return ".".join(self.path)


def _public(name: str) -> bool:
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def _items(body: list[ast.stmt], path: tuple[str, ...] = ()) -> Iterator[Item]:
    found: dict[str, list[ast.AST]] = {}
    for node in body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.setdefault(node.target.id, []).append(node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node)
    for name, nodes in found.items():
        if _public(name):
            yield Item((*path, name), tuple(nodes))
            if isinstance(nodes[0], ast.ClassDef):
                yield from _items(nodes[0].body, (*path, name))


def _all() -> list[str]:
    for node in STUB.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    raise AssertionError("tensorstore's stub file has no __all__")


PUBLIC = _all()
ITEMS = [item for item in _items(STUB.body) if item.path[0] in PUBLIC]


def _is_property(node: ast.AST) -> bool:
    return isinstance(node, Function) and any(
        ast.unparse(each) == "property" or ast.unparse(each).endswith(".setter")
        for each in node.decorator_list
    )


def _functions(item: Item) -> list[Function]:
    return [each for each in item.nodes if isinstance(each, Function) and not _is_property(each)]


def _ours(path: tuple[str, ...]) -> Any:
    value: Any = asynctensor
    # Some names are loaded when they are first asked for.
    getattr(value, path[0])
    for name in path:
        value = inspect.getattr_static(value, name)
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
    return value


def _kind(items: list[Item], wanted: Callable[[Item], object]) -> list[Any]:
    return [pytest.param(item, id=item.name) for item in items if wanted(item)]


def test_the_stub_is_the_one_that_was_counted() -> None:
    """Of these everything is here; `ocdbt` is a module beside them, and none of them."""
    assert "ocdbt" not in PUBLIC
    with pytest.raises(AttributeError, match="Repository"):
        _ = asynctensor.ocdbt
    top = [item for item in ITEMS if len(item.path) == 1]
    kinds = {item.name: type(item.nodes[0]) for item in top}
    assert sum(kind is ast.ClassDef for kind in kinds.values()) == 26
    assert sum(kind is ast.FunctionDef for kind in kinds.values()) == 13
    members = [item for item in ITEMS if len(item.path) > 1]
    assert sum(_is_property(item.nodes[0]) for item in members) == 201
    methods = [item for item in members if _functions(item) and item.path[-1][0] != "_"]
    assert len(methods) == 69
    dtypes = [
        name for name in PUBLIC if isinstance(getattr(asynctensor, name, None), asynctensor.dtype)
    ]
    assert len(dtypes) == 30


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_is_there(name: str) -> None:
    assert hasattr(asynctensor, name)
    assert name in asynctensor.__all__


@pytest.mark.parametrize("item", _kind(ITEMS, lambda item: len(item.path) > 1))
def test_every_member_is_there(item: Item) -> None:
    for length in range(1, len(item.path) + 1):
        value = _ours(item.path[:length])
    if item.path[-1] in ("__hash__", "__iter__") and isinstance(item.nodes[0], ast.Assign):
        assert value is None


@pytest.mark.parametrize("item", _kind(ITEMS, lambda item: _is_property(item.nodes[0])))
def test_every_property_can_be_asked_and_set(item: Item) -> None:
    value = _ours(item.path)
    assert isinstance(value, property) or inspect.isdatadescriptor(value)
    if len(item.nodes) > 1 and isinstance(value, property):
        assert value.fset is not None
    # A slot has no docstring of its own: its class says what it is.
    attributes = _ours(item.path[:-1]).__doc__
    assert inspect.getdoc(value) or f"    {item.path[-1]}: " in attributes


@pytest.mark.parametrize("item", _kind(ITEMS, lambda item: isinstance(item.nodes[0], ast.ClassDef)))
def test_every_class_is_one_and_says_what_it_is(item: Item) -> None:
    value = _ours(item.path)
    assert isinstance(value, type)
    assert value.__doc__


def _expanded(signature: inspect.Signature, function: Any) -> inspect.Signature:
    """``**options: Unpack[Options]`` as the keywords that it stands for."""
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.kind is not parameter.VAR_KEYWORD:
            parameters.append(parameter)
            continue
        hint = typing.get_type_hints(function, include_extras=True)[parameter.name]
        (options,) = typing.get_args(hint)
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
            for name in options.__annotations__
        ]
    return signature.replace(parameters=parameters)


def _signature(item: Item) -> inspect.Signature:
    value = _ours(item.path)
    if item.path[-1] in ("__init__", "__new__"):
        owner = _ours(item.path[:-1])
        value = owner.__init__ if "__init__" in vars(owner) else owner.__new__
    return _expanded(inspect.signature(value), value)


@dataclass(frozen=True)
class Parameter:
    """One parameter of the stub: its name, whether it can be given by position, its default."""

    name: str
    positional: bool
    default: str | None


def _parameters(function: Function) -> list[Parameter]:
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults))
    defaults += arguments.defaults
    found = [
        Parameter(each.arg, True, None if default is None else ast.unparse(default))
        for each, default in zip(plain, defaults, strict=True)
    ]
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append(Parameter(each.arg, False, None if default is None else ast.unparse(default)))
    return found


def _is_made_by_enum(item: Item) -> bool:
    return item.path == ("OutputIndexMethod", "__init__")


CALLABLE = _kind(ITEMS, lambda item: _functions(item) and not _is_made_by_enum(item))


@pytest.mark.parametrize("item", CALLABLE)
def test_every_call_that_the_stub_allows_is_taken(item: Item) -> None:
    signature = _signature(item)
    for function in _functions(item):
        parameters = _parameters(function)
        given = [each for each in parameters if each.default is None]
        for chosen in (parameters, given):
            positional = [each.name for each in chosen if each.positional]
            by_name = {each.name: None for each in chosen if not each.positional}
            signature.bind(*positional, **by_name)
            if _by_position(item.path[-1]):
                continue
            self_name = positional[:1] if positional[:1] in (["self"], ["cls"]) else []
            names = dict.fromkeys(positional[len(self_name) :])
            signature.bind(*self_name, **names, **by_name)


@pytest.mark.parametrize("item", CALLABLE)
def test_every_default_is_the_same(item: Item) -> None:
    """Of each overload: where one has a default and another has none, ours may have either."""
    if _by_position(item.path[-1]):
        return
    signature = _signature(item)
    functions = _functions(item)
    for function in functions:
        for each in _parameters(function):
            # The stub writes "..." for a default that has no literal.
            if each.default in (None, "...") or (item.name, each.name) in OTHER_DEFAULTS:
                continue
            if (item.name, each.name) in BY_OVERLOAD:
                continue
            assert repr(signature.parameters[each.name].default) == each.default, each.name


@pytest.mark.parametrize("item", CALLABLE)
def test_what_can_be_given_by_position_is_the_same(item: Item) -> None:
    """Also the order, and that names given by keyword only are that here too."""
    if _by_position(item.path[-1]):
        return
    parameters = _signature(item).parameters.values()
    ours = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
    for function in _functions(item):
        theirs = [each.name for each in _parameters(function) if each.positional]
        if theirs[:1] in (["self"], ["cls"]):
            # Whatever it is called, it is not given by name.
            theirs[0] = ours[0]
        assert theirs == (ours[: len(theirs)] if len(_functions(item)) == 1 else theirs)


#: Defaults that differ between overloads, so that none of them can be that of the parameter.
BY_OVERLOAD = {
    ("Dim.__init__", "implicit_lower"),
    ("Dim.__init__", "implicit_upper"),
    ("OutputIndexMap.__init__", "offset"),
    ("OutputIndexMap.__init__", "stride"),
    ("Unit.__init__", "multiplier"),
}


@pytest.mark.parametrize(
    "text",
    [
        "Dim()",
        "Dim(3)",
        "Dim(size=3)",
        "Dim('x')",
        "Dim(3, 'x')",
        "Dim(exclusive_max=3)",
        "Dim(inclusive_min=3)",
        "Dim(inclusive_max=3)",
        "Dim(inclusive_min=1, inclusive_max=3)",
        "Dim(inclusive_min=1, exclusive_max=3)",
        "Dim(inclusive_min=1, size=3)",
        "Dim(label='x')",
        "OutputIndexMap()",
        "OutputIndexMap(3)",
        "OutputIndexMap(input_dimension=1)",
        "OutputIndexMap(index_array=[1])",
        "Unit()",
        "Unit(3)",
        "Unit('3nm')",
        "Unit(3, 'nm')",
        "Unit((3, 'nm'))",
        "Unit(json='nm')",
    ],
)
def test_each_overload_has_the_defaults_of_its_own(text: str) -> None:
    ours = eval(text, vars(asynctensor))
    assert str(ours) == str(eval(text, vars(tensorstore)))


# Defaults that differ on purpose: docs/differences.md has the reasons.
OTHER_DEFAULTS = {("Transaction.__init__", "atomic")}


@pytest.mark.parametrize("item", CALLABLE)
def test_functions_say_what_they_do(item: Item) -> None:
    value = _ours(item.path)
    if not item.path[-1].startswith("__"):
        assert value.__doc__


def operations() -> Iterator[tuple[str, inspect.Signature]]:
    """All that gives a future, but for what gives a finished one or makes promises."""
    for name in asynctensor.__all__:
        thing = getattr(asynctensor, name)
        members = [thing] if not inspect.isclass(thing) else vars_of(thing)
        if thing in (asynctensor.Future, asynctensor.Promise, asynctensor.WriteFutures):
            continue
        for member in members:
            try:
                signature = inspect.signature(member)
            except (TypeError, ValueError):
                continue
            gives = str(signature.return_annotation)
            if gives.startswith(("Future", "WriteFutures", "Awaitable")):
                yield f"{name}: {member.__name__}", signature


def vars_of(kind: type) -> list[Any]:
    found = [inspect.getattr_static(kind, name) for name in dir(kind) if not name.startswith("_")]
    return [getattr(each, "__func__", each) for each in found if not isinstance(each, property)]


def test_every_operation_takes_a_timeout_and_a_deadline() -> None:
    named = dict(operations())
    assert len(named) > 20
    for name, signature in named.items():
        assert {"timeout", "deadline"} <= set(signature.parameters), name
