"""`ArrayDataSource`: ``spark.read.format("asynctensor")``, and writing likewise."""

from __future__ import annotations

from typing import Any

from pyspark.sql import SparkSession, datasource, types

from asynctensor.integrations.pinning import all_pinned
from asynctensor.integrations.spark.block import block_schema, reference_schema
from asynctensor.integrations.spark.options import Request
from asynctensor.integrations.spark.reader import ArrayReader, dimension_names, pixel_schema
from asynctensor.integrations.spark.writer import ArrayWriter
from asynctensor.tensorstore import TensorStore

_PUSHDOWN = "spark.sql.python.filterPushdown.enabled"


def register(spark: SparkSession) -> None:
    """Makes the format ``asynctensor`` known to a session, and lets it push conditions down."""
    spark.dataSource.register(ArrayDataSource)
    spark.conf.set(_PUSHDOWN, "true")


class ArrayDataSource(datasource.DataSource):
    """Arrays as tables: of references to chunks, of blocks or of pixels.

    What is in a repository is read as it is when the table is loaded.
    """

    def __init__(self, options: Any) -> None:
        """Opens nothing."""
        super().__init__(options)
        self._arrays: dict[str, TensorStore] | None = None

    @classmethod
    def name(cls) -> str:
        """What the format is called."""
        return "asynctensor"

    def _opened(self) -> tuple[Request, dict[str, TensorStore], tuple[str, ...]]:
        request = Request.of(self.options)
        if self._arrays is None:
            self._arrays = all_pinned(request.open()).result().arrays
        return request, self._arrays, dimension_names(self._arrays)

    def schema(self) -> types.StructType:
        """The columns of the rows that are asked for.

        Raises:
            Error: The options are wrong, or an array cannot be opened.
        """
        request, arrays, dims = self._opened()
        if request.rows == "pixels":
            return pixel_schema(dims, arrays)
        return block_schema(dims) if request.rows == "blocks" else reference_schema(dims)

    def reader(self, schema: types.StructType) -> ArrayReader:
        """What reads them."""
        request, arrays, dims = self._opened()
        return ArrayReader(arrays, dims, request.rows or "chunks", request.partition_bytes)

    def writer(self, schema: types.StructType, overwrite: bool) -> ArrayWriter:
        """What writes a table of that schema."""
        return ArrayWriter(Request.of(self.options), schema, overwrite)
