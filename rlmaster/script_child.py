"""The child process in which an experiment script is read; `experiment_script` starts it.

It answers into a file, since a script may print whatever it likes.
"""

import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

from rlmaster.durable_files import JsonObject, read_json, write_json
from rlmaster.errors import Problem, ScriptError, SpecificationError, near_match
from rlmaster.experiment import Experiment
from rlmaster.experiment_form import form_fields
from rlmaster.experiment_script import ANSWER, REQUEST, ScriptDescription, describe_experiment
from rlmaster.grid import combinations
from rlmaster.specification import with_overrides


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


class _Script:
    """An experiment as a script or an earlier run's config.json holds it."""

    def __init__(self, path: Path, name: str) -> None:
        if path.suffix == ".json":
            self.experiment = Experiment.from_data(read_json(path) or {})
            self._file, self._docstring = "", ""
        else:
            module = _load(path)
            self.experiment = _find_experiment(module, name)
            self._file, self._docstring = str(path), module.__doc__ or ""

    def changed(self, overrides: Sequence[str]) -> Experiment:
        return with_overrides(self.experiment, overrides)

    def described(self, experiment: Experiment) -> ScriptDescription:
        return describe_experiment(experiment, file=self._file, description=self._docstring)


def _points(script: _Script, overrides: Sequence[str]) -> JsonObject:
    """Describe every run that the overrides stand for; each problem is told once."""
    points: list[ScriptDescription] = []
    problems: dict[Problem, None] = {}
    for point in combinations(overrides):
        try:
            points.append(script.described(script.changed(point)))
        except SpecificationError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise SpecificationError(list(problems))
    return {"points": [asdict(point) for point in points]}


def _form(script: _Script, overrides: Sequence[str]) -> JsonObject:
    """Describe the experiment for a form, with what is wrong about the overrides beside it."""
    problems: list[Problem] = []
    try:
        points = len(_points(script, overrides)["points"])
    except SpecificationError as error:
        problems, points = list(error.problems), 0
    experiment = _as_far_as_it_holds(script, overrides, {problem.field for problem in problems})
    return {
        "description": asdict(script.described(experiment)),
        "fields": form_fields(experiment),
        "problems": [asdict(problem) for problem in problems],
        "number_of_runs": points,
        "read_files": _read_files(),
    }


def _as_far_as_it_holds(
    script: _Script, overrides: Sequence[str], wrong: Collection[str]
) -> Experiment:
    """Return the experiment with the overrides that hold, of a list of values the first."""
    sound = [one for one in overrides if one.partition("=")[0].strip() not in wrong]
    try:
        return script.changed(combinations(sound)[0])
    except SpecificationError:  # what is wrong lies in no single field
        return script.experiment


def _read_files() -> list[str]:
    """Return the sources that were imported, those of installed packages left out."""
    installed = tuple(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib"))
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return sorted({file for file in files if file and not file.startswith(installed)})


def _answer(request: JsonObject) -> JsonObject:
    path = Path(request["path"])
    respond = _form if request["is_form"] else _points
    try:
        return respond(_Script(path, request["name"]), request["overrides"])
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


def _main(folder: Path) -> None:
    request = read_json(folder / REQUEST)
    assert request is not None
    write_json(folder / ANSWER, _answer(request))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
