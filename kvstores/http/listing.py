"""Indexes of folders as JSON, as nginx (``autoindex_format json``) and Caddy (``browse``) write.

Grammar of an index: an array of objects, of which these members are read::

    nginx: {"name", "type": "file" | "directory" | "other", "mtime": HTTP date, "size"}
    Caddy: {"name" (of a folder with "/"), "is_dir", "mod_time": RFC 3339, "size"}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from asynctensor.errors import DataLoss, Unimplemented
from asynctensor.kvstores._http.encodings import decoded_body
from asynctensor.kvstores._http.errors import plain_problem, refusal
from asynctensor.kvstores._http.message import Request
from asynctensor.kvstores._http.pages import read_document
from asynctensor.kvstores.http.asking import MISSING, Asker
from asynctensor.kvstores.http.reading import freshness
from asynctensor.storage.kvstore import DEFAULT_READ, Buffer

#: Bytes of the index of a folder: some 600,000 names.
_MOST_INDEX = 1 << 26


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One line of an index.

    Attributes:
        name: Its name; that of a folder ends in ``/``.
        size: Bytes; -1 where the server does not tell, and of folders.
        time: When it was written (Unix seconds), if the server tells.
    """

    name: str
    size: int = -1
    time: float | None = None


async def read_index(asker: Asker, url: str) -> list[IndexEntry]:
    """The index of a folder; empty if there is no folder.

    Raises:
        Unimplemented: The server gives none as JSON.
    """
    fields = (("Accept", "application/json"), *freshness(DEFAULT_READ))
    answer = await asker.ask("GET", url, fields)
    if answer.status in MISSING:
        return []
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.status == 403 or (answer.status == 200 and kind != "application/json"):
        raise Unimplemented(
            "the server gives no index of this folder as JSON, which is how folders are listed "
            "over HTTP"
        )
    if answer.status != 200:
        raise refusal(Request("GET", url), answer, plain_problem(answer))
    return await read_document(parse_index, await decoded_body(answer, _MOST_INDEX))


def parse_index(body: Buffer) -> list[IndexEntry]:
    """The entries of an index, in the order of the keys below them.

    Raises:
        DataLoss: It is none.
    """
    try:
        lines = json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise DataLoss(f"the index is no JSON: {error}") from error
    if not isinstance(lines, list):
        raise DataLoss(f"the index is no array, but {type(lines).__name__}")
    found = {entry.name: entry for entry in map(_entry, lines) if entry is not None}
    return [found[name] for name in sorted(found)]


def _entry(line: Any) -> IndexEntry | None:
    name = line.get("name") if isinstance(line, dict) else None
    if not isinstance(name, str):
        raise DataLoss("a line of the index has no name")
    is_folder = line.get("is_dir") is True or line.get("type") == "directory" or name[-1:] == "/"
    name = name.removesuffix("/")
    if name in ("", ".", "..") or "/" in name:
        raise DataLoss(f"{name!r} is no name of something in a folder")
    if not is_folder and line.get("type", "file") != "file":
        return None
    if is_folder:
        return IndexEntry(f"{name}/")
    size = line.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        size = -1
    return IndexEntry(name, size, _time(line))


def _time(line: dict[str, Any]) -> float | None:
    try:
        if isinstance(text := line.get("mod_time"), str):
            return datetime.fromisoformat(text).timestamp()
        if isinstance(text := line.get("mtime"), str):
            return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        pass
    return None
