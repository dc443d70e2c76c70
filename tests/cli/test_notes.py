import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rlmaster.run_folder import RunFolder
from rlmaster.run_index import RunIndex
from rlmaster.run_status import State, Status


def make_run(project: Path, *tags: str) -> RunFolder:
    run = RunFolder.create(
        project / "runs",
        config={"name": "looked-after", "tags": list(tags)},
        rationale="to be looked after",
        provenance={},
        digests={},
        differs_from_default=[],
    )
    run.write_status(Status(State.COMPLETED))
    return run


@pytest.fixture
def run(project) -> RunFolder:
    """A run that has ended, without a report."""
    return make_run(project)


# -------------------------------------------------------------------------------- conclusions


def test_a_conclusion_is_kept(command, run):
    outcome = command("conclude", run.short_id, "--text", " The ball survives.\n\n100 % of it. ")

    assert (outcome.code, outcome.out, outcome.err) == (0, "", "the conclusion is kept\n")
    assert run.conclusion() == "The ball survives.\n\n100 % of it."
    assert not run.report.exists()


def test_a_conclusion_may_come_from_a_file_or_a_pipe(command, run, rlmaster):
    (rlmaster.project / "learned.md").write_text("from a file")

    assert command("conclude", run.short_id, "--file", "learned.md").code == 0
    assert run.conclusion() == "from a file"

    piped = rlmaster("conclude", run.short_id, "--file", "-", "--json", typed="from a pipe")
    assert json.loads(piped.stdout) == {"run_id": run.id, "conclusion": "from a pipe"}


def test_a_report_that_was_there_is_made_again(command, run, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")  # without TeX, for the time it takes
    run.report.mkdir()
    tex = run.report / "report.tex"
    tex.write_text("an older one")

    outcome = command("conclude", run.short_id, "--text", "50 % & more")

    assert outcome.code == 0
    assert outcome.err.splitlines()[:2] == ["the conclusion is kept", "making the report again"]
    assert r"50 \% \& more" in tex.read_text()


def test_a_report_that_cannot_be_made_again_is_a_failure_and_the_conclusion_is_kept(command, run):
    run.report.mkdir()
    (run.report / "report.tex").touch()
    run.plots.symlink_to(run.path.parent)

    outcome = command("conclude", run.short_id, "--text", "kept")

    assert outcome.code == 1
    assert "leads out of the run folder" in outcome.err
    assert run.conclusion() == "kept"


def test_the_same_conclusion_again_changes_nothing(command, run):
    run.write_conclusion("known")
    before = run.conclusion_file.stat().st_mtime_ns

    outcome = command("conclude", run.short_id, "--text", "known ")

    assert (outcome.code, outcome.err) == (0, "the conclusion stays as it was\n")
    assert run.conclusion_file.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], 'nobody is asked here; say what was learned: --text "..." or --file FILE'),
        (["--text", " \n"], "an empty text takes the conclusion back; if that is meant, add --yes"),
        (["--text", "x", "--file", "y"], "give --text or --file, not both"),
    ],
)
def test_without_a_terminal_nothing_is_asked(command, run, given, sentence):
    run.write_conclusion("known")

    outcome = command("conclude", run.short_id, *given)

    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"{sentence}\n")
    assert run.conclusion() == "known"


def test_a_conclusion_is_taken_back_where_that_is_meant(command, run):
    run.write_conclusion("wrong")

    outcome = command("conclude", run.short_id, "--text", "", "--yes")

    assert (outcome.code, outcome.err) == (0, "the conclusion is taken back\n")
    assert not run.conclusion_file.exists()


def test_an_empty_conclusion_where_there_is_none_is_refused(command, run):
    outcome = command("conclude", run.short_id, "--text", "", "--yes")

    assert outcome.code == 2
    assert outcome.err == "the conclusion is empty; say in a few words what was learned\n"


def test_the_run_must_be_named(command, run):
    assert command("conclude", "--text", "x").code == 2
    assert command("conclude", "zzz", "--text", "x").code == 2


@pytest.fixture
def in_a_terminal(rlmaster) -> Callable[..., tuple[int, str]]:
    """Run `rlmaster` with a real terminal and an editor of one shell line; return code and words.

    What is typed is typed once somebody asks for it.
    """

    def start(*arguments: str, editor: str = "true", typed: bytes = b"") -> tuple[int, str]:
        program = rlmaster.scratch / "editor"
        program.write_text(f"#!/bin/sh\n{editor}\n")
        program.chmod(0o755)
        person, terminal = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "rlmaster", *arguments],
            cwd=rlmaster.project,
            env={**rlmaster.environment, "EDITOR": str(program), "VISUAL": ""},
            stdin=terminal,
            stdout=subprocess.DEVNULL,
            stderr=terminal,
            start_new_session=True,
        ) as process:
            os.close(terminal)
            try:
                shown = _read_and_type(person, typed)
                process.wait(30)
            finally:
                process.kill()
                os.close(person)
        return process.returncode, shown

    return start


