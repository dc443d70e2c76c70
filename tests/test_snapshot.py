import hashlib
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import rlmaster
from rlmaster import snapshot
from rlmaster.errors import LaunchError
from rlmaster.project import Project
from rlmaster.snapshot import PACKAGE, git_state, read_tools, take_snapshot


@pytest.fixture(params=["in git", "outside git"])
def code(request, project):
    """A project with code of all sorts, once in a git repository and once outside."""
    for name, text in {
        "experiments/größe mit raum.py": "x = 1\n",
        "shared/part.py": "y = 2\n",
        "runs/old/log.txt": "not code",
        "shared/__pycache__/part.pyc": "not code",
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    if request.param == "in git":
        request.getfixturevalue("git_project")
    return Project(project)


def names(taken) -> set[str]:
    found = (path.relative_to(taken.folder) for path in taken.folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if path.parts[0] != "rlmaster"}


def test_the_same_code_is_kept_once(code):
    first, second = take_snapshot(code), take_snapshot(code)

    assert first == second
    assert [path.name for path in (code.runs / ".snapshots").iterdir()] == [first.digest]


def test_code_is_taken_and_what_is_no_code_is_left(code):
    taken = take_snapshot(code)

    assert names(taken) == {
        "experiments/tiny.py",
        "experiments/größe mit raum.py",
        "shared/part.py",
    }
    assert (taken.folder / "experiments/größe mit raum.py").read_text() == "x = 1\n"
    assert taken.left_out == []


def test_the_package_comes_along_where_it_is_installed_elsewhere(code):
    taken = take_snapshot(code)

    for name in ("worker.py", "training/__main__.py", "data/atari_games.txt"):
        source = snapshot.PACKAGE / name
        assert (taken.folder / "rlmaster" / name).read_bytes() == source.read_bytes()
    assert rlmaster.__file__ == str(snapshot.PACKAGE / "__init__.py")


def test_a_project_with_its_own_package_keeps_that_one(code):
    package = code.root / "rlmaster"
    package.mkdir()
    (package / "__init__.py").write_text("mine = True\n")
    real, snapshot.PACKAGE = snapshot.PACKAGE, package
    try:
        taken = take_snapshot(code)
    finally:
        snapshot.PACKAGE = real

    assert [path.name for path in (taken.folder / "rlmaster").iterdir()] == ["__init__.py"]


@pytest.mark.parametrize("edit", ["change", "add", "remove", "rename"])
def test_an_edit_changes_the_digest_and_not_the_copy(code, edit):
    before = take_snapshot(code)
    kept = names(before)
    file = code.root / "shared" / "part.py"
    if edit == "change":
        file.write_text("y = 3\n")
    elif edit == "add":
        file.with_name("new.py").touch()
    elif edit == "remove":
        file.unlink()
    else:
        file.rename(file.with_name("renamed.py"))

    after = take_snapshot(code)

    assert after.digest != before.digest
    assert names(before) == kept
    assert (before.folder / "shared/part.py").read_text() == "y = 2\n"


def test_where_runs_may_execute_is_not_code(code):
    before = take_snapshot(code)
    code.hosts_file.write_text("[hosts.elsewhere]\nkind = 'local'\n")

    assert take_snapshot(code) == before
    assert "hosts.toml" not in names(before)


def test_what_git_ignores_is_left_and_what_it_does_not_know_yet_is_taken(git_project):
    (git_project / ".gitignore").write_text("*.secret\n/data/\n")
    (git_project / "data").mkdir()
    for name in ("a.secret", "data/frames.py", "new.py"):
        (git_project / name).write_text("z = 1\n")

    assert names(take_snapshot(Project(git_project))) == {
        ".gitignore",
        "experiments/tiny.py",
        "new.py",
    }


def test_what_git_tracks_is_code_whatever_its_folder_is_called(project, request):
    for name in ("build/a.py", "shared/runs/b.py", "runs/tracked.py", "shared/__pycache__/c.pyc"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()
    request.getfixturevalue("git_project")

    taken = take_snapshot(Project(project))

    assert names(taken) == {"experiments/tiny.py", "build/a.py", "shared/runs/b.py"}
    assert taken.left_out == []


def test_outside_git_folders_that_are_passed_over_are_named(project):
    for name in ("build/a.py", "shared/runs/b.py", ".hidden/c.py"):
        (project / name).parent.mkdir(parents=True)
        (project / name).touch()

    taken = take_snapshot(Project(project))

    assert names(taken) == {"experiments/tiny.py"}
    assert taken.left_out == ["build", "shared/runs"]


def test_a_submodule_is_named(git_project):
    add = ["git", "-C", str(git_project), "-c", "protocol.file.allow=always", "submodule", "add"]
    subprocess.run([*add, str(git_project), "sub"], check=True, capture_output=True)

    assert take_snapshot(Project(git_project)).left_out == ["sub"]


def test_links_are_followed_inside_the_project_and_else_named(code, tmp_path):
    (tmp_path / "outside.py").write_text("secret")
    root = code.root
    for link, target in {
        "inside.py": "shared/part.py",
        "outside.py": tmp_path / "outside.py",
        "folder": "shared",
        "nowhere.py": "missing.py",
        "circle.py": "circle.py",
        "hosts.py": "hosts.toml",
        "log.py": "runs/old/log.txt",
    }.items():
        (root / link).symlink_to(target)
    os.mkfifo(root / "pipe")

    taken = take_snapshot(code)

    assert (taken.folder / "inside.py").read_text() == "y = 2\n"
    assert not (taken.folder / "inside.py").is_symlink()
    named = ["circle.py", "folder", "hosts.py", "log.py", "nowhere.py", "outside.py"]
    assert [name for name in taken.left_out if name != "pipe"] == named  # git lists no pipes
    assert not names(taken) & {*named, "pipe"}


DENIED = PermissionError(13, "Permission denied")
VANISHED = FileNotFoundError(2, "No such file")


@pytest.mark.parametrize(
    ("function", "error"), [("read_bytes", DENIED), ("read_bytes", VANISHED), ("lstat", DENIED)]
)
def test_a_file_that_cannot_be_read_is_named(code, monkeypatch, function, error):
    whole = getattr(Path, function)

    def fail(path, *arguments):
        if path.name == "part.py":
            raise error
        return whole(path, *arguments)

    monkeypatch.setattr(Path, function, fail)

    with pytest.raises(LaunchError, match=rf"shared/part\.py cannot be read .*{error.strerror}"):
        take_snapshot(code)


def test_a_folder_that_cannot_be_read_is_named(project, monkeypatch):
    real = os.scandir

    def fail(path):
        if str(path).endswith("experiments"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", fail)

    with pytest.raises(LaunchError, match="experiments cannot be read"):
        take_snapshot(Project(project))


def test_a_name_that_is_no_utf8_is_kept_as_it_is(code):
    for name in (b"bad\xff.py", b"link\xff.py"):
        path = Path(os.fsdecode(os.fsencode(code.root) + b"/" + name))
        path.write_text("z = 3\n") if b"bad" in name else path.symlink_to("/nowhere")

    taken = take_snapshot(code)

    assert os.fsdecode(b"bad\xff.py") in names(taken)
    assert taken.left_out == ["link\ufffd.py"]


def test_the_package_comes_along_from_an_environment_inside_the_project(project, monkeypatch):
    package = project / ".venv" / "rlmaster"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("installed = True\n")
    monkeypatch.setattr(snapshot, "PACKAGE", package)

    taken = take_snapshot(Project(project))

    assert (taken.folder / "rlmaster" / "__init__.py").read_text() == "installed = True\n"


def test_a_copy_is_on_disk_before_it_has_its_name(code, monkeypatch):
    synced: list[Path] = []
    monkeypatch.setattr(
        snapshot, "sync_tree", lambda folder: synced.append(folder.resolve(strict=True))
    )

    taken = take_snapshot(code)

    (partial,) = synced
    assert partial.parent == taken.folder.parent
    assert not partial.exists()


def test_a_large_file_is_left_out_and_named(code, monkeypatch):
    monkeypatch.setattr(snapshot, "LARGEST_FILE_BYTES", 100_000)
    (code.root / "weights.bin").write_bytes(bytes(100_001))

    taken = take_snapshot(code)

    assert taken.left_out == ["weights.bin"]
    assert "weights.bin" not in names(taken)


def test_too_much_code_is_refused_with_what_to_do(code, monkeypatch):
    monkeypatch.setattr(snapshot, "LARGEST_SNAPSHOT_BYTES", 1000)

    with pytest.raises(LaunchError, match=r"\.gitignore"):
        take_snapshot(code)


def test_twenty_at_once_keep_one_whole_copy(code):
    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(lambda _number: take_snapshot(code), range(20)))

    assert len({one.digest for one in taken}) == 1
    assert [path.name for path in (code.runs / ".snapshots").iterdir()] == [taken[0].digest]
    assert "shared/part.py" in names(taken[0])


def test_a_copy_that_was_cut_short_is_not_taken_for_whole(code, monkeypatch):
    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.rename", fail)
        with pytest.raises(LaunchError, match="No space left"):
            take_snapshot(code)
    assert list((code.runs / ".snapshots").iterdir()) == []

    assert take_snapshot(code).folder.is_dir()


def test_the_digest_tells_names_and_contents_apart(code):
    taken = {}
    for name, text in (("ab", "c"), ("a", "bc")):
        (code.root / name).write_text(text)
        taken[name] = take_snapshot(code).digest
        (code.root / name).unlink()

    assert taken["ab"] != taken["a"]
    assert len(taken["a"]) == len(hashlib.sha256().hexdigest())


def test_git_says_which_commit_and_what_was_uncommitted(git_project):
    head = ["git", "-C", str(git_project), "rev-parse", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    assert git_state(git_project) == {"commit": commit, "uncommitted": []}

    (git_project / "ä b.py").touch()
    (git_project / "experiments" / "tiny.py").write_text("")

    assert git_state(git_project) == {
        "commit": commit,
        "uncommitted": ["experiments/tiny.py", "ä b.py"],
    }


def test_without_git_there_is_no_commit(project, monkeypatch):
    assert git_state(project) == {}
    monkeypatch.setenv("PATH", "/nonexistent")
    assert git_state(project) == {}
    assert "experiments/tiny.py" in names(take_snapshot(Project(project)))


def test_a_repository_without_a_commit_has_none(project):
    subprocess.run(["git", "init", "-q", str(project)], check=True)

    assert git_state(project)["commit"] is None


def test_the_tools_are_the_package_that_runs_and_nothing_else():
    tools = read_tools()

    files = {
        path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert set(tools.contents) == {f"rlmaster/{path.relative_to(PACKAGE)}" for path in files}
    assert tools.contents["rlmaster/snapshot.py"] == (PACKAGE / "snapshot.py").read_bytes()
    assert re.fullmatch("[0-9a-f]{64}", tools.digest)
