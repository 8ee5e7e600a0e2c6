"""Every member of every driver, kvstore and resource: unknown, missing, of the wrong type.

One complete spec of each is taken apart: at each place of it something is added, left out, or
replaced. What is wrong is refused with a typed error that names the path of the place and says what
would be accepted.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import asynctensor as ts
from asynctensor.errors import Error, InvalidArgument
from asynctensor.known_drivers import DRIVERS
from asynctensor.known_kvstores import KVSTORES
from asynctensor.runtime.resources import STANDARD_RESOURCES

Path = tuple[Any, ...]

RETRIES = {"max_retries": 3, "initial_delay": "1s", "max_delay": "2s"}
RATES = {"read_rate": 5, "write_rate": 5, "doubling_time": "10m"}
POOLS = {"cache_pool": {"total_bytes_limit": 5}, "data_copy_concurrency": {"limit": 2}}
MEMORY = {"driver": "memory", "path": "a/"}
ARRAY = {"driver": "array", "array": [[1, 2], [3, 4]], "dtype": "int32"}
CHUNKED = {
    "open": True,
    "create": True,
    "delete_existing": False,
    "assume_metadata": False,
    "assume_cached_metadata": False,
    "recheck_cached_metadata": "open",
    "recheck_cached_data": True,
    "fill_missing_data_reads": True,
    "store_data_equal_to_fill_value": False,
    "metadata_cache_pool": {"total_bytes_limit": 1},
    "context": {"cache_pool": {"total_bytes_limit": 3}},
    **POOLS,
}
TRANSFORM = {
    "input_inclusive_min": [0, [0]],
    "input_exclusive_max": [4, [5]],
    "input_labels": ["a", ""],
    "output": [
        {"input_dimension": 0, "offset": 0, "stride": 1},
        {"index_array": [[1], [2], [3], [1]], "index_array_bounds": [0, 4]},
    ],
}
SCHEMA = {
    "domain": {"inclusive_min": [0, 0], "exclusive_max": [4, 5], "labels": ["x", ""]},
    "dtype": "uint8",
    "rank": 2,
    "fill_value": 3,
}
LAYOUT = {
    "rank": 2,
    "chunk": {"shape": [2, 2]},
    "inner_order": [0, 1],
    "grid_origin": [0, 0],
    "read_chunk": {"shape": [2, 2]},
    "write_chunk": {"shape_soft_constraint": [2, 2]},
    "codec_chunk": {"aspect_ratio": [1, 2], "elements": 4},
}
CODECS = [
    {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [1, 1],
            "codecs": [
                {"name": "transpose", "configuration": {"order": [1, 0]}},
                {"name": "bytes"},
                {"name": "gzip", "configuration": {"level": 1}},
                {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
                {"name": "crc32c"},
            ],
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "index_location": "end",
        },
    }
]
DRIVER_SPECS: dict[str, dict[str, Any]] = {
    "zarr3": {
        "driver": "zarr3",
        "kvstore": MEMORY,
        "path": "sub/",
        "metadata": {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [4, 5],
            "data_type": "uint8",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 2]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "codecs": CODECS,
            "fill_value": 3,
            "dimension_names": ["x", None],
        },
        "dtype": "uint8",
        "rank": 2,
        "schema": SCHEMA,
        "transform": TRANSFORM,
        **CHUNKED,
    },
    "zarr": {
        "driver": "zarr",
        "kvstore": MEMORY,
        "metadata_key": ".zarray",
        "metadata": {
            "zarr_format": 2,
            "shape": [4, 5],
            "chunks": [2, 2],
            "dtype": "<u2",
            "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1},
            "order": "C",
            "dimension_separator": ".",
        },
        **CHUNKED,
    },
    "n5": {
        "driver": "n5",
        "kvstore": MEMORY,
        "metadata": {
            "dimensions": [4, 5],
            "blockSize": [2, 2],
            "dataType": "uint8",
            "compression": {"type": "gzip", "level": 1},
        },
        **CHUNKED,
    },
    "array": {**ARRAY, "schema": {"rank": 2}, **POOLS},
    "cast": {"driver": "cast", "dtype": "float32", "base": ARRAY},
    "downsample": {
        "driver": "downsample",
        "downsample_factors": [1, 2],
        "downsample_method": "mean",
        "base": ARRAY,
    },
    "stack": {
        "driver": "stack",
        "dtype": "int32",
        "schema": {"domain": {"shape": [2, 2]}},
        "layers": [ARRAY, ARRAY],
        "data_copy_concurrency": {"limit": 1},
    },
    "json": {
        "driver": "json",
        "kvstore": {"driver": "memory", "path": "a.json"},
        "json_pointer": "/a",
        "recheck_cached_data": "open",
        **POOLS,
    },
    "auto": {
        "driver": "auto",
        "kvstore": MEMORY,
        "context": {
            "experimental_gcs_grpc_credentials": {"type": "insecure"},
            "grpc_client_credentials": {},
            "ocdbt_coordinator": {"address": "a", "lease_duration": "1s"},
            "tsgrpc_request_retries": RETRIES,
        },
    },
}
del DRIVER_SPECS["array"]["cache_pool"]
KVSTORE_SPECS: dict[str, dict[str, Any]] = {
    "memory": {**MEMORY, "atomic": True, "memory_key_value_store": {}},
    "file": {
        "driver": "file",
        "path": "/a/b/",
        "file_io_concurrency": {"limit": 2},
        "file_io_sync": True,
        "file_io_locking": {"mode": "os", "acquire_timeout": "5s"},
        "file_io_mode": {"mode": "default"},
        "file_io_retries": RETRIES,
    },
    "zip": {
        "driver": "zip",
        "base": {"driver": "memory", "path": "a.zip"},
        "path": "x",
        "compression": "deflate",
        **POOLS,
    },
    "kvstack": {
        "driver": "kvstack",
        "layers": [
            {"base": MEMORY, "prefix": "x/", "strip_prefix": 2},
            {"base": {"driver": "memory", "path": "b/"}, "exact": "y"},
        ],
    },
    "fsspec": {
        "driver": "fsspec",
        "protocol": "memory",
        "storage_options": {},
        "path": "p/",
    },
    "obstore": {
        "driver": "obstore",
        "url": "s3://my-bucket/",
        "config": {},
        "path": "p/",
    },
    "repo": {"driver": "repo", "base": MEMORY, "branch": "main", "path": "a/"},
    "http": {
        "driver": "http",
        "base_url": "https://h.example/x",
        "path": "p",
        "headers": ["A: b"],
        "http_request_concurrency": {"limit": 3},
        "http_request_retries": RETRIES,
        "http_credentials": {"type": "basic", "username": "u", "password_variable": "P"},
        "request_hedging": {"extra_requests": 0.1},
    },
    "gcs": {
        "driver": "gcs",
        "bucket": "my-bucket",
        "path": "p",
        "endpoint": "https://h.example",
        "gcs_request_concurrency": {"limit": 3},
        "gcs_request_retries": RETRIES,
        "gcs_user_project": {"project_id": "p"},
        "gcs_credentials": {"type": "service_account", "file": "f"},
        "experimental_gcs_rate_limiter": RATES,
    },
    "s3": {
        "driver": "s3",
        "bucket": "my-bucket",
        "path": "p",
        "endpoint": "https://h.example",
        "aws_region": "us-east-1",
        "host_header": "h",
        "requester_pays": False,
        "use_conditional_write": True,
        "conditional_delete": True,
        "unquoted_etags": False,
        "aws_credentials": {"type": "profile", "profile": "p"},
        "s3_request_concurrency": {"limit": 3},
        "s3_request_retries": RETRIES,
        "experimental_s3_rate_limiter": RATES,
    },
    "azure": {
        "driver": "azure",
        "account": "account",
        "container": "container",
        "path": "p",
        "endpoint": "https://h.example",
        "azure_credentials": {"type": "anonymous"},
        "azure_request_concurrency": {"limit": 3},
        "azure_request_retries": RETRIES,
        "experimental_azure_rate_limiter": RATES,
    },
}
#: Objects that may have any members: the user's attributes, options of other libraries.
OPEN = {("n5", ("metadata",)), ("fsspec", ("storage_options",)), ("obstore", ("config",))}
#: A value of each type of JSON, all of them senseless.
VALUES: tuple[Any, ...] = (
    None,
    True,
    -7,
    2.5,
    "?!",
    [],
    [None],
    ["?!"],
    {},
    {"?!": 1},
    [[[]]],
    2**70,
)
#: What some places take besides values of the type that the spec above has there: by name, what
#: the JSON types are called.
ALSO = {
    "array": "number, array",
    "dtype": "array",
    "index_array_bounds": "",
    "kvstore": "string",
    "base": "string",
    "recheck_cached_data": "boolean, number",
    "recheck_cached_metadata": "boolean, number",
    "fill_value": "null",
    "level": "",
    "compressor": "null",
    "dimension_names": "null, string",
    "inner_order": "null",
    "grid_origin": "null",
    "limit": "",
    "index_array": "number",
    "input_inclusive_min": "number",
    "input_exclusive_max": "number",
}


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    if isinstance(value, (dict, list)):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(each, (*path, key))


def at(spec: Any, path: Path) -> Any:
    for step in path:
        spec = spec[step]
    return spec


def changed(spec: Any, path: Path, *value: Any) -> Any:
    """`spec` with `value` at `path`, or with nothing there."""
    found = json.loads(json.dumps(spec))
    inside = at(found, path[:-1])
    if value:
        inside[path[-1]] = value[0]
    else:
        del inside[path[-1]]
    return found


def said_path(message: str) -> Path:
    """The path that an error's text gives."""
    found: list[Any] = []
    steps = re.compile(
        r'object member "([^"]+)"|value at position (\d+)|position \{([\d, ]*)\}'
        r'|member "([^"]+)":|Layer (\d+):'
    )
    for name, position, positions, dotted, layer in steps.findall(message):
        if name:
            found.append(name)
        elif position or layer:
            found.append(int(position or layer))
        elif positions:
            found += map(int, positions.split(", "))
        else:
            for member, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", dotted):
                found.append(member or int(index))
    return tuple(found)


