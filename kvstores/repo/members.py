"""The members of a ``repo`` spec: which state of the repository. In URLs, the first component.

::

    file:///data/lab/|repo:main/image/       the branch main
    file:///data/lab/|repo:@v1/image/        the tag v1, or the state after a commit by its id
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from asynctensor.errors import InvalidArgument, Unimplemented
from asynctensor.kvstores.repo.description import MAIN
from asynctensor.kvstores.repo.objects import quoted
from asynctensor.kvstores.repo.snapshot_id import is_snapshot_id, parse_snapshot_id
from asynctensor.pipeline_url import UrlComponent
from asynctensor.schema.contradiction import contradiction
from asynctensor.schema.json_value import expected, in_member, string

_STATES = ("as_of", "branch", "snapshot", "tag")


def check_members(options: dict[str, Any], form: object) -> dict[str, Any]:
    """The members of a spec, checked: at most one state; none means the branch ``main``.

    Raises:
        InvalidArgument: One is wrong, or there are several.
    """
    del form
    given = [name for name in _STATES if name in options]
    if len(given) > 1:
        raise contradiction(
            f"{' and '.join(map(repr, given))} name several states of the repository; give one",
            given[1],
            given[0],
        )
    for name in given:
        with in_member(name):
            text = string(options[name])
            if name in ("branch", "tag"):
                quoted(text)
            elif name == "snapshot":
                parse_snapshot_id(text)
            else:
                parse_time(text)
    return options if given else {**options, "branch": MAIN}


def parse_time(text: str) -> int:
    """A time of RFC 3339 (``2026-03-01T12:00:00Z``; without an offset UTC) in microseconds.

    Raises:
        InvalidArgument: It is none.
    """
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise expected('a time such as "2026-03-01T12:00:00Z"', text) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=dt.UTC)
    since = found - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return since // dt.timedelta(microseconds=1)


def read_url(component: UrlComponent) -> tuple[dict[str, Any], str]:
    """Members and path that a component of a URL stands for.

    Raises:
        InvalidArgument: It names no state.
    """
    if component.query is not None:
        raise InvalidArgument("Query string not supported")
    first, _, rest = component.path.partition("/")
    name = UrlComponent(component.scheme, first, is_root=False).decoded_path()
    path = UrlComponent(component.scheme, rest, is_root=False).decoded_path()
    sign, text = ("@", name[1:]) if name.startswith("@") else ("", name)
    if sign:
        member = "snapshot" if is_snapshot_id(text) else "tag"
    else:
        member, text = "branch", text or MAIN
    if member != "snapshot":
        quoted(text)
    return {member: text}, path


def write_url(options: Mapping[str, Any], path: str) -> str:
    """The component of a URL for members and path.

    Raises:
        Unimplemented: There is none for a state as of some time.
    """
    for name, sign in (("branch", ""), ("tag", "@"), ("snapshot", "@")):
        if name in options:
            return f"repo:{sign}{quote(str(options[name]), safe='')}/{quote(path, safe='/')}"
    raise Unimplemented("a state as of some time has no URL; use its JSON")