def _read_and_type(person: int, typed: bytes) -> str:
    """Return all that a terminal shows until its program ends; answer its first question."""
    shown = b""
    while select.select([person], [], [], 30)[0]:
        try:
            shown += os.read(person, 4096)
        except OSError:  # so a terminal says that nobody else has it open
            return shown.decode()
        if typed and b"[y/N]" in shown:
            os.write(person, typed)
            typed = b""
    raise AssertionError(f"it waits for something: {shown.decode()}")


def test_in_a_terminal_the_editor_opens_on_what_is_there(in_a_terminal, run):
    run.write_conclusion("The ball survives.")

    code, said = in_a_terminal("conclude", "last", editor='echo "So does the paddle." >> "$1"')

    assert code == 0
    assert "the conclusion is kept" in said
    assert run.conclusion() == "The ball survives.So does the paddle."


def test_an_editor_that_is_left_as_it_was_changes_nothing(in_a_terminal, run):
    run.write_conclusion("The ball survives.")

    code, said = in_a_terminal("conclude", "last")

    assert code == 0
    assert "the conclusion stays as it was" in said


@pytest.mark.parametrize(
    ("answer", "code", "left"),
    [(b"y\n", 0, ""), (b"n\n", 0, "wrong"), (b"\n", 0, "wrong"), (b"\x04", 130, "wrong")],
)
def test_in_a_terminal_taking_back_is_asked_for(in_a_terminal, run, answer, code, left):
    run.write_conclusion("wrong")

    ended, said = in_a_terminal("conclude", "last", editor=': > "$1"', typed=answer)

    assert f"Take back the conclusion of run {run.short_id}?" in said
    assert ended == code
    assert run.conclusion() == left


def test_an_editor_that_fails_is_one_sentence(in_a_terminal, run):
    code, said = in_a_terminal("conclude", "last", editor="exit 3")

    assert code == 2
    assert "the editor ended with 3, so nothing was changed" in said
    assert "Traceback" not in said


def test_words_outlive_a_run_that_is_deleted_under_the_editor(in_a_terminal, run, rlmaster):
    code, said = in_a_terminal(
        "conclude", "last", editor=f'echo learned > "$1"; rm -r "{run.path}"'
    )

    (kept,) = (rlmaster.scratch / "tmp").glob("conclusion-*.md")
    assert code == 1
    assert str(kept) in said.replace("\r\n", "")
    assert kept.read_text() == "learned\n"


# --------------------------------------------------------------------------------------- tags


def test_tags_are_added_and_removed_in_order(command, project):
    run = make_run(project, "pong", "first")

    outcome = command(
        "tag", run.short_id, "--add", "zebra", "--add", "good", "--add", "pong", "--remove", "first"
    )

    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"{run.short_id}  looked-after  pong zebra good\n"
    assert run.tags() == ("pong", "zebra", "good")
    assert run.config()["tags"] == ["pong", "first"]


def test_tags_are_only_shown_where_nothing_is_to_change(command, project):
    tagged, bare = make_run(project, "pong"), make_run(project)

    outcome = command("tag", tagged.short_id, bare.short_id)

    assert outcome.out.splitlines() == [
        f"{tagged.short_id}  looked-after  pong",
        f"{bare.short_id}  looked-after  (no tags)",
    ]
    assert not tagged.tags_file.exists()


def test_several_runs_are_tagged_at_once(command, project):
    first, second = make_run(project, "a"), make_run(project, "b")

    outcome = command("tag", first.short_id, second.short_id, "--add=c", "--remove=a", "--json")

    assert json.loads(outcome.out) == {
        "runs": [{"run_id": first.id, "tags": ["c"]}, {"run_id": second.id, "tags": ["b", "c"]}]
    }


@pytest.mark.parametrize(
    "word", ["", " ", "two words", "tab\t", "line\n", "\x1b[31m", "a\u202eb", "x" * 65, "a\xa0b"]
)
def test_what_is_no_word_is_no_tag(command, run, word):
    outcome = command("tag", run.short_id, "--add", "good", "--add", word)

    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        f"{word!r} is no tag: a tag is one printable word without spaces, of at most 64 characters"
        "\n"
    )
    assert run.tags() == ()


def test_a_tag_that_is_not_there_cannot_be_removed(command, project):
    run, other = make_run(project, "baseline"), make_run(project)

    one = command("tag", run.short_id, "--remove", "baselin", "--add", "x")
    several = command("tag", run.short_id, other.short_id, "--remove", "zebra")
    both = command("tag", run.short_id, "--remove", "baseline", "--add", "baseline")

    assert (one.code, several.code, both.code) == (2, 2, 2)
    assert one.err == "the run has no tag 'baselin'; did you mean baseline?\n"
    assert several.err == "none of the runs has a tag 'zebra'\n"
    assert both.err == "'baseline' cannot be added and removed at once; say one of them\n"
    assert run.tags() == ("baseline",)


def test_the_index_knows_at_once(command, project, run):
    with RunIndex(project / "runs") as index:
        index.sync()

    command("tag", run.short_id, "--add", "looked-at")
    command("conclude", run.short_id, "--text", "the ball survives")

    with RunIndex(project / "runs") as index:  # which reads no run that has ended by itself
        (row,) = index.rows()
    assert row.tags == ("looked-at",)
    assert row.conclusion == "the ball survives"