#: Of an array in JSON, whose member `dtype` may stand in its schema.
NO_DTYPE = 'dtype must be specified: an array in JSON needs the member "dtype"'


def refusal(make: Callable[[Any], Any], json: Any) -> str:
    """What is said against it; empty if it is taken, and then it comes back from its JSON."""
    try:
        made = make(json)
    except Error as error:
        return str(error)
    assert make(made.to_json()) == made
    return ""


def kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    return {int: "number", float: "number", str: "string", list: "array", dict: "object"}[
        type(value)
    ]


def cases() -> Iterator[Any]:
    for table, make in ((DRIVER_SPECS, ts.Spec), (KVSTORE_SPECS, ts.KvStore.Spec)):
        for name, spec in table.items():
            yield pytest.param(name, spec, make, id=f"{make.__qualname__} {name}")


every_spec = pytest.mark.parametrize(("name", "spec", "make"), list(cases()))


def test_every_driver_kvstore_and_resource_has_a_spec_here() -> None:
    drivers = {each.rules.driver for each in DRIVERS}
    # Its members are functions, and it has no JSON.
    assert drivers - {"virtual_chunked"} == set(DRIVER_SPECS)
    assert {each.rules.driver for each in KVSTORES} == set(KVSTORE_SPECS)
    both = [*DRIVER_SPECS.values(), *KVSTORE_SPECS.values()]
    named = {path[-1] for spec in both for path in places(spec)}
    assert set(STANDARD_RESOURCES) <= named
    for rules in [each.rules for each in (*DRIVERS, *KVSTORES) if each.rules.members]:
        name = rules.driver
        members = (DRIVER_SPECS | KVSTORE_SPECS).get(name, {})
        missing = set(rules.members or ()) - set(members)
        assert missing <= ELSEWHERE.get(name, set()), name


