"""The names of the objects that a repository consists of, and their short forms inside bodies.

::

    repo.json
    log/<branch>/<slot>                                  slot: 16 hex digits of 2**63 - 1 - seq
    ckpt/<branch>/<slot>
    hint/<branch>
    idx/<random>                                         random: 16 hex digits
    data/<hh>/<yyyymmdd>/<txn>/<i>-<random>              random: 12 hex digits, hh: their first two
    part/<branch>/<txn>/<random>
    intent/<branch>/<txn>
    ref/b/<name>/<k>   ref/t/<name>/<k>                  name: quoted
    lease/<random>/<k>

A branch id is 12 hex digits, a transaction id (txn) 16 random bytes, in names 32 hex digits.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal
from urllib.parse import quote, unquote

from asynctensor.errors import InvalidArgument

REPOSITORY = "repo.json"
#: Sequence numbers are 0 up to, but without, this.
SEQ_LIMIT = (1 << 63) - 1
#: Random bytes that each name needs.
BRANCH_BYTES = 6
TXN_BYTES = 16
DATA_RANDOM_BYTES = 6
RANDOM_BYTES = 8
#: The longest object name that is believed when it is read.
MAX_NAME = 1024

#: A file system takes names of 255 bytes.
_MAX_QUOTED = 240
_DATA = re.compile(
    r"data/([0-9a-f]{2})/([0-9]{8})/([0-9a-f]{32})/(0|[1-9][0-9]{0,8})-([0-9a-f]{12})"
)
_IDX = re.compile(r"idx/([0-9a-f]{16})")

RefKind = Literal["b", "t"]


def log_prefix(branch: str) -> str:
    """What the names of a branch's log slots begin with; they list newest first."""
    return f"log/{branch}/"


def log_slot(branch: str, seq: int) -> str:
    """The slot of record `seq`."""
    return f"log/{branch}/{_slot(seq)}"


def checkpoint_prefix(branch: str) -> str:
    """What the names of a branch's checkpoints begin with; they list newest first."""
    return f"ckpt/{branch}/"


def checkpoint(branch: str, seq: int) -> str:
    """The checkpoint of the snapshot that record `seq` made."""
    return f"ckpt/{branch}/{_slot(seq)}"


def seq_of(name: str) -> int | None:
    """The sequence number in the name of a slot or a checkpoint; None if it is no such name."""
    kind, _, rest = name.partition("/")
    digits = rest.rpartition("/")[2]
    if kind not in ("log", "ckpt") or not re.fullmatch(r"[0-9a-f]{16}", digits):
        return None
    seq = SEQ_LIMIT - int(digits, 16)
    return seq if 0 <= seq < SEQ_LIMIT else None


def hint(branch: str) -> str:
    """The hint where reading a branch's log may start."""
    return f"hint/{branch}"


def page_pack(random: bytes) -> str:
    """A new pack of index pages; `random` is `RANDOM_BYTES` fresh bytes."""
    return f"idx/{_hex(random, RANDOM_BYTES)}"


def data_pack(txn: bytes, index: int, day: int, random: bytes) -> str:
    """A new pack of values.

    Args:
        txn: The id of the transaction that writes it.
        index: Which of its packs this is, below 10**9.
        day: The day of writing as the decimal number yyyymmdd.
        random: `DATA_RANDOM_BYTES` fresh bytes. Their first also spreads the names.
    """
    digits = _hex(random, DATA_RANDOM_BYTES)
    return f"data/{digits[:2]}/{day:08d}/{_hex(txn, TXN_BYTES)}/{index}-{digits}"


def part_prefix(branch: str, txn: bytes) -> str:
    """What the names of all parts of one transaction begin with."""
    return f"part/{branch}/{_hex(txn, TXN_BYTES)}/"


def part(branch: str, txn: bytes, random: bytes) -> str:
    """A new part; `random` is `RANDOM_BYTES` fresh bytes."""
    return f"{part_prefix(branch, txn)}{_hex(random, RANDOM_BYTES)}"


def intent_prefix(branch: str) -> str:
    """What the names of all intents for a branch begin with."""
    return f"intent/{branch}/"


