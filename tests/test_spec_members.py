"""Every member of every driver, kvstore and resource: unknown, missing, of the wrong type.

One complete spec of each is taken apart: at each place of it something is added, left out, or
replaced. What is wrong is refused with a typed error that names the path of the place and says what
would be accepted.
"""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import asynctensor as ts
from asynctensor.errors import Error, FailedPrecondition, InvalidArgument
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
    "ocdbt": {"driver": "ocdbt", "base": MEMORY, "path": "x", **POOLS},
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
        "checksum_algorithm": "SHA256",
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
        r'|member "([^"]+)"(?::| contradicts)|Layer (\d+):'
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


def zarr3(**members: Any) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": MEMORY, **members}


CHUNKS = {"name": "regular", "configuration": {"chunk_shape": [2, 3]}}
ZARR3 = {
    "shape": [4, 6],
    "data_type": "uint8",
    "chunk_grid": CHUNKS,
    "codecs": [{"name": "transpose", "configuration": {"order": [1, 0]}}, "bytes"],
    "fill_value": 7,
    "dimension_names": ["x", "y"],
    "attributes": {"dimension_units": ["4nm", None]},
}
ZARR2 = {"shape": [4, 6], "dtype": "|u1", "chunks": [2, 3], "compressor": None, "order": "F"}
N5 = {
    "dimensions": [4, 6],
    "dataType": "uint8",
    "blockSize": [2, 3],
    "compression": {"type": "raw"},
    "axes": ["x", "y"],
    "units": ["nm", "s"],
    "resolution": [4, 5],
}
GZIP = {"codecs": ["bytes", {"name": "gzip", "configuration": {"level": 4}}]}
CHUNK_SHAPE = "metadata.chunk_grid.configuration.chunk_shape"
#: Of each format: its metadata; a schema, the member of it that is wrong, and that of the metadata.
AGAINST_METADATA: list[tuple[str, Any, Any, str, str]] = [
    ("zarr3", ZARR3, {"rank": 3}, "rank", "metadata.shape"),
    ("zarr3", ZARR3, {"dtype": "int8"}, "dtype", "metadata.data_type"),
    ("zarr3", ZARR3, {"domain": {"shape": [4, 7]}}, "domain", "metadata.shape"),
    (
        "zarr3",
        ZARR3,
        {"domain": {"labels": ["a", "y"]}},
        "domain.labels",
        "metadata.dimension_names",
    ),
    ("zarr3", ZARR3, {"fill_value": 8}, "fill_value", "metadata.fill_value"),
    ("zarr3", ZARR3, {"codec": {"driver": "zarr3", **GZIP}}, "codec", "metadata.codecs"),
    ("zarr3", ZARR3, {"codec": {"driver": "n5"}}, "codec.driver", "driver"),
    (
        "zarr3",
        ZARR3,
        {"dimension_units": ["5nm", None]},
        "dimension_units",
        "metadata.attributes.dimension_units",
    ),
    ("zarr3", {"data_type": "r16"}, {"rank": 0}, "rank", "metadata.data_type"),
    ("zarr", ZARR2, {"rank": 1}, "rank", "metadata.shape"),
    ("zarr", ZARR2, {"dtype": "int8"}, "dtype", "metadata.dtype"),
    ("zarr", ZARR2, {"domain": {"shape": [4, 7]}}, "domain", "metadata.shape"),
    ("zarr", {**ZARR2, "fill_value": 7}, {"fill_value": 8}, "fill_value", "metadata.fill_value"),
    (
        "zarr",
        ZARR2,
        {"codec": {"driver": "zarr", "compressor": {"id": "zlib"}}},
        "codec.compressor",
        "metadata.compressor",
    ),
    ("n5", N5, {"rank": 3}, "rank", "metadata.dimensions"),
    ("n5", N5, {"dtype": "int8"}, "dtype", "metadata.dataType"),
    ("n5", N5, {"domain": {"labels": ["a", "y"]}}, "domain.labels", "metadata.axes"),
    (
        "n5",
        N5,
        {"codec": {"driver": "n5", "compression": {"type": "gzip"}}},
        "codec.compression",
        "metadata.compression",
    ),
    ("n5", N5, {"dimension_units": ["5nm", None]}, "dimension_units", "metadata.units"),
]
#: The same of the layout of chunks.
LAYOUTS: list[tuple[str, Any, Any, str, str]] = [
    ("zarr3", ZARR3, {"write_chunk": {"shape": [2, 4]}}, "write_chunk.shape", CHUNK_SHAPE),
    ("zarr3", ZARR3, {"read_chunk": {"shape": [2, 4]}}, "read_chunk.shape", CHUNK_SHAPE),
    ("zarr3", ZARR3, {"chunk": {"shape": [2, 4]}}, "chunk.shape", CHUNK_SHAPE),
    ("zarr3", ZARR3, {"grid_origin": [1, 0]}, "grid_origin", "driver"),
    ("zarr3", ZARR3, {"inner_order": [0, 1]}, "inner_order", "metadata.codecs"),
    ("zarr", ZARR2, {"chunk": {"shape": [2, 4]}}, "chunk.shape", "metadata.chunks"),
    ("zarr", ZARR2, {"inner_order": [0, 1]}, "inner_order", "metadata.order"),
    ("n5", N5, {"chunk": {"shape": [2, 4]}}, "chunk.shape", "metadata.blockSize"),
    ("n5", N5, {"inner_order": [0, 1]}, "inner_order", "driver"),
]
DOMAIN = {"shape": [2, 3]}
CONFLICTS: list[tuple[Any, str, str]] = [
    (zarr3(dtype="uint8", schema={"dtype": "int8"}), "dtype", "schema.dtype"),
    (zarr3(rank=1, schema={"rank": 2}), "rank", "schema.rank"),
    (zarr3(rank=1, schema={"domain": DOMAIN}), "rank", "schema.domain"),
    (zarr3(dtype="int8", metadata=ZARR3), "dtype", "metadata.data_type"),
    (zarr3(rank=1, metadata={"chunk_grid": CHUNKS}), "rank", CHUNK_SHAPE),
    (zarr3(rank=1, transform={"input_rank": 2}), "transform", "rank"),
    (zarr3(schema={"domain": DOMAIN}, transform={"input_rank": 1}), "transform", "schema.domain"),
    (zarr3(schema={"rank": 1, "domain": DOMAIN}), "schema.domain", "schema.rank"),
    (
        zarr3(schema={"domain": DOMAIN, "chunk_layout": {"chunk": {"shape": [3]}}}),
        "schema.chunk_layout.chunk.shape",
        "schema.domain",
    ),
    (
        zarr3(schema={"domain": DOMAIN, "dimension_units": ["s"]}),
        "schema.dimension_units",
        "schema.domain",
    ),
    (zarr3(schema={"domain": DOMAIN, "fill_value": [1, 2]}), "schema.fill_value", "schema.domain"),
    (zarr3(schema={"dtype": "int8", "fill_value": 300}), "schema.fill_value", "schema.dtype"),
    (
        zarr3(schema={"chunk_layout": {"chunk": {"shape": [3]}, "read_chunk": {"shape": [4]}}}),
        "schema.chunk_layout.read_chunk.shape",
        "schema.chunk_layout.chunk.shape",
    ),
    (
        zarr3(schema={"chunk_layout": {"inner_order": [0, 1], "grid_origin": [0]}}),
        "schema.chunk_layout.grid_origin",
        "schema.chunk_layout.inner_order",
    ),
    (
        zarr3(schema={"domain": {"shape": [2], "labels": ["a", "b"]}}),
        "schema.domain.labels",
        "schema.domain.shape",
    ),
    (
        zarr3(schema={"domain": {"inclusive_min": [3], "exclusive_max": [1]}}),
        "schema.domain.exclusive_max",
        "schema.domain.inclusive_min",
    ),
    (
        zarr3(transform={"input_shape": [2], "input_exclusive_max": [2]}),
        "transform.input_shape",
        "transform.input_exclusive_max",
    ),
    (
        zarr3(transform={"input_rank": 1, "output": [{"input_dimension": 0, "index_array": [1]}]}),
        "transform.output[0].input_dimension",
        "transform.output[0].index_array",
    ),
    (
        zarr3(transform={"input_shape": [2], "output": [{}, {"input_dimension": 1}]}),
        "transform.output[1].input_dimension",
        "transform.input_shape",
    ),
    (
        zarr3(transform={"input_rank": 1, "output": [{"index_array": [1, 2]}]}),
        "transform.output[0].index_array",
        "transform.input_rank",
    ),
    (zarr3(metadata={"shape": [4], "chunk_grid": CHUNKS}), CHUNK_SHAPE, "metadata.shape"),
    (
        zarr3(metadata={"shape": [4], "dimension_names": ["a", "b"]}),
        "metadata.dimension_names",
        "metadata.shape",
    ),
    (
        zarr3(metadata={"data_type": "uint8", "fill_value": 300}),
        "metadata.fill_value",
        "metadata.data_type",
    ),
    (zarr3(metadata={**ZARR3, "shape": [4], "chunk_grid": CHUNKS}), CHUNK_SHAPE, "metadata.shape"),
    (
        zarr3(metadata={"shape": [4], "codecs": ZARR3["codecs"]}),
        "metadata.codecs",
        "metadata.shape",
    ),
    (zarr3(field="a", open_as_void=True), "open_as_void", "field"),
    (zarr3(field="a", metadata={"data_type": "uint8"}), "field", "metadata.data_type"),
    (
        {"driver": "zarr", "field": "z", "metadata": {"dtype": [["a", "<u2"]]}},
        "field",
        "metadata.dtype",
    ),
    (
        {"driver": "zarr", "metadata": {"dtype": "|O", "filters": []}},
        "metadata.dtype",
        "metadata.filters",
    ),
    (
        {"driver": "zarr", "metadata": {"dtype": "|u1", "fill_value": -1}},
        "metadata.fill_value",
        "metadata.dtype",
    ),
    (
        {"driver": "zarr", "metadata": {"shape": [4], "chunks": [1, 1]}},
        "metadata.chunks",
        "metadata.shape",
    ),
    (
        {"driver": "zarr", "key_encoding": "/", "metadata": {"dimension_separator": "."}},
        "key_encoding",
        "metadata.dimension_separator",
    ),
    (
        {"driver": "n5", "metadata": {"units": ["x", "y"], "resolution": [1]}},
        "metadata.resolution",
        "metadata.units",
    ),
    ({"driver": "cast", "rank": 1, "base": ARRAY}, "rank", "base.array"),
    (
        {"driver": "cast", "dtype": "int8", "base": zarr3(dtype="int8", schema={"dtype": "int4"})},
        "base.dtype",
        "base.schema.dtype",
    ),
    (
        {**DRIVER_SPECS["downsample"], "downsample_factors": [2]},
        "downsample_factors",
        "base",
    ),
    ({**DRIVER_SPECS["downsample"], "rank": 3}, "downsample_factors", "rank"),
    ({**DRIVER_SPECS["downsample"], "dtype": "int8"}, "dtype", "base.dtype"),
    (
        {**DRIVER_SPECS["downsample"], "base": zarr3(dtype="string", rank=2)},
        "downsample_method",
        "base",
    ),
    (
        {"driver": "stack", "layers": [ARRAY, {"driver": "array", "array": 1, "dtype": "int32"}]},
        "layers[1]",
        "layers[0]",
    ),
    ({"driver": "stack", "layers": [ARRAY], "dtype": "int8"}, "layers[0]", "dtype"),
    (
        {"driver": "stack", "layers": [ARRAY, zarr3(rank=1, schema={"rank": 2})]},
        "layers[1].rank",
        "layers[1].schema.rank",
    ),
    (
        {"driver": "stack", "layers": [ARRAY], "schema": {"fill_value": 1}},
        "schema.fill_value",
        "driver",
    ),
    ({"driver": "json", "kvstore": MEMORY, "dtype": "int8"}, "driver", "dtype"),
    ({**ARRAY, "rank": 1}, "rank", "array"),
    ({**ARRAY, "schema": {"domain": DOMAIN}}, "schema.domain", "array"),
    ({**ARRAY, "dtype": "int8", "array": [300]}, "array", "dtype"),
    *[
        ({"driver": driver, "metadata": metadata, "schema": schema}, f"schema.{new}", existing)
        for driver, metadata, schema, new, existing in AGAINST_METADATA
    ],
    *[
        (
            {"driver": driver, "metadata": metadata, "schema": {"chunk_layout": layout}},
            f"schema.chunk_layout.{new}",
            existing,
        )
        for driver, metadata, layout, new, existing in LAYOUTS
    ],
]


