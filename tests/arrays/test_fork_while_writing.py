"""A child forked while its parent writes does not wait for what the parent is doing."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback

import asynctensor as ts

#: Seconds; a few hundredths of one is usual.
PATIENCE = 50


def test_a_child_writes_the_chunk_that_its_parent_is_writing() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = ts.open(
            {"driver": "zarr3", "kvstore": {"driver": "file", "path": folder + "/"}},
            create=True,
            dtype="int32",
            shape=[100],
            chunk_layout=ts.ChunkLayout(chunk_shape=[100]),
        ).result()
        for _ in range(3):
            going = [store[k].write(k) for k in range(50)]
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    # It waits for the parent's replacements, and those for the disk.
                    store[70].write(70).result(timeout=PATIENCE)
                    status = 0 if store[70].read().result(timeout=PATIENCE) == 70 else 2
                except BaseException:
                    traceback.print_exc()
                finally:
                    sys.stderr.flush()
                    os._exit(status)
            for write in going:
                write.result()
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
        assert store[:51].read().result().tolist()[:50] == list(range(50))
        assert store[70].read().result() == 70
