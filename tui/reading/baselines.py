"""What the configuration of a run is compared with."""

from collections.abc import Mapping
from typing import Any

from rlmaster.durable_files import JsonObject, read_json
from rlmaster.errors import RlmasterError
from rlmaster.experiment_data import meaningful
from rlmaster.run_folder import RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.run_index.query import RunQuery
from tui.words.plain_text import one_line

KINDS = ("default", "parent", "run before")
"""Those that one key leads through; any other run can be chosen."""
OWN_MODULE = "rlmaster."
"""Parts of any other module are a person's own code, which the app does not run."""


def read_baseline(kind: str, folder: RunFolder) -> tuple[str, JsonObject | None]:
    """Return what it is called, and its fields by dotted names, or None where there is none.

    Args:
        kind: One of KINDS.
        folder: The run whose configuration is compared.
    """
    if kind == "default":
        return "the default", _defaults(read_json(folder.config_file) or {})
    other = _parent(folder) if kind == "parent" else _run_before(folder)
    return (f"{kind} {one_line(other.short_id)}", fields_of(other)) if other else (kind, None)


def fields_of(folder: RunFolder) -> JsonObject | None:
    """Return a run's configuration by dotted names; None where it is gone or damaged."""
    from rlmaster.specification import flattened

    config = read_json(folder.config_file)
    return None if config is None else flattened(meaningful(config))


def differences(fields: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
    """Return the baseline's value of each field that differs; None where it has no such field."""
    names = [*fields, *(name for name in baseline if name not in fields)]
    return {
        name: baseline.get(name)
        for name in names
        if name not in fields or name not in baseline or fields[name] != baseline[name]
    }


def _defaults(config: JsonObject) -> JsonObject | None:
    """Return the defaults of RLmaster's own parts, if the run is made of nothing else."""
    from rlmaster.experiment import Experiment
    from rlmaster.specification import flattened

    types = [str(v) for name, v in flattened(config).items() if name.rpartition(".")[2] == "type"]
    if not all(name.startswith(OWN_MODULE) for name in types):
        return None
    try:
        return flattened(meaningful(Experiment.from_data(config).defaults()))
    except (RlmasterError, ValueError, TypeError):
        return None


def _parent(folder: RunFolder) -> RunFolder | None:
    parents = (read_json(folder.run_file) or {}).get("parents")
    runs = folder.path.parent.parent
    with RunIndex(runs) as index:
        rows = index.named([str(one) for one in parents]) if isinstance(parents, list) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return RunFolder(runs / rows[0].path) if rows else None


def _run_before(folder: RunFolder) -> RunFolder | None:
    """Return the newest run of the same experiment that is older."""
    runs = folder.path.parent.parent
    with RunIndex(runs) as index:
        query = RunQuery("name = ? AND id < ?", (folder.name, folder.id))
        rows = index.rows(query, 1)
    return RunFolder(runs / rows[0].path) if rows else None