@pytest.mark.parametrize(("spec", "new", "existing"), CONFLICTS)
def test_members_in_conflict(spec: Any, new: str, existing: str) -> None:
    with pytest.raises(Error) as caught:
        ts.Spec(copy.deepcopy(spec))
    assert caught.value.contradicting == (new, existing)
    text = f'; member "{new}" contradicts "{existing}": make them agree, or leave one out'
    assert str(caught.value).endswith(text)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    # Below another array, the paths begin there.
    with pytest.raises(Error) as caught:
        ts.Spec({"driver": "stack", "layers": [copy.deepcopy(spec)]})
    assert caught.value.contradicting == (f"layers[0].{new}", f"layers[0].{existing}")


KVSTORE_CONFLICTS: list[tuple[Any, str, str]] = [
    ({"driver": "repo", "base": MEMORY, "branch": "a", "tag": "b"}, "tag", "branch"),
    (
        {"driver": "kvstack", "layers": [{"base": MEMORY, "prefix": "x/", "exact": "y"}]},
        "layers[0].prefix",
        "layers[0].exact",
    ),
    (
        {"driver": "kvstack", "layers": [{"base": MEMORY, "prefix": "x", "strip_prefix": 2}]},
        "layers[0].strip_prefix",
        "layers[0].prefix",
    ),
]


