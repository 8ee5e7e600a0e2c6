"""Spark: arrays as tables, and jobs that write them in one commit."""

from asynctensor.integrations.spark.block import Block, block_schema, blocks_to_batch, read_blocks
from asynctensor.integrations.spark.source import ArrayDataSource, register
from asynctensor.integrations.spark.writer import write_array

__all__ = [
    "ArrayDataSource",
    "Block",
    "block_schema",
    "blocks_to_batch",
    "read_blocks",
    "register",
    "write_array",
]
