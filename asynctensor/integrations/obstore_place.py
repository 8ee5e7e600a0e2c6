"""`ObstorePlace`: a store of obstore's, and what may be said of it: never a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from obstore.exceptions import BaseError
from obstore.store import (
    AzureStore,
    GCSStore,
    HTTPStore,
    LocalStore,
    MemoryStore,
    S3Store,
    from_url,
)

from asynctensor.errors import IncompatibleType, InvalidArgument, Unimplemented
from asynctensor.integrations.handles import Handles

#: Options of obstore's clients that are told: not headers and proxies, which may hold secrets.
_PUBLIC_CLIENT: Final = frozenset(
    {
        "allow_http", "allow_invalid_certificates", "connect_timeout", "http1_only", "http2_only",
        "pool_idle_timeout", "pool_max_idle_per_host", "randomize_addresses", "read_timeout",
        "timeout",
    }
)  # fmt: skip
#: All of them. Among the others of a store, obstore takes them for a defect of its own.
_CLIENT: Final = _PUBLIC_CLIENT | {
    "default_content_type", "default_headers", "http2_keep_alive_interval",
    "http2_keep_alive_timeout", "http2_keep_alive_while_idle", "proxy_ca_certificate",
    "proxy_excludes", "proxy_url", "root_certificate", "user_agent",
}  # fmt: skip
#: Members of configurations that are told: where things are, and how they are asked for.
_PUBLIC: Final = _PUBLIC_CLIENT | {
    "account_name", "authority_host", "base_url", "bucket", "checksum_algorithm",
    "conditional_put", "container_name", "copy_if_not_exists", "default_region", "disable_tagging",
    "endpoint", "imdsv1_fallback", "metadata_endpoint", "region", "requester_pays", "s3_express",
    "skip_signature", "unsigned_payload", "use_azure_cli", "use_emulator", "use_fabric_endpoint",
    "virtual_hosted_style_request",
}  # fmt: skip
_KINDS: Final = (S3Store, GCSStore, AzureStore, HTTPStore, LocalStore, MemoryStore)


class ObstorePlace:
    """A store of obstore's.

    Args:
        store: The store.
        given: Whether it is an object of the user's, which specs name by a handle.

    Attributes:
        handle: Its handle in `HANDLES`; None for one that a spec opened.

    Raises:
        IncompatibleType: It is none of obstore's.
    """

    def __init__(self, store: Any, *, given: bool = False) -> None:
        if not isinstance(store, _KINDS):
            raise IncompatibleType(
                f"expected a store of obstore, but received {type(store).__name__}"
            )
        self.store = store
        #: Web servers take no writes that a reader could rely on.
        self.writable = not isinstance(store, HTTPStore)
        self.handle = HANDLES.add(self) if given else None

    @property
    def repeats(self) -> bool:
        """Whether obstore may ask again by itself, so that a refusal may be of its own write."""
        config = getattr(self.store, "retry_config", None)
        return (config or {}).get("max_retries") != 0

    def __str__(self) -> str:
        return repr(self.url)

    @property
    def url(self) -> str:
        """What `opened` opens it by, together with `public_config`."""
        store = self.store
        match store:
            case MemoryStore():
                return "memory:///"
            case HTTPStore():
                return str(store.url).partition("?")[0]
            case LocalStore():
                return f"file://{store.prefix or '/'}"
        config: Mapping[str, Any] = {k.lower(): v for k, v in dict(store.config).items()}
        prefix = str(store.prefix or "").strip("/")
        if isinstance(store, AzureStore):
            scheme = "az"
            bucket = config.get("container_name") or config.get("azure_container_name")
        else:
            scheme = "s3" if isinstance(store, S3Store) else "gs"
            bucket = config.get("bucket") or config.get("aws_bucket") or config.get("google_bucket")
        return f"{scheme}://{bucket}/{prefix}".rstrip("/")

    @property
    def public_config(self) -> dict[str, str]:
        """Its configuration, without what may be secret."""
        config = {
            **(getattr(self.store, "config", None) or {}),
            **(getattr(self.store, "client_options", None) or {}),
        }
        plain = {_plain(str(name)): str(value) for name, value in config.items()}
        kept = {name: value for name, value in plain.items() if name in _PUBLIC}
        return {k: v for k, v in kept.items() if k not in ("bucket", "container_name")}

    @property
    def identity(self) -> object:
        """Equal for stores of the same place and configuration, credentials included."""
        if isinstance(self.store, MemoryStore):
            return id(self.store)
        config = dict(getattr(self.store, "config", None) or {})
        provider = getattr(self.store, "credential_provider", None)
        secret = hash(tuple(sorted((str(k), str(v)) for k, v in config.items())))
        return self.url, secret, id(provider) if provider is not None else None

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (self.url, self.public_config, self.handle)


#: Stores that were given as objects.
HANDLES: Final[Handles[ObstorePlace]] = Handles()


def _restored(url: str, config: Mapping[str, Any], handle: str | None) -> ObstorePlace:
    found = HANDLES.find(handle)
    if found is None and url.startswith("memory:"):
        raise Unimplemented("what is in a MemoryStore of obstore's stays in its process")
    return found or opened(url, config)


def opened(url: str, config: Mapping[str, Any]) -> ObstorePlace:
    """The store that a URL names; credentials are the environment's.

    Raises:
        InvalidArgument: obstore does not know it, or cannot use the configuration.
    """
    options: Any = {}
    if url.startswith("file:"):
        options = {"mkdir": True, "automatic_cleanup": True}
    elif not url.startswith("memory:"):
        parts: tuple[dict[str, Any], dict[str, Any]] = {}, {}
        for name, value in config.items():
            parts[name.lower() in _CLIENT][name] = value
        options = {"config": parts[False], "client_options": parts[True] or None}
    try:
        return ObstorePlace(from_url(url, **options))
    except (BaseError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidArgument(f"obstore cannot open {url.partition('?')[0]!r}: {reason}") from error


def _plain(name: str) -> str:
    lower = name.lower()
    for prefix in ("aws_", "azure_storage_", "azure_", "google_"):
        lower = lower.removeprefix(prefix)
    return lower
