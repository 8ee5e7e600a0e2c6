r"""Deletes of many blobs in one request.

Source: "Blob Batch" in Microsoft's reference of the Storage Services REST API, and RFC 2046::

    body = *( "--" boundary CRLF
              "Content-Type: application/http" CRLF "Content-Transfer-Encoding: binary" CRLF
              "Content-ID: " number CRLF CRLF
              "DELETE " target " HTTP/1.1" CRLF *( field CRLF ) CRLF )
           "--" boundary "--" CRLF

Each request in it says for itself who asks. What the answer does not say to be done is asked for
again, one by one: that gives errors their names, and serves where there are no batches.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.side_by_side import side_by_side
from asynctensor.kvstores.azure.asking import AzureAsker
from asynctensor.kvstores.azure.writing import AzureWriter
from asynctensor.runtime.entropy import random_hex

#: Requests in a batch (Azure's limit).
MOST_IN_BATCH: Final = 256
#: Deletes under way at once, where there are no batches.
_BESIDE: Final = 16
#: A part of an answer, up to its status.
_PART: Final = re.compile(rb"^Content-ID: *(\d{1,3})\r?\n(?:[^\r\n]+\r?\n)*\r?\nHTTP/1\.1 (\d{3})",
                          re.MULTILINE | re.IGNORECASE)  # fmt: skip
#: Deleted, or not there.
_DONE: Final = frozenset({202, 404})


async def delete_batch(asker: AzureAsker, writer: AzureWriter, keys: Sequence[str]) -> None:
    """Deletes up to `MOST_IN_BATCH` blobs, those that there are.

    Raises:
        Error: Some could not be deleted.
    """
    left = keys
    if len(keys) > 1:
        left = await _asked_together(asker, keys)
    turn = asyncio.Semaphore(_BESIDE)

    async def delete(key: str) -> None:
        async with turn:
            await writer.delete_anyhow(key)

    await side_by_side([delete(key) for key in left])


async def _asked_together(asker: AzureAsker, keys: Sequence[str]) -> Sequence[str]:
    """Asks for all; gives those that are left."""
    boundary = f"batch_{random_hex(16)}"
    requests = [Request("DELETE", asker.address.url(key)) for key in keys]
    parts = [_part(boundary, n, await asker.signed(r)) for n, r in enumerate(requests)]
    answer = await asker.ask(
        "POST",
        None,
        query=(("comp", "batch"),),
        fields=(("Content-Type", f"multipart/mixed; boundary={boundary}"),),
        body=f"{''.join(parts)}--{boundary}--\r\n".encode("ascii"),
    )
    done = _done(answer)
    return [key for number, key in enumerate(keys) if number not in done]


def _part(boundary: str, number: int, request: Request) -> str:
    target = request.url.partition("://")[2].partition("/")[2]
    fields = "".join([f"{name}: {value}\r\n" for name, value in request.headers])
    return (
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: {number}\r\n\r\n"
        f"DELETE /{target} HTTP/1.1\r\n{fields}Content-Length: 0\r\n\r\n"
    )


def _done(answer: Response) -> set[int]:
    if answer.status not in (200, 202):
        return set()
    found = _PART.findall(bytes(answer.body))
    return {int(number) for number, status in found if int(status) in _DONE}
