"""Every resource of TensorStore's contexts, with each member: the same JSON, or an error."""

from __future__ import annotations

from typing import Any

import pytest
import tensorstore as ts

import asynctensor as at

DURATIONS = ["1s", "0s", "0", "1m", "1.5s", "-1s", "inf", "1m30s", "500ms", "1us", "x", 3, None]
NUMBERS = [0, 1, 5, 5.0, 1.5, -1, 2**63 - 1, 2**63, 2**64 - 1, "shared", "a", True, None]
#: What no resource takes, or each.
ANY = [{}, None, 3, "x", [], True, {"bogus": 1}]
RETRIES = [
    *({"max_retries": each} for each in NUMBERS),
    *({name: each} for name in ("initial_delay", "max_delay") for each in DURATIONS),
    {"max_retries": 3, "initial_delay": "2s", "max_delay": "3s"},
]
LIMITS = [{"limit": each} for each in NUMBERS]
RATES = [
    *({name: each} for name in ("read_rate", "write_rate") for each in (1, 1.5, "a", None, True)),
    *({"doubling_time": each} for each in DURATIONS),
    {"read_rate": 3, "write_rate": 4, "doubling_time": "2s"},
]
TABLE: dict[str, list[Any]] = {
    "cache_pool": [{"total_bytes_limit": each} for each in NUMBERS],
    **{
        f"{name}_concurrency": LIMITS
        for name in ("data_copy", "file_io", "gcs_request", "http_request", "s3_request")
    },
    **{
        f"{name}_retries": RETRIES
        for name in ("file_io", "gcs_request", "http_request", "s3_request", "tsgrpc_request")
    },
    **{f"experimental_{name}_rate_limiter": RATES for name in ("gcs", "s3")},
    "file_io_sync": [False, 0, 1, "true"],
    "file_io_locking": [
        *({"mode": each} for each in ("os", "lockfile", "none", "non_atomic", "x", 1, None)),
        *({"acquire_timeout": each} for each in DURATIONS),
        {"mode": "lockfile", "acquire_timeout": "3s"},
        {"mode": "os", "acquire_timeout": "60s"},
    ],
    "file_io_mode": [{"mode": each} for each in ("default", "memmap", "direct", "x", 1, None)],
    "memory_key_value_store": [],
    "gcs_user_project": [{"project_id": each} for each in ("a", "", 3, None)],
    "aws_credentials": [
        *(
            {"type": each}
            for each in ("anonymous", "default", "environment", "imds", "profile", "ecs", "x", None)
        ),
        {"type": "profile", "profile": "p", "config_file": "c", "credentials_file": "d"},
        {"type": "profile", "profile": 1},
        {"type": "ecs", "endpoint": "http://x"},
        {"type": "default", "profile": "q"},
        {"type": "default", "config_file": "f"},
        {"type": "imds", "endpoint": "http://x"},
        {"type": "environment", "x": 1},
        {"profile": "p"},
    ],
    "experimental_gcs_grpc_credentials": [
        *({"type": each} for each in ("insecure", "google_default", "external_account")),
        *({"type": each} for each in ("x", None, 1)),
        {"type": "insecure", "x": 1},
    ],
    "grpc_client_credentials": [{"type": "insecure"}],
    "ocdbt_coordinator": [
        *({"address": each} for each in ("a:1", "", 3)),
        *({"lease_duration": each} for each in DURATIONS),
        {"address": "a:1", "lease_duration": "10s"},
    ],
}
#: Of these, TensorStore leaves defaults out even where it is asked to include them.
SHORT = ("file_io_locking", "file_io_mode")


def outcome(module: Any, name: str, value: Any) -> Any:
    """What a resource says of itself, or the kind of error that it is."""
    try:
        resource = module.Context({name: value})[name]
    except ValueError:
        return ValueError
    spec = module.Context.Spec({name: value}).to_json()
    full = None if name in SHORT else resource.to_json(include_defaults=True)
    return resource.to_json(), full, spec, repr(resource)


@pytest.mark.parametrize("name", TABLE)
def test_members_of_resources_are_tensorstores(name: str) -> None:
    for value in [*ANY, *TABLE[name]]:
        assert outcome(at, name, value) == outcome(ts, name, value), value


def test_no_resource_of_tensorstore_is_missing() -> None:
    spec = ts.Spec({"driver": "auto", "kvstore": "memory://"})
    spec.update(context=ts.Context())
    assert spec.to_json()["context"].keys() == TABLE.keys()


# -- specs of driver ``auto``, which hold resources of every kind --------------------------------

FILE = {"driver": "file", "path": "/a/"}
AUTO: list[dict[str, Any]] = [
    {},
    {"cache_pool": "cache_pool#a"},
    {"http_request_retries": None},
    {"file_io_mode": {"mode": "memmap"}, "data_copy_concurrency": {"limit": 3}},
    {"kvstore": FILE},
    {"kvstore": {**FILE, "file_io_mode": {"mode": "direct"}, "file_io_concurrency": {"limit": 2}}},
    {
        "kvstore": {**FILE, "file_io_concurrency": "file_io_concurrency#a"},
        "file_io_concurrency": "file_io_concurrency#a",
    },
    {"context": {"cache_pool#b": {"total_bytes_limit": 1}}, "cache_pool": "cache_pool#b"},
]
GIVEN = {
    "cache_pool": "cache_pool#a",
    "cache_pool#a": {"total_bytes_limit": 6},
    "file_io_concurrency#a": {"limit": 9},
    "file_io_sync": False,
    "s3_request_retries": {"max_retries": 1},
}


@pytest.mark.parametrize("spec", AUTO)
@pytest.mark.parametrize("step", ["unbind_context", "strip_context"])
def test_auto_is_bound_to_every_resource(spec: dict[str, Any], step: str) -> None:
    def worked(module: Any) -> list[Any]:
        made = module.Spec({"driver": "auto", "kvstore": "memory://a/", **spec})
        seen = [made.to_json()]
        made.update(context=module.Context(GIVEN))
        seen += [made.to_json(), repr(made).replace(f"{module.__name__}.", "")]
        made.update(**{step: True})
        return [*seen, made.to_json()]

    assert worked(at) == worked(ts)


def test_auto_names_our_resources_where_they_say_something() -> None:
    spec = at.Spec({"driver": "auto", "kvstore": "memory://a/"})
    spec.update(context=at.Context({"azure_request_concurrency": {"limit": 3}}))
    context = spec.to_json()["context"]
    assert context.keys() - TABLE.keys() == {"azure_request_concurrency"}


async def test_what_auto_finds_has_its_resources(tmp_path: Any) -> None:
    await at.open(
        {"driver": "zarr3", "kvstore": f"file://{tmp_path}/"}, create=True, dtype="int8", shape=[3]
    )
    context = at.Context({"cache_pool#a": {"total_bytes_limit": 7}})
    spec = {"driver": "auto", "kvstore": f"file://{tmp_path}/", "cache_pool": "cache_pool#a"}
    found = await at.open(spec, context=context)
    json = found.spec(retain_context=True).to_json()
    assert json["driver"] == "zarr3"
    assert json["context"]["cache_pool#a"] == {"total_bytes_limit": 7}
    assert json["cache_pool"] == "cache_pool#a"
    assert "s3_request_retries" not in json["context"]
    # The same spec with the format said: what only the finding would need is left out.
    said = await at.open({**spec, "file_io_sync": False}, driver="zarr3", context=context)
    assert said.spec(retain_context=True).to_json() == json