#: What says, in one way or another, what would be accepted.
ACCEPTED = "[Ee]xpected|Invalid|must|it is missing|known are|is incompatible with"
#: Members that stand in specs of their own: they exclude others, or need them.
ELSEWHERE = {
    "zarr3": {"field", "open_as_void"},
    "zarr": {"field", "open_as_void", "key_encoding"},
    "auto": set(STANDARD_RESOURCES),
    "virtual_chunked": {"functions", "cache_pool", "data_copy_concurrency"},
    "repo": {"as_of", "snapshot", "tag"},
    "fsspec": {"opened"},
    "obstore": {"opened"},
    "gcs": {"data_copy_concurrency", "request_hedging"},
    "s3": {"data_copy_concurrency", "request_hedging"},
    "azure": {"request_hedging"},
}


@every_spec
def test_what_is_right_is_taken(name: str, spec: Any, make: Callable[[Any], Any]) -> None:
    assert make(make(spec).to_json()) == make(spec)


@every_spec
def test_unknown_members(name: str, spec: Any, make: Callable[[Any], Any]) -> None:
    for path in [(), *places(spec)]:
        if not isinstance(at(spec, path), dict) or (name, path) in OPEN:
            continue
        known = sorted(at(spec, path))
        wanted = known[0] if known else "bogus"
        # Nearly the name of one that there is, where there is one.
        typo = f"{wanted[:-1]}_" if known else wanted
        with pytest.raises(Error) as caught:
            make(changed(spec, (*path, typo), 1))
        message = str(caught.value)
        assert json.dumps(typo) in message, (path, message)
        assert path in (said_path(message), said_path(message)[:-1]), (path, message)
        hint = message.partition(json.dumps(typo))[2]
        assert not known or wanted in hint, (path, message)


