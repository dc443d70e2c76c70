import pytest
from made_runs import make_run

from rlmaster.cli.arguments import complete_experiment, complete_run
from rlmaster.run_index import RunIndex


@pytest.fixture
def three_runs(project) -> list[str]:
    """The six characters of three runs that the index knows, oldest first."""
    runs = project / "runs"
    made = [
        make_run(runs, "pong", run_id="20260101-100000-aaaaa2"),
        make_run(runs, "breakout", run_id="20260101-110000-aabbb3"),
        make_run(runs, "pong", run_id="20260102-100000-ccccc4"),
    ]
    with RunIndex(runs) as index:
        index.sync()
    return [run.short_id for run in made]


def completed(rlmaster, *words: str) -> list[str]:
    """Return what bash would offer for the last of some words."""
    done = rlmaster.python(
        *("-m", "rlmaster"),
        environment={
            "_RLMASTER_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
        },
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("command", "begun", "numbers"),
    [("show", "aa", [1, 0]), ("show", "aab", [1]), ("show", "z", []), ("delete", "c", [2])],
)
def test_bash_completes_runs(rlmaster, three_runs, command, begun, numbers):
    assert completed(rlmaster, "rlmaster", command, begun) == [three_runs[n] for n in numbers]


def test_zsh_is_told_the_experiment_of_each_run(rlmaster, three_runs):
    done = rlmaster.python(
        *("-m", "rlmaster"),
        environment={
            "_RLMASTER_COMPLETE": "complete_zsh",
            "_TYPER_COMPLETE_ARGS": "rlmaster show aab",
        },
    )

    assert '"aabbb3":"breakout"' in done.stdout


def test_the_newest_runs_are_offered_first(project, three_runs, monkeypatch):
    monkeypatch.chdir(project)

    assert complete_run("") == [
        ("last", "the newest run"),
        ("ccccc4", "pong"),
        ("aabbb3", "breakout"),
        ("aaaaa2", "pong"),
    ]


def test_the_word_for_the_newest_run_is_offered_where_it_fits(rlmaster, three_runs):
    assert completed(rlmaster, "rlmaster", "show", "la") == ["last"]
    assert completed(rlmaster, "rlmaster", "show", "lab") == []


def test_a_folder_named_by_hand_is_not_given_to_a_shell(project, monkeypatch):
    monkeypatch.chdir(project)
    make_run(project / "runs", run_id="20260101-100000-$(touch x)")
    with RunIndex(project / "runs") as index:
        index.sync()

    assert complete_run("") == [("last", "the newest run")]


def test_completion_reads_no_run_that_the_index_does_not_know(project, three_runs, monkeypatch):
    monkeypatch.chdir(project)
    make_run(project / "runs", run_id="20260103-100000-ddddd5")

    assert complete_run("d") == []


def test_completion_is_never_an_error(tmp_path, project, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert complete_run("a") == complete_experiment("a") == []
    monkeypatch.chdir(project)
    assert complete_run("\udcff") == []
    (project / "runs").write_text("no folder")
    assert complete_run("a") == []
    (project / "experiments" / "tiny.py").unlink()
    assert complete_experiment("t") == []


def test_experiments_are_completed_by_their_names(project, monkeypatch):
    (project / "experiments" / "tall.py").touch()
    (project / "experiments" / "_part.py").touch()
    monkeypatch.chdir(project)

    assert [name for name, _ in complete_experiment("t")] == ["tall", "tiny"]
    assert [name for name, _ in complete_experiment("ti")] == ["tiny"]
    assert [name for name, _ in complete_experiment("_")] == []