@pytest.mark.parametrize(("spec", "new", "existing"), KVSTORE_CONFLICTS)
def test_members_of_kvstores_in_conflict(spec: Any, new: str, existing: str) -> None:
    with pytest.raises(Error) as caught:
        ts.KvStore.Spec(spec)
    assert caught.value.contradicting == (new, existing)
    with pytest.raises(Error) as caught:
        ts.Spec(zarr3(kvstore=spec))
    assert caught.value.contradicting == (f"kvstore.{new}", f"kvstore.{existing}")


NEW = {"create": True, "dtype": "int8", "schema": {"domain": {"shape": [4]}}}
ON_OPENING: list[tuple[Any, str, str]] = [
    (zarr3(**NEW, open=True, delete_existing=True), "delete_existing", "open"),
    (zarr3(**NEW, open=False, assume_metadata=True), "assume_metadata", "open"),
    (
        zarr3(**NEW | {"schema": {"domain": {"shape": [4]}, "fill_value": 300}}),
        "schema.fill_value",
        "dtype",
    ),
    (
        zarr3(
            **NEW
            | {
                "schema": {
                    "domain": {"shape": [4]},
                    "chunk_layout": {"codec_chunk": {"shape": [2]}},
                }
            }
        ),
        "schema.chunk_layout.codec_chunk",
        "driver",
    ),
    (
        {
            **zarr3(**NEW),
            "driver": "zarr",
            "schema": {"domain": {"shape": [4]}, "dimension_units": ["s"]},
        },
        "schema.dimension_units",
        "driver",
    ),
    (
        {**zarr3(**NEW), "driver": "n5", "schema": {"domain": {"shape": [4]}, "fill_value": 1}},
        "schema.fill_value",
        "driver",
    ),
    ({**zarr3(**NEW), "driver": "n5", "dtype": "bool"}, "dtype", "driver"),
    ({**ARRAY, "schema": {"fill_value": 1}}, "schema.fill_value", "driver"),
    (
        {"driver": "cast", "dtype": "string", "base": {**ARRAY, "array": True, "dtype": "bool"}},
        "dtype",
        "base",
    ),
]