@every_spec
def test_wrong_types(name: str, spec: Any, make: Callable[[Any], Any]) -> None:
    for path in places(spec):
        there = at(spec, path)
        last = [step for step in path if isinstance(step, str)][-1]
        taken = {kind(there), *ALSO.get(last, "").split(", ")}
        is_resource = last in STANDARD_RESOURCES or last == "metadata_cache_pool"
        for value in VALUES:
            if kind(value) in taken or (value is None and is_resource):
                continue
            message = refusal(make, changed(spec, path, value))
            place = path
            if "index_array" in path:
                # Index arrays are read as a whole.
                place = path[: path.index("index_array") + 1]
            assert place == said_path(message)[: len(place)], (path, value, message)
            assert re.search(ACCEPTED, message), (path, message)


@every_spec
def test_senseless_values_of_any_type(name: str, spec: Any, make: Callable[[Any], Any]) -> None:
    for path in places(spec):
        for value in VALUES:
            message = refusal(make, changed(spec, path, value))
            # What contradicts another member may be told at that one's place.
            assert said_path(message) or message in ("", NO_DTYPE), (path, value, message)


@every_spec
def test_missing_members(name: str, spec: Any, make: Callable[[Any], Any]) -> None:
    for path in places(spec):
        message = refusal(make, changed(spec, path))
        assert said_path(message) or message in ("", NO_DTYPE), (path, message)


NEAR = [
    ({"driver": "zar3"}, "did you mean 'zarr3'"),
    ({"driver": "quite different"}, "known are 'array', 'auto', 'cast'"),
    ({"driver": "zarr3", "kvstore": {"driver": "flie"}}, "did you mean 'file'"),
    ("mem://a/|zarr3:", "did you mean 'memory'"),
    ("memory://a/|zap:", "did you mean 'zip'"),
    ("gss://a/", "did you mean 'gs'"),
    ({"driver": "zarr3", "context": {"cash_pool": {}}}, "did you mean 'cache_pool'"),
    (
        {"driver": "zarr3", "metadata": {"codecs": ["gzp"]}},
        r'"metadata.codecs\[0\]": .*did you mean \'gzip\'',
    ),
]


@pytest.mark.parametrize(("spec", "text"), NEAR)
def test_names_that_are_near(spec: Any, text: str) -> None:
    with pytest.raises(Error, match=text):
        ts.Spec(spec)


CONFLICTS: list[tuple[Any, str]] = [
    (
        {"driver": "zarr3", "metadata": {"shape": [2]}, "schema": {"rank": 2}},
        'contradicts the member "metadata"|"metadata" has 1 dimensions',
    ),
    (
        {"driver": "n5", "metadata": {"dataType": "uint8"}, "schema": {"dtype": "int8"}},
        'contradicts the member "metadata"',
    ),
    (
        {"driver": "zarr", "metadata": {"dtype": "|u1"}, "schema": {"dtype": "int8"}},
        'contradicts the member "metadata"',
    ),
    ({"driver": "zarr3", "dtype": "uint8", "schema": {"dtype": "int8"}}, '"dtype": '),
    ({"driver": "zarr3", "rank": 1, "schema": {"rank": 2}}, '"rank": '),
    (
        {"driver": "zarr3", "rank": 1, "transform": {"input_rank": 2}},
        '"transform": Transform of rank 2 -> 2 does not fit an array of rank 1',
    ),
    ({"driver": "zarr3", "path": "a"}, '"path": "path" must be specified in conjunction'),
    ({"driver": "zarr3", "field": "a", "open_as_void": True}, '"field" and "open_as_void"'),
    ({**DRIVER_SPECS["downsample"], "downsample_factors": [2]}, '"downsample_factors": Number of'),
    (
        {"driver": "zarr", "field": "z", "metadata": {"dtype": [["a", "<u2"]]}},
        '"field": Requested field "z" is not one of',
    ),
    (
        {"driver": "stack", "layers": [ARRAY, {"driver": "array", "array": 1, "dtype": "int32"}]},
        '"layers": Layer 1: .*rank 0 does not match layer 0 rank of 2',
    ),
]


@pytest.mark.parametrize(("spec", "text"), CONFLICTS)
def test_members_in_conflict(spec: Any, text: str) -> None:
    with pytest.raises((InvalidArgument, ts.Error), match=text):
        ts.Spec(copy.deepcopy(spec))
