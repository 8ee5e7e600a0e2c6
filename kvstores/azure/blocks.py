"""Large blobs in blocks, sent beside each other and made a blob by one last request.

Source: "Put Block" and "Put Block List" in Microsoft's reference of the Storage Services REST API.
Until the last request nothing is to be seen. Blocks that never become part of a blob cannot be
deleted: Azure drops them after a week, or when somebody else writes the blob.
"""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asynctensor.kvstores._http.checksums import md5_of
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores._http.side_by_side import side_by_side
from asynctensor.kvstores.azure.asking import AzureAsker
from asynctensor.kvstores.azure.errors import read_problem
from asynctensor.runtime.entropy import random_bytes

#: Blocks that a blob may have.
_MOST_BLOCKS: Final = 50_000
#: Bytes of an identifier; all of one blob are equally long.
_ID_BYTES: Final = 24


class OtherBlocks(Exception):
    """Somebody has begun to send the blob in blocks that are named in another way."""


@dataclass(frozen=True, slots=True)
class Uploads:
    """How large blobs are sent.

    Attributes:
        whole: Bytes of the largest that is put in one request: below it, blocks take longer, since
            they need one request more.
        block: Bytes of a block, unless there would be more than 50,000 of them. One that fails is
            sent again by itself.
        beside: Blocks under way at once: enough to fill a line, few enough to be hashed in time.
    """

    whole: int = 64 << 20
    block: int = 16 << 20
    beside: int = 8


async def send_blocks(
    asker: AzureAsker, key: str, body: memoryview, uploads: Uploads
) -> Sequence[str]:
    """Sends a blob in blocks.

    Args:
        asker: Where to.
        key: Of the blob.
        body: All of it.
        uploads: How it is sent.

    Returns:
        The identifiers of the blocks, in order.

    Raises:
        OtherBlocks: It cannot be sent in blocks now.
    """
    size = max(uploads.block, math.ceil(len(body) / _MOST_BLOCKS))
    # Others that write the same blob use other names.
    token = random_bytes(_ID_BYTES - 4)
    starts = range(0, len(body), size)
    names = [
        base64.b64encode(token + number.to_bytes(4, "big")).decode()
        for number in range(len(starts))
    ]
    turn = asyncio.Semaphore(uploads.beside)

    async def send(name: str, piece: memoryview) -> None:
        async with turn:
            answer = await asker.ask(
                "PUT",
                key,
                query=(("comp", "block"), ("blockid", name)),
                fields=(
                    ("Content-Type", "application/octet-stream"),
                    ("Content-MD5", await md5_of(piece)),
                ),
                body=piece,
                weight=len(piece),
            )
        if answer.status == 201:
            return
        if read_problem(answer).code == "InvalidBlobOrBlock":
            raise OtherBlocks
        raise asker.refused("PUT", key, answer)

    await side_by_side(
        [send(name, body[start : start + size]) for name, start in zip(names, starts, strict=True)]
    )
    return names


async def commit_blocks(
    asker: AzureAsker, key: str, names: Sequence[str], fields: Pairs
) -> Response:
    """Makes blocks a blob: from then on it is there.

    Args:
        asker: Where to.
        key: Of the blob.
        names: The identifiers of its blocks, in order.
        fields: The condition, and what is said of the blob.

    Raises:
        OutcomeUnknown: As `Exchange.send` does.
    """
    # The latest: where an answer was lost, they may be part of the blob already.
    items = "".join([f"<Latest>{name}</Latest>" for name in names])
    body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{items}</BlockList>'.encode()
    return await asker.ask(
        "PUT",
        key,
        query=(("comp", "blocklist"),),
        fields=(
            ("Content-Type", "application/xml"),
            ("Content-MD5", await md5_of(body)),
            ("x-ms-blob-content-type", "application/octet-stream"),
            *fields,
        ),
        body=body,
        idempotent=False,
    )
