"""What users call says what each of its parameters is, or where that stands."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import asynctensor

#: What only the library itself calls, or a protocol of Python's: its names say it.
NOT_CALLED = {
    "CodecSpec.merged", "Dim.make", "Error.located", "Found.of", "IndexDomain.of",
    "IndexTransform.make", "KvStore.opener", "Member.of", "OutputIndexMap.array",
    "Transaction.holds", "Transaction.participant", "Transaction.slot", "Transaction.take_part",
}  # fmt: skip
PROTOCOL = {"from_state", "resolved", "send", "throw"}
#: It stands at what is named there.
ELSEWHERE = re.compile(r"\b[Ss]ee `|those of `|as there\b|as for `")


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """All functions and methods of the front door that are ours, each once."""
    for name in asynctensor.__all__:
        thing = getattr(asynctensor, name)
        if inspect.isfunction(thing):
            yield name, thing
        if not inspect.isclass(thing) or not thing.__module__.startswith("asynctensor"):
            continue
        for attribute in dir(thing):
            method = inspect.getattr_static(thing, attribute)
            method = getattr(method, "__func__", method)
            path = f"{name}.{attribute}"
            ours = inspect.isfunction(method) and method.__module__.startswith("asynctensor")
            named = attribute[0] != "_" and attribute not in PROTOCOL and path not in NOT_CALLED
            if ours and named:
                yield path, method


FUNCTIONS = dict(functions())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_parameter_is_spoken_of(name: str) -> None:
    function = FUNCTIONS[name]
    said = inspect.getdoc(function) or ""
    assert said
    parameters = [
        each.name
        for each in inspect.signature(function).parameters.values()
        if each.name not in {"self", "cls"} and each.kind != each.VAR_KEYWORD
    ]
    silent = [each for each in parameters if not re.search(rf"\b{each}\b", said)]
    assert not silent or ELSEWHERE.search(said), silent


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_parameter_is_spoken_of_that_is_gone(name: str) -> None:
    function = FUNCTIONS[name]
    said = inspect.getdoc(function) or ""
    section = re.search(r"^Args:\n((?:    .*\n?|\n(?=    ))*)", said, re.MULTILINE)
    told = re.findall(r"^    \*{0,2}(\w+):", section[1], re.MULTILINE) if section else []
    parameters = inspect.signature(function).parameters
    # What goes on to another function is told by the names that it has there.
    goes_on = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    assert goes_on or [each for each in told if each not in parameters] == []
