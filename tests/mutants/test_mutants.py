"""Each patch fits the tree and names a test that is there; the runner tells life from death."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.laboratory import Laboratory, Verdict
from tests.mutants.mutant import FOLDER, ROOT, Hunk, Mutant, Stale, every, load

PATCHES = sorted(FOLDER.glob("*.patch"))


@pytest.mark.parametrize("path", PATCHES, ids=lambda path: path.stem)
def test_each_patch_fits(path: Path) -> None:
    """Else make it anew: change the file, take ``git diff``, and keep the two headers."""
    mutant = load(path)
    texts = mutant.applied(ROOT)
    assert all(file.read_text(encoding="utf-8") != text for file, text in texts.items())
    for file, text in texts.items():
        compile(text, str(file), "exec")


@pytest.mark.parametrize("path", PATCHES, ids=lambda path: path.stem)
def test_each_names_a_test_that_is_there(path: Path) -> None:
    file, *names = load(path).test.split("::")
    text = (ROOT / file).read_text(encoding="utf-8")
    for name in names:
        assert f"{name.partition('[')[0]}(" in text


def test_names_are_those_of_the_files() -> None:
    assert [mutant.name for mutant in every()] == [path.stem for path in PATCHES]
    assert len(PATCHES) > 20


def test_hunks_are_found_where_their_lines_are() -> None:
    hunk = Hunk(2, ("b", "c"), ("B",))
    assert hunk.applied(["x", "y", "z", "a", "b", "c"]) == ["x", "y", "z", "a", "B"]
    twice = ["b", "c", "-", "-", "-", "b", "c"]
    assert hunk.applied(twice) == ["B", "-", "-", "-", "b", "c"]
    assert Hunk(5, ("b", "c"), ("B",)).applied(twice) == ["b", "c", "-", "-", "-", "B"]
    with pytest.raises(Stale, match="not there"):
        hunk.applied(["b", "-", "c"])


@pytest.mark.parametrize(
    "text",
    [
        "What: x\n\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n",
        "What: x\nTest: t\n",
        "What: x\nTest: t\n\n--- a/f\n+++ b/g\n@@ -1 +1 @@\n-a\n+b\n",
        "What: x\nTest: t\n\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n?a\n",
    ],
)
def test_what_is_no_patch_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.patch").write_text(text)
    with pytest.raises(ValueError, match=r"bad\.patch"):
        load(tmp_path / "bad.patch")


def test_the_laboratory_tells_life_from_death(monkeypatch) -> None:
    """With one module and two tests: one that looks and one that does not."""
    # Plugins take a second to start.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    hunk = Hunk(1, ("def value():", "    return 1"), ("def value():", "    return 2"))
    changes = {"tests/seven.py": (hunk,)}
    laboratory = Laboratory()
    with laboratory._temporary:
        (laboratory.root / "tests").mkdir(parents=True)
        module = laboratory.root / "tests" / "seven.py"
        module.write_text("def value():\n    return 1\n")
        test = laboratory.root / "test_it.py"
        test.write_text(
            "from tests.seven import value\n"
            "def test_looks(): assert value() == 1\n"
            "def test_does_not(): value()\n"
        )
        verdicts = [
            laboratory.tried(Mutant("m", "", f"test_it.py::{name}", changes)).verdict
            for name in ("test_looks", "test_does_not")
        ]
        assert verdicts == [Verdict.KILLED, Verdict.SURVIVED]
        stale = Mutant("m", "", "test_it.py", {"tests/eight.py": (hunk,)})
        assert laboratory.tried(stale).verdict is Verdict.BROKEN
        assert module.read_text() == "def value():\n    return 1\n"
        with pytest.raises(RuntimeError, match="would not be tried"):
            laboratory.check()
        test.write_text("def test_sick(): assert False\n")
        assert "1 failed" in laboratory.healthy(["test_it.py"])
