"""`rlmaster experiments`: what could be run, and every field of one of them."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlmaster.cli.arguments import JsonOption, complete_experiment, complete_run, find_run_folder
from rlmaster.cli.launch import NameOption, SetOption
from rlmaster.cli.terminal import answer, answer_json, say
from rlmaster.errors import UsageError

if TYPE_CHECKING:
    from rlmaster.description_cache import DescriptionCache
    from rlmaster.durable_files import JsonObject
    from rlmaster.experiment_script import Reading
    from rlmaster.project import Project

AT_A_TIME = 4
"""Scripts that are read side by side: one that hangs does not hold the others up."""
POLL_S = 0.01
LIST_KEYS = ("file", "run", "name", "title", "description", "experiment", "differs_from_default")
"""What a list says of each."""
Entry = dict[str, Any]


def experiments_command(
    script: Annotated[
        str | None,
        typer.Argument(
            help="An experiment script, or its name in experiments/: shows its fields.",
            metavar="FILE_OR_NAME",
            autocompletion=complete_experiment,
        ),
    ] = None,
    overrides: SetOption = None,
    name: NameOption = None,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Show the fields of an earlier run instead.",
            autocompletion=complete_run,
        ),
    ] = None,
    live: Annotated[
        bool, typer.Option(help="List each as soon as it is read; with --json, an object a line.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the experiment scripts, or show every field of one.

    A script that fails shows its error, and the rest work. Values that cannot be set are named
    beside the fields.
    """
    from rlmaster.project import Project

    if script is not None and run is not None:
        raise UsageError("name an experiment or a --run, not both")
    if script is None and run is None:
        if overrides or name:
            raise UsageError("name the experiment whose fields you want to set")
        project = Project.containing(Path.cwd())
        entries = _entries(project)
        _list(entries if live else sorted(entries, key=lambda e: e["file"]), live, as_json)
        return
    entry = _form_of_run(run, overrides) if run else _form(script or "", name, overrides)
    if as_json:
        answer_json(entry)
    else:
        _show_form(entry)


def _list(entries: "Iterator[Entry] | Sequence[Entry]", live: bool, as_json: bool) -> None:
    if as_json and not live:
        answer_json({"experiments": list(entries)})
        return
    for entry in entries:
        if as_json:
            answer_json(entry)
        else:
            answer(f"{Path(entry['file']).stem}: {entry['error'] or entry['title']}")


# ------------------------------------------------------------------------------------ the list


def _entries(project: "Project") -> Iterator[Entry]:
    """Yield each script's description as soon as it is known, those first that are remembered."""
    from rlmaster.description_cache import DescriptionCache

    cache = DescriptionCache(project.runs)
    unknown: list[Path] = []
    for path in project.scripts():
        if said := cache.find(path, "", ()):
            yield _entry(said)
        else:
            unknown.append(path)
    if unknown:
        yield from _read_side_by_side(unknown, cache)


def _read_side_by_side(paths: Sequence[Path], cache: "DescriptionCache") -> Iterator[Entry]:
    from rlmaster.experiment_script import Reading, Source

    waiting, going_on = list(reversed(paths)), list[Reading]()
    with ExitStack() as started:
        while waiting or going_on:
            while waiting and len(going_on) < AT_A_TIME:
                path = waiting.pop()
                say(f"reading {path.name}")
                try:
                    going_on.append(started.enter_context(Reading(Source(path), (), is_form=True)))
                except UsageError as error:
                    yield _failed(path, error)
            for reading in [reading for reading in going_on if reading.is_over()]:
                going_on.remove(reading)
                yield _answered(reading, cache)
            time.sleep(POLL_S)


def _answered(reading: "Reading", cache: "DescriptionCache") -> Entry:
    path = reading.source.path
    try:
        return _entry(_said(reading.answer(), path, "", (), cache))
    except UsageError as error:
        return _failed(path, error)


def _entry(said: "JsonObject") -> Entry:
    return {**{key: said[key] for key in LIST_KEYS}, "error": None}


def _failed(path: Path, error: UsageError) -> Entry:
    unknown = {"run": None, "title": "", "description": "", "experiment": None}
    known = {"file": str(path), "name": path.stem, "error": str(error)}
    return {**known, **unknown, "differs_from_default": []}


# ------------------------------------------------------------------------------------ one of them


def _form(script: str, name: str | None, overrides: Sequence[str] | None) -> Entry:
    from rlmaster.description_cache import DescriptionCache
    from rlmaster.project import Project, find_script

    path, variable, changes = find_script(script, Path.cwd()), name or "", tuple(overrides or ())
    cache = DescriptionCache(Project.containing(path).runs)
    if said := cache.find(path, variable, changes):
        return said
    from rlmaster.experiment_script import Source, describe_form

    return _said(describe_form(Source(path, variable), changes), path, variable, changes, cache)


def _form_of_run(run: str, overrides: Sequence[str] | None) -> Entry:
    from rlmaster.experiment_script import Source, describe_form

    folder, _ = find_run_folder(run)
    answered = describe_form(
        Source(folder.config_file, "", folder.code_paths()), tuple(overrides or ())
    )
    said = _as_said(answered, str(folder.provenance().get("script") or ""))
    return {**said, "run": folder.id}


def _said(
    answered: "JsonObject",
    path: Path,
    name: str,
    overrides: Sequence[str],
    cache: "DescriptionCache",
) -> Entry:
    """Keep what a script answered, and return it as programs are told it."""
    said = _as_said(answered, str(path))
    cache.keep(path, name, overrides, said, answered["read_files"])
    return said


def _as_said(answered: "JsonObject", file: str) -> Entry:
    from rlmaster.experiment_script import ScriptDescription

    description = ScriptDescription(**answered["description"])
    return {
        "file": file,
        "run": None,
        "name": description.experiment["name"],
        "title": description.title,
        "description": description.description,
        "experiment": description.experiment,
        "differs_from_default": description.differs_from_default,
        "fields": answered["fields"],
        "problems": answered["problems"],
        "number_of_runs": answered["number_of_runs"],
    }


def _show_form(entry: Entry) -> None:
    """Show a table of all fields, in the order of the specification."""
    from rlmaster.cli.layout import Column, is_coloured, one_line, table_lines, terminal_width
    from rlmaster.errors import Problem
    from rlmaster.grid import as_typed

    fields = entry["fields"]
    marks = ["*" if field["differs_from_default"] else "" for field in fields]
    columns = [
        Column("", marks),
        Column("FIELD", [field["name"] for field in fields]),
        Column("VALUE", [one_line(as_typed(field["value"])) for field in fields], least=8),
        Column("MEANING", [one_line(field["help"]) for field in fields], least=10, importance=1),
        Column("ALLOWED", [one_line(field["allowed"]) for field in fields], 20, importance=2),
    ]
    answer(f"{entry['name']}: {entry['title']}\n")
    for line in table_lines(columns, terminal_width(), coloured=is_coloured()):
        answer(line)
    for problem in entry["problems"]:
        say(str(Problem(**problem)))
    if entry["number_of_runs"] > 1:
        say(f"launched so, these are {entry['number_of_runs']} runs")
