"""Reading an experiment script without trusting it: in a child process, bounded.

Scripts are the user's code. Whatever one does when it is read (print, hang, exit, import torch)
happens in the child; the process that asked only sees a description, or one sentence that says what
is wrong.
"""

import ast
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from rlmaster.durable_files import JsonObject, read_json, write_json
from rlmaster.errors import Problem, ScriptError, SpecificationError
from rlmaster.experiment import Experiment
from rlmaster.specification import Part, differing_fields

DEADLINE_S = 60.0
"""Importing torch on a busy machine takes a few seconds; nothing honest takes a minute."""
CHILD = "rlmaster.script_child"
REQUEST, ANSWER, OUTPUT = "request.json", "answer.json", "output.txt"
"""Files that a child reads and writes."""


@dataclass(frozen=True)
class ScriptDescription:
    """What a script says it would run."""

    file: str
    """Absolute path of the script."""
    description: str
    """The script's docstring."""
    experiment: JsonObject
    """The resolved experiment, overrides applied, as JSON data."""
    digest: str
    """SHA-256 of its scientific fields."""
    differs_from_default: list[str] = field(default_factory=list[str])
    """Dotted paths of the fields that were chosen."""

    @property
    def title(self) -> str:
        """The first line of the docstring, or the experiment's name."""
        return self.description.strip().partition("\n")[0] or str(self.experiment["name"])


@dataclass(frozen=True)
class Source:
    """Where an experiment is read from."""

    path: Path
    """A script, or the config.json of an earlier run."""
    name: str = ""
    """The variable that holds it; empty for the one called `experiment`, or the only one."""
    code_paths: Sequence[Path] = ()
    """Where an earlier run's code lies, for specifications that its script defined."""


def describe_script(
    path: Path, overrides: Sequence[str] = (), name: str | None = None
) -> ScriptDescription:
    """Read a script's experiment in a child process.

    Args:
        path: The script.
        overrides: `field=value` assignments, typed by the field; of a comma list the first counts.
        name: The variable that holds the experiment; if None, the one called `experiment`, or the
            only one there is.

    Raises:
        ScriptError: If the script cannot be read, or holds no such experiment.
        SpecificationError: If its fields or the overrides do not hold.
    """
    return describe_grid(Source(path, name or ""), overrides)[0]


def describe_grid(source: Source, overrides: Sequence[str]) -> list[ScriptDescription]:
    """Read an experiment in a child process: one description for each run that is asked for.

    Args:
        source: Where the experiment is.
        overrides: `field=value` assignments, typed by the field; comma lists make a grid.

    Raises:
        ScriptError: If it cannot be read.
        SpecificationError: If its fields, or any of the overrides, do not hold.
    """
    with Reading(source, overrides) as reading:
        return [ScriptDescription(**point) for point in reading.answer()["points"]]


def describe_form(source: Source, overrides: Sequence[str]) -> JsonObject:
    """Read an experiment in a child process, with all that a form shows of it.

    Args:
        source: Where the experiment is.
        overrides: As for a grid.

    Returns:
        `description`, `fields` (as `FormField`), `problems` of the overrides, `number_of_runs`, and
        `read_files`, the sources that it depends on.

    Raises:
        ScriptError: If it cannot be read.
        SpecificationError: If its fields do not hold even without the overrides.
    """
    with Reading(source, overrides, is_form=True) as reading:
        return reading.answer()


class Reading:
    """A child process that reads one experiment; it ends with its children at the deadline.

    Several may go on side by side, since nothing is waited for before the answer is asked for.
    """

    def __init__(self, source: Source, overrides: Sequence[str], *, is_form: bool = False) -> None:
        """Start it.

        Raises:
            ScriptError: If the script cannot be read as text, or is no Python.
        """
        self.source = source
        if source.path.suffix != ".json":
            _check_syntax(source.path)
        self._deadline = time.monotonic() + DEADLINE_S
        self._folder = tempfile.TemporaryDirectory(prefix="rlmaster-")
        request = {"path": str(source.path), "name": source.name}
        write_json(self._file(REQUEST), {**request, "overrides": [*overrides], "is_form": is_form})
        # What it prints goes to a file: a pipe would stay open with what the script leaves.
        with self._file(OUTPUT).open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", CHILD, self._folder.name],
                env={**os.environ, "PYTHONPATH": _import_path(source)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._folder.cleanup()

    def is_over(self) -> bool:
        """Tell whether there is an answer, or will be none."""
        return self._process.poll() is not None or time.monotonic() > self._deadline

    def answer(self) -> JsonObject:
        """Wait for the answer.

        Raises:
            ScriptError: If it cannot be read.
            SpecificationError: If its fields, or the overrides, do not hold.
        """
        name = self.source.path.name
        try:
            self._process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise ScriptError(
                f"{name} was still busy after {DEADLINE_S:.0f} s; a script should only build "
                'its experiment, and do work under `if __name__ == "__main__":`'
            ) from None
        answer = read_json(self._file(ANSWER))
        if answer is None:
            raise ScriptError(f"{name} ended by itself while it was read{self._last_words()}")
        if "error" in answer:
            raise ScriptError(f"{name}: {answer['error']}")
        if "problems" in answer and len(answer) == 1:
            raise SpecificationError([Problem(**problem) for problem in answer["problems"]])
        return answer

    def _file(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def _last_words(self) -> str:
        lines = self._file(OUTPUT).read_text(errors="replace").strip().splitlines()
        return f"; its last words: {lines[-1][:200]}" if lines else ""


def _import_path(source: Source) -> str:
    """Return where the child finds modules: our own package first, for a snapshot holds one too."""
    return os.pathsep.join([*filter(None, sys.path), *map(str, source.code_paths)])


def describe_experiment(
    experiment: Experiment, *, file: str = "", description: str = ""
) -> ScriptDescription:
    """Return the description of an experiment that is already here, as in a notebook.

    Raises:
        SpecificationError: If a part of it is of a class that a run could not import.
    """
    _check_parts_can_be_found(experiment)
    data = experiment.to_data()
    chosen = differing_fields(data, experiment.defaults())
    return ScriptDescription(file, description, data, experiment.digest(), chosen)


def _check_parts_can_be_found(experiment: Experiment) -> None:
    problems: list[Problem] = []
    for name in type(experiment).model_fields:
        part: object = getattr(experiment, name)
        if not isinstance(part, Part):
            continue
        kind = type(part)
        if kind.__module__ == "__main__" or "<locals>" in kind.__qualname__:
            problems.append(
                Problem(
                    name,
                    f"{kind.__qualname__} is defined in {kind.__module__}, where no run can find "
                    "it; define it at the top level of a file beside the experiment script (of a "
                    "notebook: in the project's folder) and import it from there",
                )
            )
    if problems:
        raise SpecificationError(problems)


def _check_syntax(path: Path) -> None:
    try:
        ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise ScriptError(
            f"{path.name}, line {error.lineno}: {error.msg}{f' in `{line}`' if line else ''}"
        ) from None
    except (OSError, ValueError) as error:
        raise ScriptError(f"{path} cannot be read ({error})") from error
