"""Reading an experiment script without trusting it: in a child process, bounded.

Scripts are the user's code. Whatever one does when it is read (print, hang, exit, import torch)
happens in the child; the process that asked only sees a description, or one sentence that says what
is wrong.
"""

import ast
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from rlmaster.durable_files import JsonObject, read_json
from rlmaster.errors import Problem, ScriptError, SpecificationError
from rlmaster.experiment import Experiment
from rlmaster.specification import differing_fields, with_overrides

DEADLINE_S = 60.0
"""Importing torch on a busy machine takes a few seconds; nothing honest takes a minute."""


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


def describe_script(path: Path, overrides: Sequence[str] = ()) -> ScriptDescription:
    """Read a script's experiment in a child process.

    Args:
        path: The script.
        overrides: `field=value` assignments, typed by the field.

    Raises:
        ScriptError: If the script cannot be read, or holds no experiment.
        SpecificationError: If its fields or the overrides do not hold.
    """
    _check_syntax(path)
    with tempfile.TemporaryDirectory(prefix="rlmaster-") as folder:
        answer_file = Path(folder) / "answer.json"
        command = [sys.executable, "-m", __name__, str(path), str(answer_file), *overrides]
        output = _run_bounded(command, path)
        answer = read_json(answer_file)
    if answer is None:
        raise ScriptError(f"{path.name} ended by itself while it was read{_last_line(output)}")
    if "problems" in answer:
        raise SpecificationError([Problem(**problem) for problem in answer["problems"]])
    if "error" in answer:
        raise ScriptError(f"{path.name}: {answer['error']}")
    return ScriptDescription(**answer)


def describe_experiment(
    experiment: Experiment, *, file: str = "", description: str = ""
) -> ScriptDescription:
    """Return the description of an experiment that is already here, as in a notebook."""
    data = experiment.to_data()
    chosen = differing_fields(data, experiment.defaults())
    return ScriptDescription(file, description, data, experiment.digest(), chosen)


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


def _run_bounded(command: Sequence[str], path: Path) -> str:
    """Run the child and return what it printed; it dies with its children at the deadline."""
    import_path = os.pathsep.join(entry for entry in sys.path if entry)
    with tempfile.TemporaryFile() as output:  # a pipe would stay open with what the script leaves
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": import_path},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise ScriptError(
                f"{path.name} was still busy after {DEADLINE_S:.0f} s; a script should only build "
                'its experiment, and do work under `if __name__ == "__main__":`'
            ) from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return output.read().decode(errors="replace")


def _last_line(output: str) -> str:
    lines = output.strip().splitlines()
    return f"; its last words: {lines[-1][:200]}" if lines else ""


# ------------------------------------------------------------------------------------- in the child


def _load(path: Path) -> ModuleType:
    """Import the script under its own name, so that classes it defines can be found again later."""
    sys.path.insert(0, str(path.parent))
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module


def _find_experiment(module: ModuleType) -> Experiment:
    """Take the one called `experiment`, or the only one there is."""
    named = getattr(module, "experiment", None)
    if isinstance(named, Experiment):
        return named
    found = {name: value for name, value in vars(module).items() if isinstance(value, Experiment)}
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise ScriptError("there is no experiment in it; assign one: experiment = Experiment(...)")
    raise ScriptError(
        f"there are {len(found)} experiments in it ({', '.join(found)}); call one `experiment`"
    )


def _describe_here(path: Path, overrides: Sequence[str]) -> ScriptDescription:
    module = _load(path)
    experiment = with_overrides(_find_experiment(module), overrides)
    return describe_experiment(experiment, file=str(path), description=module.__doc__ or "")


def _answer(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    try:
        return asdict(_describe_here(path, overrides))
    except SpecificationError as error:
        return {"problems": [asdict(problem) for problem in error.problems]}
    except ScriptError as error:
        return {"error": str(error)}
    except SystemExit as error:
        return {"error": f"it ends itself with exit code {error.code} while it is read"}
    except Exception as error:
        trace = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in trace if Path(frame.filename) == path]
        place = f"line {lines[-1]}" if lines else trace[-1].filename
        return {"error": f"{place}: {type(error).__name__}: {error}"}


def _main(arguments: Sequence[str]) -> None:
    path, answer_file, *overrides = arguments
    answer = _answer(Path(path), overrides)
    Path(answer_file).write_text(json.dumps(answer))


if __name__ == "__main__":
    _main(sys.argv[1:])
