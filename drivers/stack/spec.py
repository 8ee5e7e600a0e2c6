"""What the ``layers`` of a spec say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asynctensor.chunked.driver_request import schema_of
from asynctensor.errors import InvalidArgument
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.transform import IndexTransform
from asynctensor.schema.contradiction import SaidAt, between, contradiction, in_schema
from asynctensor.schema.json_value import annotated, merging
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_state import SchemaState


def effective_schema(options: Mapping[str, Any], schema: Schema) -> Schema:
    """See `asynctensor.spec_rules.EffectiveSchema`."""
    if "layers" not in options:
        raise InvalidArgument(
            'Error parsing object member "layers": Expected array, but member is missing'
        )
    layers = [schema_of(layer) for layer in options["layers"]]
    _refuse(schema)
    with merging("layers"):
        return stacked_schema(layers, schema).schema


@dataclass(frozen=True, slots=True)
class Stacked:
    """Layers put together: their common schema, and the domain of each."""

    schema: Schema
    domains: tuple[IndexDomain, ...]


def stacked_schema(layers: Sequence[Schema], schema: Schema) -> Stacked:
    """The schema of a stack.

    Args:
        layers: Theirs, each in the indices of the stack.
        schema: Constraints; its domain, if it has one, is that of the stack, and not their hull.

    Raises:
        InvalidArgument: They do not fit together, a layer's domain is not known, or a constraint
            is one that a stack cannot satisfy.
    """
    _refuse(schema)
    state, hull = replace(schema.state, domain=None), None
    domains: list[IndexDomain] = []
    for number, layer in enumerate(layers):
        with annotated(f"Layer {number}"):
            if layer.domain is None:
                raise InvalidArgument(
                    'Domain must be specified: give the layer a "transform" or a schema with a '
                    "domain"
                )
            domain = explicit(layer.domain)
            first = "layers[0]" if number else ""
            said = SaidAt({}, first) if first else in_schema
            with between(SaidAt({}, f"layers[{number}]"), said):
                _check_rank(domain, state, domains)
                state = state.with_rank(domain.rank).with_dtype(layer.dtype)
                state = _with_units(state, layer)
            hull = domain if hull is None else hull.hull(domain)
            domains.append(domain)
    given = schema.domain
    if given is not None:
        hull = explicit(given)
    if hull is None and not layers:
        raise InvalidArgument("without any layer, the schema must have a domain")
    return Stacked(Schema.from_state(state.with_domain(hull)), tuple(domains))


def _check_rank(domain: IndexDomain, state: SchemaState, before: Sequence[IndexDomain]) -> None:
    if before and domain.rank != before[0].rank:
        raise contradiction(
            f"Layer domain {domain} of rank {domain.rank} does not match layer 0 rank of "
            f"{before[0].rank}",
            "domain",
            "domain",
        )
    if state.rank not in (None, domain.rank):
        raise contradiction(
            f"Layer domain {domain} of rank {domain.rank} does not match the rank {state.rank}",
            "domain",
            state.rank_said_by(),
        )


def _with_units(state: SchemaState, layer: Schema) -> SchemaState:
    units = layer.state.units
    if not units:
        return state
    # What was said first counts, and a later layer may know more.
    known = state.units or (None,) * len(units)
    return state.with_units(
        tuple(was if was is not None else now for was, now in zip(known, units, strict=True))
    )


def explicit(domain: IndexDomain) -> IndexDomain:
    """The domain with explicit bounds: those of a stack do not move."""
    return IndexTransform(domain).mark_bounds_implicit[False].domain


def _refuse(schema: Schema) -> None:
    state = schema.state
    for name, given in (
        ("fill value", state.fill_value is not None),
        ("codec", state.codec is not None),
        ("chunk layout", bool(state.layout.to_json())),
    ):
        if given:
            message = f'{name} option not supported by "stack" driver'
            raise contradiction(message, in_schema(name.replace(" ", "_")), "driver")
