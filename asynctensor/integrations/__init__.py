"""Other libraries' faces: each module needs its library, which the extra of its name installs.

``asynctensor.integrations.zarr`` and its like are loaded when they are first asked for.
"""

import importlib
from typing import Any

#: What is asked for by name, and the extra that installs what it needs.
_FACES = (
    "arrow",
    "dask",
    "fsspec",
    "jax",
    "obstore",
    "opentelemetry",
    "ray",
    "spark",
    "tensorflow",
    "torch",
    "xarray",
    "zarr",
)


def __getattr__(name: str) -> Any:
    if name not in _FACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        lacking = (error.name or "asynctensor").partition(".")[0]
        if lacking == "asynctensor":
            raise
        raise ModuleNotFoundError(
            f"asynctensor.integrations.{name} needs {lacking}, which is not installed: "
            f"pip install 'asynctensor[{name}]'",
            name=lacking,
        ) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *_FACES})
