"""Spark: arrays as tables; jobs in one commit; tasks that are killed, done twice, given up."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession, types
from pyspark.sql import functions as f

import asynctensor as at
from asynctensor.errors import (
    FailedPrecondition,
    IncompatibleType,
    InvalidArgument,
    Unimplemented,
)
from asynctensor.integrations.spark import (
    Block,
    block_schema,
    blocks_to_batch,
    read_blocks,
    write_array,
)
from asynctensor.integrations.spark.blocks import Blocks, Condition
from asynctensor.integrations.spark.options import Request
from asynctensor.integrations.spark.reader import dimension_names, pixel_schema
from asynctensor.integrations.spark.writer import ArrayWriter, Job
from examples import segment

pytestmark = pytest.mark.filterwarnings("ignore")

SHAPE = (12, 10)


@pytest.fixture
def repo(tmp_path) -> at.Repository:
    return at.Repository.open(tmp_path / "lab", create=True).result()


def made(kvstore: Any, dtype: Any = "int32", shape=SHAPE, **options: Any) -> at.TensorStore:
    domain = at.IndexDomain(labels=["y", "x"], shape=shape)
    layout = at.ChunkLayout(chunk_shape=[4, 3])
    given = {"dtype": dtype, "domain": domain, "chunk_layout": layout, "create": True}
    return at.open({"driver": "zarr3", "kvstore": kvstore}, **{**given, **options}).result()


def values(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 1000, SHAPE, dtype="int32")


def table(spark: SparkSession, url: str | None = None, **options: str) -> DataFrame:
    return spark.read.format("asynctensor").options(**options).load(url)


def image(frame: DataFrame, column: str = "value", shape=SHAPE) -> np.ndarray:
    """The array that a table of pixels is."""
    out = np.full(shape, -1, "int64")
    for row in frame.collect():
        assert out[row.y, row.x] == -1
        out[row.y, row.x] = row[column]
    return out


def pixels(spark: SparkSession, array: np.ndarray, name: str = "value") -> DataFrame:
    rows = [
        (y, x, array[y, x].item()) for y in range(array.shape[0]) for x in range(array.shape[1])
    ]
    return spark.createDataFrame(rows, f"y long, x long, {name} int")


def stored(repo: at.Repository, path: str = "a/") -> np.ndarray:
    """What is in an array of a repository to which Spark has committed, in processes of its own."""
    repo.refresh().result()
    return at.open({"driver": "zarr3", "kvstore": repo.kvstore(path)}).result().read().result()


# -- reading ---------------------------------------------------------------------------------


def test_pixels(spark, tmp_path) -> None:
    array = made(f"file://{tmp_path}/a/")
    array.write(values()).result()
    frame = table(spark, f"file://{tmp_path}/a/|zarr3:", rows="pixels", partition_bytes="100")
    assert frame.columns == ["y", "x", "value"]
    assert frame.rdd.getNumPartitions() == 12 // 4 * 4 // 2
    assert (image(frame) == values()).all()
    assert frame.agg(f.sum("value")).first()[0] == values().sum()


@pytest.mark.parametrize(
    ("condition", "part", "pieces"),
    [
        ("y = 5", np.s_[5:6, :], 4),
        ("y = 5 and x >= 3 and x < 6", np.s_[5:6, 3:6], 1),
        ("y <=> 5", np.s_[5:6, :], 4),
        ("y > 2 and y <= 8", np.s_[3:9, :], 12),
        ("x in (1, 9)", np.s_[:, 1::8], 6),
        ("x in (1, 2) and y < 4", np.s_[:4, 1:3], 1),
        ("y > 20", np.s_[:0, :], 1),
        ("y > 8 and y < 3", np.s_[:0, :], 1),
        ("value > 500 and y < 6", np.s_[:6, :], 8),
        ("y + x = 4", np.s_[:, :], 12),
    ],
)
def test_conditions_on_coordinates(spark, tmp_path, condition, part, pieces) -> None:
    array = made(f"file://{tmp_path}/a/")
    array.write(values()).result()
    frame = table(spark, f"file://{tmp_path}/a/|zarr3:", rows="pixels", partition_bytes="1")
    found = frame.where(condition)
    # One task for each chunk that is read; what was pushed down leaves out the others.
    assert found.rdd.getNumPartitions() == pieces
    y, x = np.indices(SHAPE)
    columns = [each[part].ravel().tolist() for each in (y, x, values())]
    rows = set(zip(*columns, strict=True))
    if "value" in condition:
        rows = {row for row in rows if row[2] > 500}
    elif "+" in condition:
        rows = {row for row in rows if row[0] + row[1] == 4}
    assert sorted(tuple(row) for row in found.collect()) == sorted(rows)


def test_views_are_in_their_own_indices(spark, tmp_path) -> None:
    array = made(f"file://{tmp_path}/a/")
    array.write(values()).result()
    view = array[2:, ::2].translate_to[100, -3]
    frame = table(spark, json.dumps(view.spec().to_json()), rows="pixels")
    rows = {(row.y, row.x): row.value for row in frame.where("y < 103 and x > -2").collect()}
    assert rows == {
        (100 + i, -3 + j): values()[2 + i, 2 * j] for i in range(3) for j in range(2, 5)
    }


def read_again(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for block in read_blocks(batch):
            yield pa.record_batch({"sum": [int(block.values.sum())], "name": [block.array]})


@pytest.mark.parametrize("rows", ["chunks", "blocks"])
def test_chunks_and_blocks(spark, tmp_path, rows) -> None:
    names = {"a": values(1), "b": values(2)}
    for name, each in names.items():
        made(f"file://{tmp_path}/{name}/").write(each).result()
    urls = {name: f"file://{tmp_path}/{name}/|zarr3:" for name in names}
    frame = table(spark, arrays=json.dumps(urls), rows=rows, partition_bytes="200")
    assert frame.rdd.getNumPartitions() == 6
    assert frame.count() == 2 * 12
    sums = frame.mapInArrow(read_again, "sum long, name string").groupBy("name").sum("sum")
    assert {row[0]: row[1] for row in sums.collect()} == {k: v.sum() for k, v in names.items()}
    some = frame.where("start.y < 8 and stop.x > 6 and stop.x <= 9 and array = 'b'").collect()
    assert [(tuple(row.start), tuple(row.stop)) for row in some] == [
        ((0, 6), (4, 9)),
        ((4, 6), (8, 9)),
    ]
    # All of a row is in it: so it is found by whoever knows the format.
    (row, _) = some
    assert (row.array, row.dtype) == ("b", "int32")
    found = (
        np.frombuffer(row.data, "<i4").reshape(4, 3)
        if rows == "blocks"
        else at.open(json.loads(row.reference)).result().read().result()
    )
    assert (found == values(2)[0:4, 6:9]).all()


TYPES = [
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "int4"),
]


def test_every_data_type_there_and_back(spark, repo) -> None:
    arrays, expected = {}, {}
    for name in TYPES:
        element = at.dtype(name).numpy_dtype
        expected[name] = np.array([[0, 1], [3, 7]]).astype(element)
        if name in ("uint32", "uint64", "int64"):
            expected[name][0, 0] = np.iinfo(element).max
        for folder in ("from", "to"):
            layout = at.ChunkLayout(chunk_shape=[2, 1])
            array = made(repo.kvstore(f"{folder}/{name}/"), name, (2, 2), chunk_layout=layout)
            if folder == "from":
                array.write(expected[name]).result()
    where = repo.kvstore().spec().to_json()["base"]
    arrays = {
        folder: json.dumps(
            {
                name: {
                    "driver": "zarr3",
                    "kvstore": {"driver": "repo", "base": where, "path": f"{folder}/{name}/"},
                }
                for name in TYPES
            }
        )
        for folder in ("from", "to")
    }
    frame = table(spark, arrays=arrays["from"], rows="pixels")
    frame.write.format("asynctensor").mode("append").option("arrays", arrays["to"]).save()
    for name in TYPES:
        assert (stored(repo, f"to/{name}/") == expected[name]).all(), name


def test_strings(spark, repo) -> None:
    words = np.array([["a", "b"], ["", "ü"]], object)
    array = made(repo.kvstore("words/"), "ustring", (2, 2))
    array.write(words).result()
    frame = table(spark, repo_url(repo, "words/"), rows="pixels")
    assert {(row.y, row.x): row.value for row in frame.collect()} == {
        (y, x): words[y, x] for y in range(2) for x in range(2)
    }
    with pytest.raises(Exception, match="have no bytes"):
        table(spark, repo_url(repo, "words/"), rows="blocks").collect()


def repo_url(repo: at.Repository, path: str) -> str:
    folder = repo.kvstore().spec().to_json()["base"]
    return f"file://{folder['path']}|repo:|zarr3:{path}"


def test_time_travel(spark, repo) -> None:
    array = made(repo.kvstore("a/"))
    commits = []
    for seed in (1, 2, 3):
        with repo.transaction(message=f"state {seed}") as txn:
            array.with_transaction(txn).write(values(seed)).result()
        commits.append(txn.commit_id)
    repo.create_tag("second", commits[1]).result()
    repo.create_branch("side", commits[0]).result()
    times = {each.id: each.time for each in repo.log()}
    url = repo_url(repo, "a/")
    for options, seed in [
        ({}, 3),
        ({"tag": "second"}, 2),
        ({"branch": "side"}, 1),
        ({"snapshot": commits[0]}, 1),
        ({"as_of": times[commits[1]].isoformat()}, 2),
    ]:
        assert (image(table(spark, url, rows="pixels", **options)) == values(seed)).all()


def test_a_table_is_what_was_there_when_it_was_loaded(spark, repo) -> None:
    first, second = made(repo.kvstore("a/")), made(repo.kvstore("b/"))
    urls = json.dumps({name: repo_url(repo, f"{name}/") for name in "ab"})
    first.write(values()).result()
    frame = table(spark, arrays=urls, rows="pixels")
    first.write(0).result()
    second.write(0).result()
    assert (image(frame, "a") == values()).all()
    assert not image(table(spark, arrays=urls, rows="pixels"), "a").any()


# -- writing ---------------------------------------------------------------------------------


def test_a_job_is_one_commit(spark, repo) -> None:
    made(repo.kvstore("a/"))
    before = len(list(repo.log()))
    frame = pixels(spark, values()).repartition(5)
    writer = frame.write.format("asynctensor").mode("append")
    writer.option("message", "by Spark").option("metadata", '{"run": 7}').save(repo_url(repo, "a/"))
    assert (stored(repo) == values()).all()
    log = list(repo.log())
    assert (len(log), log[0].message, log[0].metadata) == (before + 1, "by Spark", {"run": 7})


def test_overwriting_empties_the_array_and_keeps_its_attributes(spark, repo) -> None:
    array = made(repo.kvstore("a/"))
    array.write(values()).result()
    at.open_attributes(array).result().update({"unit": "nm"}).result()
    frame = spark.createDataFrame([(1, 2, 7)], "y long, x int, value short")
    frame.write.format("asynctensor").mode("overwrite").save(repo_url(repo, "a/"))
    expected = np.zeros(SHAPE, "int32")
    expected[1, 2] = 7
    assert (stored(repo) == expected).all()
    assert dict(at.open_attributes(array).result()) == {"unit": "nm"}


def test_an_array_that_the_job_creates(spark, repo) -> None:
    spec = {
        "driver": "zarr3",
        "kvstore": repo.kvstore("new/").spec().to_json(),
        "create": True,
        "schema": {"dtype": "int32", "domain": {"labels": ["y", "x"], "shape": SHAPE}},
    }
    before = len(list(repo.log()))
    frame = pixels(spark, values())
    frame.write.format("asynctensor").mode("append").save(json.dumps(spec))
    assert (stored(repo, "new/") == values()).all()
    assert len(list(repo.log())) == before + 1


def halved(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        found = [Block("value", each.box, each.values // 2) for each in read_blocks(batch)]
        yield blocks_to_batch(found, ["y", "x"])


def test_blocks_are_written(spark, repo) -> None:
    source, _target = made(repo.kvstore("a/")), made(repo.kvstore("b/"))
    source.write(values()).result()
    frame = table(spark, repo_url(repo, "a/"), partition_bytes="100")
    done = frame.mapInArrow(halved, block_schema(["y", "x"]))
    done.write.format("asynctensor").mode("append").save(repo_url(repo, "b/"))
    assert (stored(repo, "b/") == values() // 2).all()


def test_several_tables_in_a_transaction_of_the_driver(spark, repo) -> None:
    first, second = made(repo.kvstore("a/")), made(repo.kvstore("b/"))
    before = len(list(repo.log()))
    both = pixels(spark, values(1), "a").withColumn("b", f.col("a") * 2).repartition(3)
    with repo.transaction(message="all") as txn:
        one, other = first.with_transaction(txn), second.with_transaction(txn)
        write_array(both.where("x < 5"), {"a": one, "b": other})
        write_array(both.where("x >= 5").select("y", "x", f.col("a").alias("value")), one)
        assert not stored(repo).any()
    assert (stored(repo) == values(1)).all()
    assert (stored(repo, "b/")[:, :5] == 2 * values(1)[:, :5]).all()
    assert len(list(repo.log())) == before + 1


def dies_once(folder: str) -> Any:
    """Kills its process after some rows were handed on, the first time for each task."""

    def mapped(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch
            mark = Path(folder) / str(TaskContext.get().partitionId())
            if not mark.exists():
                mark.touch()
                os._exit(1)

    return mapped


@pytest.mark.parametrize("how", ["format", "write_array"])
def test_tasks_whose_process_is_killed_count_once(spark, repo, tmp_path, how) -> None:
    array = made(repo.kvstore("a/"))
    (tmp_path / "marks").mkdir()
    before = len(list(repo.log()))
    frame = pixels(spark, values()).repartition(4, "y")
    killed = frame.mapInArrow(dies_once(str(tmp_path / "marks")), frame.schema)
    if how == "format":
        killed.write.format("asynctensor").mode("append").save(repo_url(repo, "a/"))
    else:
        with repo.transaction() as txn:
            write_array(killed, array.with_transaction(txn))
    assert list((tmp_path / "marks").iterdir())
    assert (stored(repo) == values()).all()
    assert len(list(repo.log())) == before + 1


def test_a_task_done_twice_counts_once(repo) -> None:
    made(repo.kvstore("a/"))
    y, x = np.indices(SHAPE)
    table = pa.table({"y": y.ravel(), "x": x.ravel(), "value": values().ravel()})
    writer = ArrayWriter(Request.of({"path": repo_url(repo, "a/")}), PIXELS, overwrite=False)
    # As it comes to executors, and back from there.
    far = pickle.loads(pickle.dumps(writer))
    done = [pickle.loads(pickle.dumps(far.write(iter(table.to_batches(50))))) for _ in range(3)]
    pickle.loads(pickle.dumps(writer)).commit([*done, None])
    assert (stored(repo) == values()).all()


def fails(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        if 11 in batch.column("y").to_pylist():
            raise ValueError("this row is bad")


def test_an_aborted_job_leaves_nothing_visible(spark, repo) -> None:
    array = made(repo.kvstore("a/"))
    before = [each.id for each in repo.log()]
    frame = pixels(spark, values()).repartition(4, "y")
    bad = frame.mapInArrow(fails, frame.schema)
    with pytest.raises(Exception, match="this row is bad"):
        bad.write.format("asynctensor").mode("append").save(repo_url(repo, "a/"))
    assert [each.id for each in repo.log()] == before
    assert not stored(repo).any()
    with pytest.raises(Exception, match="this row is bad"), repo.transaction() as txn:
        write_array(bad, array.with_transaction(txn))
    assert txn.aborted
    assert not stored(repo).any()


def test_a_job_with_a_key_is_done_once(spark, repo) -> None:
    made(repo.kvstore("a/"))
    before = len(list(repo.log()))
    for seed in (1, 2):
        writer = pixels(spark, values(seed)).write.format("asynctensor").mode("append")
        writer.option("caller_key", "night 7").save(repo_url(repo, "a/"))
    assert (stored(repo) == values(1)).all()
    assert len(list(repo.log())) == before + 1


def test_the_example(spark, repo) -> None:
    image = segment.record(repo)
    before = len(list(repo.log()))
    counts = segment.segment(spark, repo)
    assert counts.agg(f.sum("count")).first()[0] == 100 * 8 * 8
    mask = stored(repo, "mask/")
    assert (mask == (image.read().result() > segment.BRIGHT)).all()
    assert len(list(repo.log())) == before + 1


# -- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "say which array"),
        ({"path": "memory://|zarr3:", "arrays": "{}"}, "say which array"),
        ({"arrays": "[]"}, 'option "arrays" is a JSON object'),
        ({"arrays": "{}"}, "there is none in it"),
        ({"arrays": "{"}, 'option "arrays" is no JSON'),
        ({"path": "nonsense"}, 'option "path"'),
        ({"path": "memory://|zarr3:", "row": "pixels"}, "unknown options row; known are path"),
        ({"path": "memory://|zarr3:", "rows": "pixel"}, "none of chunks, blocks, pixels"),
        ({"path": "memory://|zarr3:", "partition_bytes": "-1"}, "a number of bytes"),
        ({"path": "memory://|zarr3:", "tag": "a"}, "in no repository, and has no states"),
        ({"path": "memory://|zarr3:", "metadata": "5"}, 'option "metadata" is a JSON object'),
    ],
)
def test_wrong_options(options, match) -> None:
    with pytest.raises(InvalidArgument, match=match):
        Request.of(options)


def test_an_array_is_named_by_its_folder(tmp_path) -> None:
    made(f"file://{tmp_path}/a/")
    (array,) = Request.of({"path": f"{tmp_path}/a"}).open().values()
    assert array.url == f"file://{tmp_path}/a/|zarr3:"


@pytest.mark.parametrize(
    ("schema", "match"),
    [
        ("y long, x long", "rows that are pixels have the columns"),
        ("y long, x long, value int, more int", "rows that are pixels have the columns"),
        ("y double, x long, value int", "column 'y' holds indices"),
        ("y long, x long, value double", r'cast\("int"\)'),
        ("y long, x long, value string", "would lose something as int32"),
        ("start struct<y: long>, stop struct<y: long>, data binary", "is a structure of"),
        ("start long, stop long, data binary", "is a structure of"),
        ("start long, stop long, data binary, more int", "rows that are blocks have the columns"),
    ],
)
def test_tables_that_do_not_fit(spark, repo, schema, match) -> None:
    array = made(repo.kvstore("a/"))
    with repo.transaction() as txn, pytest.raises((InvalidArgument, IncompatibleType), match=match):
        Job.of({"value": array.with_transaction(txn)}, types.StructType.fromDDL(schema))


PIXELS = types.StructType().add("y", "long").add("x", "long").add("value", "integer")


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ({"y": [0], "x": [10], "value": [1]}, "x|10"),
        ({"y": [None], "x": [0], "value": [1]}, "column 'y' has nulls"),
        ({"y": [0], "x": [0], "value": [None]}, "column 'value' has nulls"),
        ({"y": [0], "x": [0], "value": [2**40]}, "column 'value'"),
    ],
)
def test_rows_that_do_not_fit(repo, row, match) -> None:
    array = made(repo.kvstore("a/"))
    with repo.transaction() as txn:
        job = Job.of({"value": array.with_transaction(txn)}, PIXELS)
        table = pa.table({name: pa.array(each, pa.int64()) for name, each in row.items()})
        with pytest.raises(at.Error, match=match):
            job.written(table.to_batches())
        # Nothing of the task is left: it can be done again.
        assert txn.find_receipts().result() == []


def test_blocks_that_do_not_fit(repo) -> None:
    array = made(repo.kvstore("a/"))
    with repo.transaction() as txn:
        job = Job.of({"value": array.with_transaction(txn)}, block_schema(["y", "x"]))
        for block, match in (
            (Block("other", np.s_[0:1, 0:1], values()[:1, :1]), "of array 'other'"),
            (Block("value", np.s_[0:2, 0:1], values()[:1, :1]), "does not have 4 bytes"),
            (Block("value", np.s_[0:-1, 0:1], values()[:1, :1]), "interval"),
            (Block("value", np.s_[12:13, 0:1], values()[:1, :1]), "12"),
        ):
            with pytest.raises(at.Error, match=match):
                job.written([blocks_to_batch([block], ["y", "x"])])


def test_arrays_that_do_not_fit(repo, tmp_path) -> None:
    array, other = made(repo.kvstore("a/")), made(repo.kvstore("b/"), shape=(12, 11))
    with pytest.raises(FailedPrecondition, match="no transaction"):
        Job.of({"value": array}, PIXELS)
    with repo.transaction() as txn, pytest.raises(InvalidArgument, match="the same domain"):
        arrays = {name: each.with_transaction(txn) for name, each in (("a", array), ("b", other))}
        Job.of(arrays, PIXELS)
    plain = made(f"file://{tmp_path}/a/")
    request = Request.of({"path": f"file://{tmp_path}/a/|zarr3:"})
    with pytest.raises(Unimplemented):
        ArrayWriter(request, PIXELS, overwrite=False)
    part = Request.of({"path": json.dumps(array[:4].spec().to_json())})
    with pytest.raises(InvalidArgument, match="is a part of a stored one"):
        ArrayWriter(part, PIXELS, overwrite=True)
    with pytest.raises(IncompatibleType, match="no data type like complex64"):
        pixel_schema(("y", "x"), {"a": made(f"file://{tmp_path}/c/", "complex64")})
    with pytest.raises(InvalidArgument, match="two columns would be called 'Y'"):
        pixel_schema(("y", "x"), {"Y": plain})
    with pytest.raises(InvalidArgument, match="no dimensions"):
        dimension_names({"a": array[0, 0]})
    huge = at.IndexDomain(shape=[2**50])
    with pytest.raises(InvalidArgument, match="more than Spark can be asked to read"):
        Blocks(huge, [1], [0])
    assert Blocks(huge, [1], [0], [Condition(0, "index", "=", (2**40,))]).box(0) == (
        slice(2**40, 2**40 + 1),
    )
