import hashlib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from rlmaster.errors import ProjectError
from rlmaster.hosts import environment
from rlmaster.hosts.environment import Pins, environment_folder, python_path
from rlmaster.hosts.inventory import Host


def pins_of(folder: Path, *dependencies: str) -> Pins:
    """Return the pins of a project that asks for something of its own."""
    listed = ", ".join(f'"{dependency}"' for dependency in dependencies)
    (folder / "pyproject.toml").write_text(f"[project]\ndependencies = [{listed}]\n")
    return Pins.here(folder)


def test_everything_that_rlmaster_needs_is_pinned_at_the_version_that_is_here(tmp_path):
    pinned = dict(line.split("==") for line in Pins.here(tmp_path).lines)

    own = [Requirement(text) for text in metadata.requires("rlmaster") or ()]
    needed = {r.name for r in own if not r.marker or r.marker.evaluate({"extra": ""})}
    assert needed <= set(pinned)
    assert "markupsafe" in pinned  # which jinja2 needs
    assert "linkify-it-py" in pinned  # which an extra of what textual needs is for
    assert "pytest" not in pinned
    for name, version in pinned.items():
        assert version == Version(metadata.version(name)).public


def test_a_build_of_torch_is_left_to_the_host(tmp_path, monkeypatch):
    real = metadata.distribution

    class Cpu:
        metadata = real("torch").metadata
        metadata.replace_header("Version", "2.99.0+cpu")

    def distribution(name: str) -> object:
        return Cpu if name == "torch" else real(name)

    monkeypatch.setattr(metadata, "distribution", distribution)
    environment._installed.cache_clear()
    try:
        assert "torch==2.99.0" in Pins.here(tmp_path).lines
    finally:
        monkeypatch.undo()
        environment._installed.cache_clear()


def test_what_a_project_asks_for_is_added(tmp_path):
    added = set(pins_of(tmp_path, "pytest>=7").lines) - set(Pins.here(tmp_path.parent).lines)

    assert {line.split("==")[0] for line in added} == {"pytest", "iniconfig", "pluggy"}


@pytest.mark.parametrize(
    ("dependency", "line"),
    [
        ("not-here", "not-here"),
        ("Not_Here>=1.2,<2", "not-here<2,>=1.2"),
        ("not-here>1; sys_platform == 'linux'", "not-here>1"),
        ("not-here @ https://example.org/x.whl", "not-here @ https://example.org/x.whl"),
    ],
)
def test_what_is_not_installed_here_is_as_it_was_asked_for(tmp_path, dependency, line):
    assert line in pins_of(tmp_path, dependency).lines


def test_what_two_ask_for_is_one_line(tmp_path):
    assert "not-here<2,>=1" in pins_of(tmp_path, "not-here>=1", "not-here<2").lines


@pytest.mark.parametrize(
    "dependency", ["winonly>=1; sys_platform == 'win32'", "rlmaster", "rlmaster[dev]>=0.1"]
)
def test_what_no_host_needs_is_left_out(tmp_path, dependency):
    assert pins_of(tmp_path, dependency).lines == Pins.here(tmp_path.parent).lines


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[project", "cannot be read"),
        ("project = 3", 'must be a list such as ["scipy>=1.11"]'),
        ("[project]\ndependencies = 'scipy'", "must be a list"),
        ("[project]\ndependencies = ['scipy', 3]", "must be a list"),
        ("[project]\ndependencies = ['scipy >> 1']", "'scipy >> 1' is no requirement"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named(tmp_path, text, problem):
    (tmp_path / "pyproject.toml").write_text(text)

    with pytest.raises(ProjectError) as caught:
        Pins.here(tmp_path)

    assert str(tmp_path / "pyproject.toml") in str(caught.value)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_digest_names_the_packages(tmp_path):
    one, other = Pins(("a==1", "b==2")), Pins(("a==1", "b==3"))

    assert one.digest == hashlib.sha256(b"a==1\nb==2\n").hexdigest()[:16]
    assert one.digest == Pins(("a==1", "b==2")).digest != other.digest


def test_runs_have_the_interpreter_that_a_host_was_given_or_else_the_environment():
    pins = Pins(("a==1",))
    environment = f"/data/w/environments/{pins.digest}"

    assert environment_folder("/data/w/", pins) == environment
    assert python_path(Host("a", "ssh"), "/data/w", pins) == f"{environment}/bin/python"
    assert python_path(Host("a", "ssh", python="~/v/bin/python"), "/w", pins) == "~/v/bin/python"
