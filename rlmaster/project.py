"""The project that a command works in: the folder with `experiments/` and `hosts.toml`."""

import os
from dataclasses import dataclass
from pathlib import Path

from rlmaster.errors import ProjectError, near_match

MARKERS = ("hosts.toml", "experiments")


@dataclass(frozen=True)
class Project:
    """A folder with experiments, and the runs that came of them."""

    root: Path

    @classmethod
    def containing(cls, place: Path) -> "Project":
        """Find the project that a file or folder lies in; `RLMASTER_PROJECT` overrides the search.

        Raises:
            ProjectError: If neither the place nor a folder above it is a project, or what
                `RLMASTER_PROJECT` names is none.
        """
        if chosen := os.environ.get("RLMASTER_PROJECT"):
            root = expand_home(chosen).resolve()
            if not _is_project(root):
                raise ProjectError(
                    f"RLMASTER_PROJECT is {chosen}, which is no RLmaster project (a folder with "
                    "hosts.toml and experiments/); correct it, or unset it to search from here"
                )
            return cls(root)
        place = place.resolve()
        for folder in (place, *place.parents):
            if _is_project(folder):
                return cls(folder)
        raise ProjectError(
            f"{place} is in no RLmaster project (a folder with hosts.toml and experiments/); "
            "change into one, or set RLMASTER_PROJECT to its path"
        )

    @property
    def runs(self) -> Path:
        """Where run folders, snapshots and state are kept."""
        return self.root / "runs"

    @property
    def experiments(self) -> Path:
        """Where experiment scripts lie."""
        return self.root / "experiments"

    @property
    def hosts_file(self) -> Path:
        """Where the computers are listed that runs may use."""
        return self.root / "hosts.toml"

    def scripts(self) -> list[Path]:
        """Return the experiment scripts, by name."""
        return sorted(p for p in self.experiments.glob("*.py") if not p.name.startswith(("_", ".")))


def _is_project(folder: Path) -> bool:
    return all((folder / marker).exists() for marker in MARKERS)


def expand_home(text: str | Path) -> Path:
    """Return a path with `~` and `~name` expanded; one of somebody unknown stays as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def find_script(text: str, place: Path) -> Path:
    """Find an experiment script by its path, or by its name in the project's `experiments/`.

    Raises:
        ProjectError: If there is no such script; names that come near are listed.
    """
    path = (place / expand_home(text)).resolve()
    if path.is_file():
        return path
    project = Project.containing(place)
    stem = text.removesuffix(".py").replace("-", "_")
    if (named := project.experiments / f"{stem}.py").is_file():
        return named
    known = [script.stem for script in project.scripts()]
    hint = near_match(stem, known) or (f"; there are {', '.join(known)}" if known else "")
    raise ProjectError(f"there is no experiment script {text!r}{hint}")
