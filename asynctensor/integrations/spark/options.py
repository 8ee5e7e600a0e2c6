"""What a data source of Spark is asked for: options, every one of them text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from asynctensor.errors import InvalidArgument
from asynctensor.groups.opening import open_attributes
from asynctensor.integrations.given_kvstore import State
from asynctensor.opening import open as open_array
from asynctensor.runtime.context import Context
from asynctensor.spec import Spec
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction

#: What a row is.
Rows: TypeAlias = Literal["chunks", "blocks", "pixels"]

#: The column of an array that has no name.
VALUE: Final = "value"
_STATES: Final = tuple(State.__annotations__)
_TERMS: Final = ("message", "author", "metadata", "isolation", "caller_key")
_OPTIONS: Final = ("path", "arrays", "rows", *_STATES, "context", "partition_bytes", *_TERMS)
#: What a task reads, decoded.
_PARTITION_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Request:
    """The options, taken apart.

    Attributes:
        specs: Of the arrays, by their names.
        rows: What a row is; None: nothing was said.
        partition_bytes: About how much a task reads, decoded.
        context: Resources to use, as JSON.
        terms: What is said of a commit, as `Transaction` takes it.
    """

    specs: Mapping[str, Spec]
    rows: Rows | None = None
    partition_bytes: int = _PARTITION_BYTES
    context: Mapping[str, Any] = field(default_factory=dict)
    terms: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Request:
        """Takes options apart.

        Args:
            options: By their names, in whatever case.

        Raises:
            InvalidArgument: An option is unknown or wrong, or there is no array.
        """
        given = {name.lower(): text for name, text in options.items()}
        unknown = sorted(given.keys() - set(_OPTIONS))
        if unknown:
            raise InvalidArgument(
                f"unknown options {', '.join(unknown)}; known are {', '.join(_OPTIONS)}"
            )
        rows = given.get("rows")
        if rows is not None and rows not in get_args(Rows):
            raise InvalidArgument(f'option "rows": {rows!r} is none of {", ".join(get_args(Rows))}')
        state = {name: given[name] for name in _STATES if name in given}
        terms: dict[str, Any] = {name: given[name] for name in _TERMS if name in given}
        if "metadata" in terms:
            terms["metadata"] = _json_object("metadata", terms["metadata"])
        return cls(
            {name: _at_state(name, spec, state) for name, spec in _specs(given).items()},
            cast("Rows | None", rows),
            _bytes(given.get("partition_bytes")),
            _json_object("context", given.get("context", "{}")),
            terms,
        )

    def open(
        self, *, transaction: Transaction | None = None, overwrite: bool = False
    ) -> dict[str, TensorStore]:
        """Opens the arrays, all at the same time.

        Args:
            transaction: What opening, reads and writes belong to.
            overwrite: Empties them; their attributes stay.

        Raises:
            InvalidArgument: `overwrite` of a part of an array.
            Error: One cannot be opened.
        """
        context = Context(dict(self.context))
        opening = {
            name: open_array(spec, context=context, transaction=transaction)
            for name, spec in self.specs.items()
        }
        found = {name: future.result() for name, future in opening.items()}
        if overwrite:
            found = {name: _emptied(name, array) for name, array in found.items()}
        return found


def _specs(given: Mapping[str, str]) -> dict[str, Spec]:
    if ("path" in given) is ("arrays" in given):
        raise InvalidArgument(
            'say which array: .load("file:///data/|zarr3:"), or of several the option "arrays", '
            "a JSON object of URLs or specs by their names"
        )
    if "path" in given:
        return {VALUE: _spec("path", given["path"])}
    arrays = _json_object("arrays", given["arrays"])
    if not arrays:
        raise InvalidArgument('option "arrays": there is none in it')
    return {name: _spec(f"arrays.{name}", each) for name, each in arrays.items()}


def _spec(option: str, given: Any) -> Spec:
    if isinstance(given, str) and given.lstrip().startswith("{"):
        given = _json_object(option, given)
    elif isinstance(given, str) and Path(given).is_absolute():
        # As for Spark's own formats. What is relative is so to another folder on each machine.
        given = Path(given).as_uri()
    try:
        return Spec(given)
    except (InvalidArgument, TypeError) as error:
        raise InvalidArgument(f'option "{option}": {error}') from error


def _at_state(name: str, spec: Spec, state: Mapping[str, str]) -> Spec:
    """The spec of the same array as it is on a branch, at a tag, a commit or a time."""
    if not state:
        return spec
    document = spec.to_json()
    kvstore = document.get("kvstore")
    if not isinstance(kvstore, dict) or kvstore.get("driver") != "repo":
        raise InvalidArgument(
            f'option "{next(iter(state))}": array {name!r} is in no repository, and has no states; '
            "name the repository in its URL: file:///lab/|repo:|zarr3:a/"
        )
    for each in _STATES:
        kvstore.pop(each, None)
    kvstore.update(state)
    return Spec(document)


def _emptied(name: str, array: TensorStore) -> TensorStore:
    """The same array, in the same transaction, as if nothing were written to it yet."""
    document = array.spec().to_json()
    opening: dict[str, Any] = {"context": array.context, "transaction": array.transaction}
    whole = {key: each for key, each in document.items() if key != "transform"}
    same = open_array(whole, open=True, **opening).result().spec().to_json()
    if same.get("transform") != document.get("transform"):
        raise InvalidArgument(
            f"array {name!r} is a part of a stored one, which cannot be overwritten: "
            'use .mode("append"), which writes what is in the rows and keeps the rest'
        )
    attributes = open_attributes(array).result().asdict()
    made = open_array(document, create=True, delete_existing=True, **opening).result()
    if attributes:
        open_attributes(made).result().replace(attributes).result()
    return made


def _json_object(option: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidArgument(f'option "{option}" is no JSON: {error}') from None
    if not isinstance(found, dict):
        raise InvalidArgument(f'option "{option}" is a JSON object, not {text!r:.200}')
    return found


def _bytes(text: str | None) -> int:
    if text is None:
        return _PARTITION_BYTES
    if not text.strip().isdecimal() or int(text) < 1:
        raise InvalidArgument(f'option "partition_bytes" is a number of bytes, not {text!r:.50}')
    return int(text)
