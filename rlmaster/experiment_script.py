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
from rlmaster.errors import Problem, ScriptError, SpecificationError, near_match
from rlmaster.experiment import Experiment
from rlmaster.specification import Part, differing_fields, with_overrides

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


def describe_script(
    path: Path, overrides: Sequence[str] = (), name: str | None = None
) -> ScriptDescription:
    """Read a script's experiment in a child process.

    Args:
        path: The script.
        overrides: `field=value` assignments, typed by the field.
        name: The variable that holds the experiment; if None, the one called `experiment`, or the
            only one there is.

    Raises:
        ScriptError: If the script cannot be read, or holds no such experiment.
        SpecificationError: If its fields or the overrides do not hold.
    """
    _check_syntax(path)
    return _describe_in_child(path, overrides, name or "", ())


def describe_config(
    path: Path, overrides: Sequence[str] = (), code_paths: Sequence[Path] = ()
) -> ScriptDescription:
    """Read the experiment of an earlier run in a child process, and change it.

    Args:
        path: The run's config.json.
        overrides: `field=value` assignments, typed by the field.
        code_paths: Where the run's code lies, for specifications that its script defined.

    Raises:
        ScriptError: If it cannot be read.
        SpecificationError: If its fields, as this version has them, or the overrides do not hold.
    """
    return _describe_in_child(path, overrides, "", code_paths)


def _describe_in_child(
    path: Path, overrides: Sequence[str], name: str, code_paths: Sequence[Path]
) -> ScriptDescription:
    with tempfile.TemporaryDirectory(prefix="rlmaster-") as folder:
        answer_file = Path(folder) / "answer.json"
        command = [sys.executable, "-m", __name__, str(path), str(answer_file), name]
        output = _run_bounded([*command, *overrides], path, code_paths)
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


def _run_bounded(command: Sequence[str], path: Path, code_paths: Sequence[Path]) -> str:
    """Run the child and return what it printed; it dies with its children at the deadline."""
    # Our own package comes first: a snapshot holds one too, as it was then.
    import_path = os.pathsep.join([*filter(None, sys.path), *map(str, code_paths)])
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


def _find_experiment(module: ModuleType, name: str) -> Experiment:
    """Take the one of that name; without a name the one called `experiment`, or the only one."""
    variables = vars(module).items()
    found = {variable: value for variable, value in variables if isinstance(value, Experiment)}
    if not found:
        raise ScriptError("there is no experiment in it; assign one: experiment = Experiment(...)")
    wanted = name or (next(iter(found)) if len(found) == 1 else "experiment")
    if wanted in found:
        return found[wanted]
    if name:
        hint = near_match(name, found) or f"; there are {', '.join(found)}"
        raise ScriptError(f"there is no experiment called {name!r} in it{hint}")
    raise ScriptError(
        f"there are {len(found)} experiments in it ({', '.join(found)}); "
        "call one `experiment`, or choose one by its name"
    )


def _describe_here(path: Path, overrides: Sequence[str], name: str) -> ScriptDescription:
    if path.suffix == ".json":
        experiment = Experiment.from_data(read_json(path) or {})
        return describe_experiment(with_overrides(experiment, overrides))
    module = _load(path)
    experiment = with_overrides(_find_experiment(module, name), overrides)
    return describe_experiment(experiment, file=str(path), description=module.__doc__ or "")


def _answer(path: Path, overrides: Sequence[str], name: str) -> dict[str, Any]:
    try:
        return asdict(_describe_here(path, overrides, name))
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
    path, answer_file, name, *overrides = arguments
    answer = _answer(Path(path), overrides, name)
    Path(answer_file).write_text(json.dumps(answer))


if __name__ == "__main__":
    _main(sys.argv[1:])
