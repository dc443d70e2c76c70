"""The Python environment that runs have on another computer: which packages, and where it lies.

It is named by its content: a launch finds the one that fits by its name alone, and runs that were
launched before an upgrade keep theirs.
"""

import hashlib
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from rlmaster.errors import ProjectError
from rlmaster.hosts.inventory import Host

ENVIRONMENTS = "environments"
"""Folder in a workspace that holds them."""
DIGEST_CHARACTERS = 16
OLDEST_PYTHON = (3, 11)
PREFERRED_PYTHON = sys.version_info[:2]
"""Where a host has several, the version that everything runs on here."""
OUR_NAME = "rlmaster"
LINUX = {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux"}
"""What hosts are, whatever this computer is."""
PACKAGE_FOLDER = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Pins:
    """Every package that runs of a project need, at the version that is installed here."""

    lines: tuple[str, ...]
    """Requirements as pip reads them, by name; one that is not installed here is as it was asked.

    What follows a `+` in a version is left out: a host with a GPU has another build of torch.
    """

    @classmethod
    def here(cls, project_root: Path) -> "Pins":
        """Return what RLmaster needs, and what the project's own pyproject.toml asks for.

        Raises:
            ProjectError: If that file, or a requirement in it, cannot be read.
        """
        return _pins(project_root.resolve())

    @property
    def digest(self) -> str:
        """What tells these packages from any others."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:DIGEST_CHARACTERS]

    @property
    def text(self) -> str:
        """The lines as a file that pip reads."""
        return "".join(f"{line}\n" for line in self.lines)


def environment_folder(workspace: str, pins: Pins) -> str:
    """Return where the environment of these packages lies in a workspace."""
    return f"{workspace.rstrip('/')}/{ENVIRONMENTS}/{pins.digest}"


def python_path(host: Host, workspace_absolute: str, pins: Pins) -> str:
    """Return the interpreter that runs have on a host, whether it is there or not.

    Args:
        host: One of kind `ssh`.
        workspace_absolute: Its workspace, as an absolute path there.
        pins: What the runs need.

    Returns:
        The one that the host was given, as it is in hosts.toml (`~` is for the host to expand, a
        name alone is looked for on its PATH), or else that of the environment that
        `rlmaster hosts setup` makes.
    """
    return host.python or f"{environment_folder(workspace_absolute, pins)}/bin/python"


@cache
def _pins(project_root: Path) -> Pins:
    asked = [*_required(PACKAGE_FOLDER, installed_as=OUR_NAME), *_required(project_root)]
    return Pins(tuple(sorted(_line(name, asked) for name, asked in _closure(asked).items())))


def _required(folder: Path, installed_as: str = "") -> list[Requirement]:
    """Return what the pyproject.toml of a folder requires, or else what is installed of a name."""
    path = folder / "pyproject.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        texts = _installed(installed_as)[1] if installed_as else ()
    except (OSError, ValueError) as error:
        raise ProjectError(f"{path} cannot be read: {error}") from error
    else:
        texts = _dependencies(path, data)
    return [_requirement(text, path) for text in texts]


def _dependencies(path: Path, data: Mapping[str, Any]) -> Sequence[str]:
    """Return `[project].dependencies`."""
    project = data.get("project", {})
    if isinstance(project, dict):
        found = cast("dict[str, object]", project).get("dependencies", [])
        entries = cast("list[object]", found) if isinstance(found, list) else [found]
        texts = [entry for entry in entries if isinstance(entry, str)]
        if isinstance(found, list) and len(texts) == len(entries):
            return texts
    raise ProjectError(f'{path}: dependencies in [project] must be a list such as ["scipy>=1.11"]')


def _requirement(text: str, path: Path) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise ProjectError(f"{path}: {text!r} is no requirement: {reason}; correct it") from error


@cache
def _installed(name: str) -> tuple[str, tuple[str, ...]]:
    """Return an installed package's version and requirements; no version where there is none."""
    try:
        found = metadata.distribution(name).metadata  # read once: each question reads it anew
    except metadata.PackageNotFoundError:
        return "", ()
    return found["Version"], tuple(found.get_all("Requires-Dist") or ())


def _closure(asked: Iterable[Requirement]) -> dict[str, list[Requirement]]:
    """Return each package that is asked for, and that those need, with all who ask for it."""
    waiting = [requirement for requirement in asked if _applies(requirement, "")]
    packages: dict[str, list[Requirement]] = {}
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name == OUR_NAME:  # it is shipped with each run
            continue
        packages.setdefault(name, []).append(requirement)
        new = {(name, extra) for extra in ("", *requirement.extras)} - seen
        seen |= new
        waiting += [needed for _, extra in new for needed in _needed(name, extra)]
    return packages


def _needed(name: str, extra: str) -> Iterator[Requirement]:
    """Yield what an installed package needs, for itself or for one of its extras."""
    for text in _installed(name)[1]:
        # Most entries are for extras, and reading them would take most of the time.
        if (extra or "extra ==" not in text) and _applies(needed := Requirement(text), extra):
            yield needed


def _applies(requirement: Requirement, extra: str) -> bool:
    """Tell whether a requirement counts on a Linux computer with a Python like ours."""
    marker = requirement.marker
    return marker is None or marker.evaluate({**_environment(), "extra": extra})


@cache
def _environment() -> dict[str, str]:
    return {**cast("dict[str, str]", default_environment()), **LINUX}


def _line(name: str, asked: Sequence[Requirement]) -> str:
    """Return what pip shall install: the version that is here, else what was asked for."""
    if urls := sorted(requirement.url for requirement in asked if requirement.url):
        return f"{name} @ {urls[0]}"
    version, _ = _installed(name)
    if version:
        return f"{name}=={Version(version).public}"
    return name + ",".join(sorted({str(specifier) for r in asked for specifier in r.specifier}))
