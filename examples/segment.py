"""Segments an image on Spark: a mask that all tasks write in one commit, and a table of it.

Run it with ``python -m examples.segment`` where ``asynctensor[spark]`` and Java are installed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

import asynctensor as at
from asynctensor.integrations.spark import (
    Block,
    block_schema,
    blocks_to_batch,
    read_blocks,
    register,
)

SHAPE, CHUNK = [512, 768], [128, 128]
#: What is brighter than this is a cell.
BRIGHT = 200
DIMS = ["y", "x"]


def record(repo: at.Repository, seed: int = 0) -> at.TensorStore:
    """A new image, with a hundred bright cells of 8 x 8 pixels that do not touch."""
    spec = {"driver": "zarr3", "kvstore": repo.kvstore("image/")}
    image = at.open(
        spec,
        create=True,
        dtype="uint8",
        domain=at.IndexDomain(labels=DIMS, shape=SHAPE),
        chunk_layout=at.ChunkLayout(chunk_shape=CHUNK),
    ).result()
    random = np.random.default_rng(seed)
    pixels = random.integers(0, BRIGHT, SHAPE, dtype="uint8")
    places = random.choice(SHAPE[0] // 16 * (SHAPE[1] // 16), 100, replace=False)
    for y, x in zip(*np.divmod(places, SHAPE[1] // 16), strict=True):
        pixels[y * 16 + 4 : y * 16 + 12, x * 16 + 4 : x * 16 + 12] = 255
    image.write(pixels).result()
    return image


def segmented(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What a task does: reads the chunks that its rows refer to, and makes blocks of the mask."""
    for batch in batches:
        found = [Block("mask", each.box, each.values > BRIGHT) for each in read_blocks(batch)]
        yield blocks_to_batch(found, DIMS)


def segment(spark: SparkSession, repo: at.Repository) -> DataFrame:
    """Writes the mask of the image in one commit; gives how many pixels of cells each row has."""
    base = repo.kvstore().spec().to_json()["base"]
    image = {"driver": "zarr3", "kvstore": {"driver": "repo", "base": base, "path": "image/"}}
    mask = {
        "driver": "zarr3",
        "kvstore": {"driver": "repo", "base": base, "path": "mask/"},
        "create": True,
        "schema": {
            "dtype": "bool",
            "domain": {"labels": DIMS, "shape": SHAPE},
            # Other chunks than those of the image: tasks share them, and lose nothing.
            "chunk_layout": {"write_chunk": {"shape": [200, 200]}},
        },
    }
    chunks = spark.read.format("asynctensor").load(json.dumps(image))
    blocks = chunks.mapInArrow(segmented, block_schema(DIMS))
    job = blocks.write.format("asynctensor").mode("append").option("message", "cells")
    job.option("arrays", json.dumps({"mask": mask})).save()
    del mask["create"]
    pixels = spark.read.format("asynctensor").option("rows", "pixels").load(json.dumps(mask))
    return pixels.where("value").groupBy("y").count()


def main() -> None:
    """Records an image, segments it, and says what was found."""
    # Else Spark's workers take whatever Python is first on the PATH.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = SparkSession.builder.master("local[2]").getOrCreate()
    register(spark)
    with tempfile.TemporaryDirectory() as folder:
        repo = at.Repository.open(Path(folder), create=True).result()
        record(repo)
        counts = segment(spark, repo)
        print(f"{counts.agg({'count': 'sum'}).first()[0]} pixels of cells")
        print(f"in commit {repo.refresh().result()}")
    spark.stop()


if __name__ == "__main__":
    main()