@pytest.mark.parametrize(("spec", "new", "existing"), ON_OPENING)
async def test_members_in_conflict_when_opened(spec: Any, new: str, existing: str) -> None:
    with pytest.raises(Error) as caught:
        await ts.open(spec)
    assert caught.value.contradicting == (new, existing)


async def test_what_contradicts_what_is_stored() -> None:
    context = ts.Context()
    await ts.open(zarr3(**NEW), context=context)
    for changed_, path in (
        ({"schema": {"domain": {"shape": [5]}}}, "schema.domain"),
        ({"dtype": "uint8"}, "schema.dtype"),
        ({"metadata": {"shape": [5]}}, "metadata.shape"),
    ):
        with pytest.raises(FailedPrecondition) as caught:
            await ts.open(zarr3(**changed_), context=context)
        assert caught.value.contradicting == (path,)
        text = f'member "{path}" contradicts what is stored: change it, or leave it out'
        assert text in str(caught.value)


async def test_updates_in_conflict() -> None:
    spec = ts.Spec(zarr3(metadata=ZARR3, dtype="uint8"))
    with pytest.raises(InvalidArgument) as caught:
        spec.update(dtype="int8")
    assert "Invalid dtype" in str(caught.value)
    with pytest.raises(InvalidArgument) as caught:
        spec.update(shape=[4, 7])
    assert caught.value.contradicting == ("schema.domain", "metadata.shape")
