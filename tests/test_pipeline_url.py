"""URLs: what is a pipeline, and what its paths decode to."""

from __future__ import annotations

import pickle

import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.errors import InvalidArgument
from asynctensor.pipeline_url import (
    UrlComponent,
    format_component,
    looks_like_url,
    parse_pipeline,
    shown_url,
)


def test_a_pipeline_is_split_into_components() -> None:
    assert parse_pipeline("file:///tmp/a%20b/|ZIP:x|zarr3") == (
        UrlComponent("file", "/tmp/a%20b/", is_root=True),
        UrlComponent("zip", "x", is_root=False),
        UrlComponent("zarr3", "", is_root=False),
    )


@given(st.text())
@settings(deadline=None)
def test_every_path_survives_a_url(path: str) -> None:
    url = format_component("memory", path, is_root=True)
    (component,) = parse_pipeline(url)
    assert component.decoded_path() == path
    assert pickle.loads(pickle.dumps(component)) == component


@given(st.text(st.characters(max_codepoint=0x2FF, exclude_categories=["Cs"]), max_size=8))
@settings(deadline=None)
def test_escapes_are_tensorstores(path: str) -> None:
    theirs = ts.KvStore.Spec({"driver": "memory", "path": path}).url
    assert format_component("memory", path, is_root=True) == theirs


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "URL must be non-empty"),
        ("zarr3:", "not valid as the first URL pipeline component"),
        ("/tmp/x", 'unsupported URL scheme: "/tmp/x"'),
        ("memory://x|", 'unsupported URL scheme: ""'),
        ("memory://a|zarr3:b?c", "Query string not supported; write %3F"),
        ("memory://a|zarr3:b#c", "Fragment identifier not supported; write %23"),
        ("memory://a|memory://b", '"memory://b" is only valid as the first'),
        ("file:/tmp/x", "not valid as the first"),
    ],
)
def test_what_is_no_pipeline_is_refused(url: str, text: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        parse_pipeline(url)
    assert text in str(error.value)


@pytest.mark.parametrize("path", ["%", "%2", "%zz", "%ff"])
def test_wrong_escapes_are_refused(path: str) -> None:
    with pytest.raises(InvalidArgument, match="URL component"):
        UrlComponent("memory", path, is_root=True).decoded_path()


def test_paths_are_told_from_urls() -> None:
    assert looks_like_url("file:///x")
    assert looks_like_url("s3+x://bucket")
    assert not looks_like_url("/a://b")
    assert not looks_like_url("C:\\data")


def test_a_query_is_part_of_the_root_alone() -> None:
    root, container = parse_pipeline("http://h:8/a%2Fb?x=%20&y|zip:c")
    assert (root.path, root.query, root.is_root) == ("h:8/a%2Fb", "x=%20&y", True)
    assert (container.path, container.query) == ("c", None)


def test_what_may_be_secret_in_a_url_is_not_shown() -> None:
    for url in (
        "https://h/a?sig=SECRET",
        "http://u:SECRET@h/a",
        "http://u:SECRET@h?x=SECRET|zip:a",
        # Refused, and quoted.
        "htps://u:SECRET@h?x=SECRET",
        "s3://bucket/a?sig=SECRET",
    ):
        assert "SECRET" not in shown_url(url)
        assert "SECRET" not in str(parse_pipeline(url)[0])
        with pytest.raises(InvalidArgument) as error:
            parse_pipeline(url + "#SECRET")
        assert "SECRET" not in str(error.value).replace("#SECRET", "")
