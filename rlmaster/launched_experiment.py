"""The experiment that a run was launched as, which its config.json has to go on saying.

That file may be edited between two attempts. What is recorded and where the run goes on may change
so; what decides what is learned may not, or the run would not be what it says it is.
"""

import json
import shlex
from collections.abc import Mapping, Set
from typing import Any

from rlmaster.durable_files import JsonObject
from rlmaster.errors import UsageError
from rlmaster.experiment_data import meaningful
from rlmaster.run_folder import RunFolder

MOST_SHOWN = 3
"""Changed fields that a sentence names."""
ABSENT = "absent"
"""Stands for the value of a field that only one of two configurations has."""


def launched_experiment(run: RunFolder) -> JsonObject:
    """Return the experiment as it was at launch; of a run of before that was kept, config.json's.

    Raises:
        RunFolderError: If config.json is missing or damaged.
    """
    kept = run.provenance().get("experiment")
    return kept if isinstance(kept, dict) else run.config()


def require_as_launched(run: RunFolder) -> None:
    """Refuse to go on with a run whose config.json now says that it learns otherwise.

    Raises:
        UsageError: If so, with what was changed and the command that makes a new run of it.
        RunFolderError: If config.json is missing or damaged.
    """
    before, now = launched_experiment(run), run.config()
    if changed := _changed(before, now):
        shown = [f"{name} is {value} and was {old}" for name, (value, old) in changed.items()]
        more = f" and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else ""
        raise UsageError(
            f"config.json of run {run.short_id} was changed since its launch: "
            f"{', '.join(shown[:MOST_SHOWN])}{more}; `{_branch(run, changed)}` makes a new run of "
            f"that, and run {run.short_id} goes on once it is put back"
        )


def _changed(before: JsonObject, now: JsonObject) -> dict[str, tuple[str, str]]:
    """Return present and earlier value, as text, of the fields in which what is learned differs."""
    if before == now:
        return {}
    telling = meaningful(before).keys() | meaningful(now).keys()
    new, old = _decisive(now, telling), _decisive(before, telling)
    return {
        name: (_written(name, new), _written(name, old))
        for name in {**new, **old}
        if name not in new or name not in old or new[name] != old[name]
    }


def _decisive(experiment: JsonObject, telling: Set[str]) -> dict[str, Any]:
    """Return all that decides what is learned, the seed too, by dotted names."""
    from rlmaster.experiment import NOT_SCIENTIFIC  # here, since pydantic takes a while
    from rlmaster.specification import flattened

    kept = telling - NOT_SCIENTIFIC | {"seed"}
    return flattened({name: value for name, value in experiment.items() if name in kept})


def _written(name: str, fields: Mapping[str, Any]) -> str:
    value = fields.get(name, ABSENT)
    return value if isinstance(value, str) else json.dumps(value)


def _branch(run: RunFolder, changed: Mapping[str, tuple[str, str]]) -> str:
    """Return the command that makes a new run with the fields as they are now.

    It builds on config.json, so that nothing need be set where that would be long, or cannot be, as
    a field that another part does not have.
    """
    command = f"rlmaster branch {run.short_id}"
    is_settable = all(ABSENT not in values for values in changed.values())
    if not is_settable or len(changed) > MOST_SHOWN or any(n.endswith(".type") for n in changed):
        return command
    pairs = (shlex.quote(f"{name}={value}") for name, (value, _) in changed.items())
    return " ".join([command, *(f"--set {pair}" for pair in pairs)])
