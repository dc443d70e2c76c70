import pytest

from rlmaster.errors import ProjectError
from rlmaster.project import Project, find_script


@pytest.fixture(autouse=True)
def no_chosen_project(monkeypatch):
    monkeypatch.delenv("RLMASTER_PROJECT", raising=False)


def test_a_project_is_found_from_anywhere_in_it(project):
    deep = project / "runs" / "a" / "b"
    deep.mkdir(parents=True)

    for place in (project, deep, project / "experiments" / "tiny.py"):
        assert Project.containing(place).root == project


def test_the_innermost_project_counts(project):
    inner = project / "inner"
    (inner / "experiments").mkdir(parents=True)
    assert Project.containing(inner).root == project  # one sign of two is none

    (inner / "hosts.toml").touch()
    assert Project.containing(inner).root == inner


def test_the_environment_may_choose_the_project(project, tmp_path, monkeypatch):
    monkeypatch.setenv("RLMASTER_PROJECT", str(project))

    assert Project.containing(tmp_path).root == project


@pytest.mark.parametrize("chosen", ["/nope", "~nosuchperson/x", "."])
def test_a_chosen_project_that_is_none_is_refused(project, tmp_path, monkeypatch, chosen):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLMASTER_PROJECT", chosen)

    with pytest.raises(ProjectError, match=f"RLMASTER_PROJECT is {chosen}, which is no RLmaster"):
        Project.containing(project)


def test_outside_a_project_the_error_says_how_to_get_into_one(tmp_path):
    with pytest.raises(ProjectError, match="RLMASTER_PROJECT"):
        Project.containing(tmp_path)


def test_scripts_are_sorted_and_hidden_ones_left_out(project):
    for name in ("b.py", "a.py", "_shared.py", ".hidden.py", "notes.txt"):
        (project / "experiments" / name).touch()

    assert [path.name for path in Project(project).scripts()] == ["a.py", "b.py", "tiny.py"]


@pytest.mark.parametrize(
    "text", ["pong_small", "pong-small", "pong_small.py", "experiments/pong_small.py"]
)
def test_a_script_goes_by_name_or_path(project, text):
    script = project / "experiments" / "pong_small.py"
    script.touch()

    assert find_script(text, project) == script


def test_a_name_works_anywhere_in_the_project_and_a_path_from_anywhere(project, tmp_path):
    script = project / "experiments" / "tiny.py"

    assert find_script("tiny", project / "experiments") == script
    assert find_script(str(script), tmp_path) == script


def test_a_path_may_begin_with_home(project, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(project))

    assert find_script("~/experiments/tiny.py", tmp_path) == project / "experiments" / "tiny.py"
    with pytest.raises(ProjectError, match=r"no experiment script '~nosuchperson/tiny\.py'"):
        find_script("~nosuchperson/tiny.py", project)


def test_an_unknown_script_is_refused_with_near_matches_or_all_there_are(project):
    with pytest.raises(ProjectError, match=r"no experiment script 'tinny'; did you mean tiny\?"):
        find_script("tinny", project)
    with pytest.raises(ProjectError, match=r"'qqqq'; there are tiny$"):
        find_script("qqqq", project)
