"""Signatures in the query of URLs: asked with, and in no error nor text."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import Error

SIGNATURE = "sig=hidden"


async def said(awaitable: Any) -> str:
    """All that an error says."""
    with pytest.raises(Error) as caught:
        await awaitable
    error, texts = caught.value, []
    while error is not None:
        where = [getattr(error, name, "") for name in ("key", "store", "array")]
        texts += [repr(error), str(error), *map(str, where)]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


async def test_errors_and_texts_do_not_show_them(caddy) -> None:
    folder = await ts.KvStore.open({"driver": "file", "path": f"{caddy.folder}/"})
    data = np.arange(16, dtype="uint8").reshape(4, 4)
    layout = ts.ChunkLayout(chunk_shape=[2, 2])
    spec = {"driver": "zarr3", "kvstore": folder / "a/"}
    await (
        await ts.open(spec, create=True, dtype="uint8", shape=[4, 4], chunk_layout=layout)
    ).write(data)
    await folder.write("a/c/0/0", b"damaged")
    await folder.write("b/zarr.json", b"{")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("x", b"value")
    await folder.write("whole.zip", packed.getvalue())
    await folder.write("cut.zip", packed.getvalue()[:-10])

    root = f"{caddy.url.rstrip('/')}"
    signed = f"?{SIGNATURE}"
    array = await ts.open(f"{root}/a/{signed}|zarr3:")
    assert (await array[2:].read() == data[2:]).all()
    texts = [
        await said(array.read()),
        await said(array.read(timeout=0)),
        await said(array.write(0)),
        await said(ts.open(f"{root}/b/{signed}|zarr3:")),
        await said(ts.open(f"{root}/none/{signed}|zarr3:")),
        await said(ts.open(f"{root}/none/{signed}|auto:")),
        await said(ts.open_group(f"{root}/none/{signed}")),
    ]
    texts += [repr(array), repr(array.kvstore), repr(array.spec())]
    texts += [str(await array.explain()), repr(await array.summary())]
    store = await ts.KvStore.open(f"{root}/{signed}")
    texts += [await said(store.read("k", timeout=0)), await said(store.write("k", b"1"))]
    texts += [repr(store), str(store)]
    whole = await ts.KvStore.open(f"{root}/whole.zip{signed}|zip:")
    assert (await whole.read("x")).value == b"value"
    cut = await ts.KvStore.open(f"{root}/cut.zip{signed}|zip:")
    texts += [repr(whole), await said(whole.write("y", b"")), await said(cut.read("x"))]
    shown = [text for text in texts if SIGNATURE in text]
    assert shown == []
    # Who asks for it is told.
    assert SIGNATURE in store.url
    assert SIGNATURE in str(store.spec().to_json())
