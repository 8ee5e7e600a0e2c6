"""Which hosts are reached through a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import getproxies


@dataclass(frozen=True, slots=True)
class Proxies:
    """Proxies by the scheme of what is asked for.

    Attributes:
        urls: ``"http"``, ``"https"`` or ``"all"`` to the URL of a proxy; it may hold a secret. The
            member ``"no"`` lists hosts to be reached directly, in the form of ``NO_PROXY``: names
            with all names below them, separated by commas, or ``*``.
    """

    urls: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of_environment(cls) -> Proxies:
        """As ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` say."""
        return cls(getproxies())

    def of(self, url: str) -> str | None:
        """The URL of the proxy for `url`; None if it is reached directly."""
        if not self.urls:
            return None
        parts = urlsplit(url)
        proxy = self.urls.get(parts.scheme) or self.urls.get("all")
        if not proxy or self._is_direct(parts.hostname or "", parts.netloc.rpartition("@")[2]):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"

    def _is_direct(self, *names: str) -> bool:
        for listed in self.urls.get("no", "").lower().split(","):
            name = listed.strip().lstrip(".")
            if name == "*":
                return True
            if name and any(f".{each.lower()}".endswith(f".{name}") for each in names):
                return True
        return False


NO_PROXIES = Proxies()
