"""What a script of one run says of itself."""

from collections.abc import Sequence
from pathlib import Path

from rlmaster.experiment_script import ScriptDescription, Source, describe_grid


def describe_script(path: Path, overrides: Sequence[str] = (), name: str = "") -> ScriptDescription:
    return describe_grid(Source(path, name), overrides)[0]