def intent(branch: str, txn: bytes) -> str:
    """The intent of one transaction."""
    return f"intent/{branch}/{_hex(txn, TXN_BYTES)}"


def refs_prefix(kind: RefKind) -> str:
    """What the names of all entries of branches (``"b"``) or tags (``"t"``) begin with."""
    return f"ref/{kind}/"


def ref_entry(kind: RefKind, name: str, k: int) -> str:
    """Entry `k` in the log of one branch's or tag's name."""
    return f"ref/{kind}/{quoted(name)}/{k}"


def ref_of(entry: str) -> tuple[str, int] | None:
    """The name and number that the name of a ref entry spells; None if it is no such name."""
    parts = entry.split("/")
    if len(parts) != 4 or parts[0] != "ref" or not re.fullmatch("0|[1-9][0-9]{0,8}", parts[3]):
        return None
    try:
        name = unquote(parts[2], errors="strict")
        return (name, int(parts[3])) if quoted(name) == parts[2] else None
    except (UnicodeDecodeError, InvalidArgument):
        return None


def lease(random: str, k: int) -> str:
    """Entry `k` (0: taken, 1: released) of the lease whose id is `random`."""
    return f"lease/{random}/{k}"


def quoted(name: str) -> str:
    """A branch's or tag's `name` as one part of an object name.

    All but lower-case letters, digits, ``-``, ``_`` and inner dots is percent-encoded: two names
    stay two names on a file system that does not tell upper case from lower, and none is a path.

    Raises:
        InvalidArgument: `name` is empty, too long, or no text.
    """
    try:
        text = quote(name.encode(), safe="").replace("~", "%7E")
    except (AttributeError, UnicodeEncodeError) as error:
        raise InvalidArgument(f"{name!r} is no name of a branch or tag: it is no text") from error
    # Letters of percent escapes are upper case themselves, and stand behind a "%".
    text = re.sub(r"%..|[A-Z]", lambda match: _escaped(match[0]), text)
    if text.startswith("."):
        text = "%2E" + text[1:]
    if not 0 < len(text) <= _MAX_QUOTED:
        raise InvalidArgument(
            f"{name!r} is no name of a branch or tag: spelled {text!r}, it must have 1 to "
            f"{_MAX_QUOTED} characters"
        )
    return text


def _escaped(part: str) -> str:
    return part if part[0] == "%" else f"%{ord(part):02X}"


def packed(name: str) -> bytes:
    """The short form of an object name in memory, which sorts and compares by itself.

    ``d`` random(6) yyyymmdd(4, big-endian) txn(16) index(4) for data packs, ``i`` random(8) for
    packs of pages, and ``o`` with the UTF-8 name for anything else.
    """
    if match := _IDX.fullmatch(name):
        return b"i" + bytes.fromhex(match[1])
    if (match := _DATA.fullmatch(name)) and match[1] == match[5][:2]:
        head = bytes.fromhex(match[5]) + int(match[2]).to_bytes(4, "big")
        return b"d" + head + bytes.fromhex(match[3]) + int(match[4]).to_bytes(4, "big")
    try:
        return b"o" + name.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{name!r} is no name of an object: it is no text") from error


@lru_cache(maxsize=1024)
def spelled(short: bytes) -> str:
    """The object name whose short form is `short`."""
    if short[0] == 0x64:
        digits, txn = short[1:7].hex(), short[11:27].hex()
        day = int.from_bytes(short[7:11], "big")
        return f"data/{digits[:2]}/{day:08d}/{txn}/{int.from_bytes(short[27:31], 'big')}-{digits}"
    if short[0] == 0x69:
        return f"idx/{short[1:].hex()}"
    return short[1:].decode()


def _slot(seq: int) -> str:
    if not 0 <= seq < SEQ_LIMIT:
        raise InvalidArgument(f"{seq} is no sequence number: those are 0 to {SEQ_LIMIT - 1}")
    return f"{SEQ_LIMIT - seq:016x}"


def _hex(data: bytes, size: int) -> str:
    if len(data) != size:
        raise InvalidArgument(f"{data.hex()} has {len(data)} bytes, not the {size} of such an id")
    return data.hex()
