"""The kvstores that there are: their rules, and the modules that are loaded on first use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asynctensor.lazy import Lazy
from asynctensor.spec_rules import KvStoreRules, Signature, UrlRules
from asynctensor.storage.store_request import StoreOpener


@dataclass(frozen=True, slots=True)
class KnownKvStore:
    """One kvstore.

    Attributes:
        rules: Of its specs.
        module: Offers ``open_store``.
        signature: How a file that it shows the inside of shows that it is one.
        opener: Of one that a user wrote: what opens it.
        from_user: Whether a user registered it.
    """

    rules: KvStoreRules
    module: str = ""
    signature: Signature | None = None
    opener: StoreOpener | None = None
    from_user: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Its names in JSON."""
        return (self.rules.driver,)

    @property
    def schemes(self) -> tuple[str, ...]:
        """Its schemes in URLs."""
        return self.rules.all_schemes()


AZURE_RESOURCES: Final = frozenset(
    {
        "azure_credentials",
        "azure_request_concurrency",
        "azure_request_retries",
        "experimental_azure_rate_limiter",
        "request_hedging",
    }
)
#: Context resources that are members of what keeps data decoded.
CACHE_RESOURCES: Final = frozenset({"cache_pool", "data_copy_concurrency"})
FILE_RESOURCES: Final = frozenset(
    {"file_io_concurrency", "file_io_locking", "file_io_mode", "file_io_retries", "file_io_sync"}
)
GCS_RESOURCES: Final = frozenset(
    {
        "data_copy_concurrency",
        "experimental_gcs_rate_limiter",
        "gcs_credentials",
        "gcs_request_concurrency",
        "gcs_request_retries",
        "gcs_user_project",
        "request_hedging",
    }
)
HTTP_RESOURCES: Final = frozenset(
    {
        "http_credentials",
        "http_request_concurrency",
        "http_request_retries",
        "request_hedging",
    }
)
S3_RESOURCES: Final = frozenset(
    {
        "aws_credentials",
        "data_copy_concurrency",
        "experimental_s3_rate_limiter",
        "request_hedging",
        "s3_request_concurrency",
        "s3_request_retries",
    }
)
KVSTORES: Final = (
    KnownKvStore(
        KvStoreRules(
            "memory",
            scheme="memory",
            members=frozenset({"atomic", "memory_key_value_store"}),
            resources=frozenset({"memory_key_value_store"}),
            defaults=(("atomic", True),),
            check=Lazy("asynctensor.kvstores.memory.opening", "check_members"),
        ),
        "asynctensor.kvstores.memory.opening",
    ),
    KnownKvStore(
        KvStoreRules(
            "file",
            scheme="file",
            members=FILE_RESOURCES,
            resources=FILE_RESOURCES,
            absolute_path=True,
        ),
        "asynctensor.kvstores.file.opening",
    ),
    KnownKvStore(
        KvStoreRules(
            "zip",
            scheme="zip",
            members=CACHE_RESOURCES | {"compression"},
            resources=CACHE_RESOURCES,
            adapter=True,
            defaults=(("compression", "deflate"),),
            check=Lazy("asynctensor.kvstores.zip.opening", "check_members"),
        ),
        "asynctensor.kvstores.zip.opening",
        # The end record, its longest comment, and the fixed parts of the ZIP64 records.
        Signature(Lazy("asynctensor.kvstores.zip.records", "is_zip_file"), tail_bytes=65_633),
    ),
    KnownKvStore(
        KvStoreRules(
            "ocdbt",
            scheme="ocdbt",
            members=CACHE_RESOURCES,
            resources=CACHE_RESOURCES,
            adapter=True,
        ),
        "asynctensor.kvstores.ocdbt.opening",
    ),
    KnownKvStore(
        KvStoreRules(
            "kvstack",
            members=frozenset({"layers"}),
            has_layers=True,
            check=Lazy("asynctensor.kvstores.kvstack.layers", "check_members"),
        ),
        "asynctensor.kvstores.kvstack.opening",
    ),
    KnownKvStore(
        KvStoreRules(
            "repo",
            scheme="repo",
            members=frozenset({"as_of", "branch", "snapshot", "tag"}),
            adapter=True,
            check=Lazy("asynctensor.kvstores.repo.members", "check_members"),
            urls=UrlRules(
                Lazy("asynctensor.kvstores.repo.members", "read_url"),
                Lazy("asynctensor.kvstores.repo.members", "write_url"),
            ),
        ),
        "asynctensor.kvstores.repo.opening",
    ),
    # Other libraries' stores, loaded when they are asked for: each needs the extra of its name.
    KnownKvStore(
        KvStoreRules(
            "fsspec",
            members=frozenset({"opened", "protocol", "storage_options"}),
            defaults=(("storage_options", {}),),
            check=Lazy("asynctensor.integrations.fsspec_opening", "check_members"),
        ),
        "asynctensor.integrations.fsspec_opening",
    ),
    KnownKvStore(
        KvStoreRules(
            "obstore",
            members=frozenset({"config", "opened", "url"}),
            defaults=(("config", {}),),
            check=Lazy("asynctensor.integrations.obstore_opening", "check_members"),
        ),
        "asynctensor.integrations.obstore_opening",
    ),
    KnownKvStore(
        KvStoreRules(
            "http",
            scheme="http",
            members=HTTP_RESOURCES | {"base_url", "headers"},
            resources=HTTP_RESOURCES,
            defaults=(("headers", []),),
            check=Lazy("asynctensor.kvstores.http.address", "check_members"),
            place=Lazy("asynctensor.kvstores.http.address", "place"),
            urls=UrlRules(
                Lazy("asynctensor.kvstores.http.address", "read_url"),
                Lazy("asynctensor.kvstores.http.address", "write_url"),
                ("https",),
            ),
        ),
        "asynctensor.kvstores.http.opening",
    ),
    KnownKvStore(
        KvStoreRules(
            "gcs",
            scheme="gs",
            members=GCS_RESOURCES | {"bucket", "endpoint"},
            resources=GCS_RESOURCES,
            check=Lazy("asynctensor.kvstores.gcs.address", "check_members"),
            urls=UrlRules(
                Lazy("asynctensor.kvstores.gcs.address", "read_url"),
                Lazy("asynctensor.kvstores.gcs.address", "write_url"),
            ),
        ),
        "asynctensor.kvstores.gcs.opening",
    ),
    KnownKvStore(
        KvStoreRules(
            "s3",
            scheme="s3",
            members=S3_RESOURCES
            | {
                "aws_region",
                "bucket",
                "conditional_delete",
                "endpoint",
                "host_header",
                "requester_pays",
                "unquoted_etags",
                "checksum_algorithm",
                "use_conditional_write",
            },
            resources=S3_RESOURCES,
            defaults=(("aws_region", ""), ("requester_pays", False)),
            check=Lazy("asynctensor.kvstores.s3.address", "check_members"),
            urls=UrlRules(
                Lazy("asynctensor.kvstores.s3.address", "read_url"),
                Lazy("asynctensor.kvstores.s3.address", "write_url"),
            ),
        ),
        "asynctensor.kvstores.s3.opening",
    ),
    KnownKvStore(
        KvStoreRules(
            "azure",
            scheme="az",
            members=AZURE_RESOURCES | {"account", "container", "endpoint"},
            resources=AZURE_RESOURCES,
            check=Lazy("asynctensor.kvstores.azure.address", "check_members"),
            urls=UrlRules(
                Lazy("asynctensor.kvstores.azure.address", "read_url"),
                Lazy("asynctensor.kvstores.azure.address", "write_url"),
            ),
        ),
        "asynctensor.kvstores.azure.opening",
    ),
)
