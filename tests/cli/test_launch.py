import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import wait_until

from rlmaster.reports.summary import result_sentence
from rlmaster.run_folder import RunFolder, list_runs
from rlmaster.run_status import FINAL_STATES, State

GIVEN = ("--rationale", "why", "--host", "local", "--yes")
HOSTILE = (
    "quotes ' \" ` and $(touch pwned) `touch pwned` $HOME %s \\n; rm -rf ~ & | > <\n"
    "\n"
    "LaTeX \\input{/etc/passwd} \\immediate\\write18{id} 100 % of x_1^2 ~ # & {\n"
    "ANSI \x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b[2J bell \x07 back\b\r carriage\n"
    "ünïcödé 日本 \u202egnp.exe <b>bold</b> {{ jinja }} [red]rich[/red]\n"
    "--follow"
)


def runs_of(project) -> list[RunFolder]:
    return list_runs(project / "runs")


# ---------------------------------------------------------------------------------- bad requests


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["tiny", *GIVEN, "--set", "environment.game=Pnog"],
            "environment.game: 'Pnog' is not an Atari game that ale-py carries; did you mean pong?",
        ),
        (
            ["tiny", *GIVEN, "--set", "embeder.latent_dim=3"],
            "embeder.latent_dim: there is no field 'embeder'; did you mean embedder?",
        ),
        (
            ["tiny", *GIVEN, "--set", "embedder.laten_dim=3"],
            "embedder.laten_dim: there is no field 'laten_dim' in embedder; "
            "did you mean latent_dim?",
        ),
        (
            ["tiny", *GIVEN, "--set", "embedder.latent_dim=0"],
            "embedder.latent_dim: '0' is not allowed; it must be a whole number, at least 1 and at "
            "most 65536 (default 256)",
        ),
        (
            ["tiny", *GIVEN, "--set", "training.learning_rate=fast"],
            "training.learning_rate: 'fast' is not allowed; it must be a number, above 0 and at "
            "most 1 (default 0.0005)",
        ),
        (
            ["tiny", *GIVEN, "--set", "seed"],
            "seed: an override is written field=value, such as seed=3",
        ),
        (
            ["tiny", "--rationale", " \n", "--host", "local"],
            "the rationale is empty; say in a few words why this run is made",
        ),
        (
            ["tiny", "--yes"],
            'nobody is asked here; say why the run is made: --rationale "..." or '
            "--rationale-file FILE",
        ),
        (
            ["tiny", "--rationale", "why"],
            "nobody is asked here, so say where it runs: --host NAME, --host auto or --yes",
        ),
        (
            ["tiny", "--rationale", "why", "--rationale-file", "why.md", "--yes"],
            "give --rationale or --rationale-file, not both",
        ),
        (["tinny", *GIVEN], "there is no experiment script 'tinny'; did you mean tiny?"),
    ],
    ids=lambda value: " ".join(value[-1:]) if isinstance(value, list) else "",
)
def test_a_bad_request_is_one_sentence_and_exit_code_2(command, project, arguments, sentence):
    outcome = command("launch", *arguments)

    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"{sentence}\n")
    assert not (project / "runs").exists()


REPLAY = ["agent=DQN", "agent.replay_steps=1000000000", "agent_training.steps=1000000000"]
LATENT = ["embedder.latent_dim=65536", "embedder.encoder=sac_ae", "embedder.channels=[4096,9,9]"]


@pytest.mark.parametrize("host", ["local", "auto"])
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (REPLAY, "the frames need 6,982.1 GiB, and they may take "),
        ([*REPLAY, "frame_storage=memory"], "the frames need 6,982.1 GiB, and they may take "),
        (LATENT, "the latent's weights need 29,400.0 GiB of memory, and "),
    ],
)
def test_what_no_memory_and_disk_holds_is_refused_before_anything_is_made(
    command, project, settings, sentence, host
):
    options = [text for setting in settings for text in ("--set", setting)]
    given = ["--rationale", "why", "--yes", "--host", host]

    outcome = command("launch", "tiny", *given, *options)

    assert outcome.code == 2
    assert outcome.err.startswith(f"local cannot take the run: does not fit: {sentence}")
    assert outcome.err.count("\n") == 1
    assert not (project / "runs").exists()


def test_an_unknown_host_is_named_with_those_there_are(command, project):
    outcome = command("launch", "tiny", "--rationale", "why", "--host", "locla")

    assert outcome.code == 2
    hosts = project / "hosts.toml"
    assert outcome.err == f"there is no host 'locla' in {hosts}; did you mean local?\n"
    assert not (project / "runs").exists()


def test_several_problems_are_one_line_each(command):
    overrides = ["--set", "sed=1", "--set", "training.updates=0", "--set", "environment.game=x"]

    outcome = command("launch", "tiny", *GIVEN, *overrides)

    assert outcome.code == 2
    assert [line.partition(":")[0] for line in outcome.err.splitlines()] == [
        "sed",
        "environment.game",
        "training.updates",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("experiment = (\n", "own.py, line 1: '(' was never closed in `experiment = (`"),
        (
            "x = 1\n",
            "own.py: there is no experiment in it; assign one: experiment = Experiment(...)",
        ),
        ("import torhc\n", "own.py: line 1: ModuleNotFoundError: No module named 'torhc'"),
        ("import sys\nsys.exit(4)\n", "own.py: it ends itself with exit code 4 while it is read"),
    ],
)
def test_a_script_that_cannot_be_read_is_one_sentence(command, project, text, sentence):
    (project / "experiments" / "own.py").write_text(text)

    outcome = command("launch", "own", *GIVEN)

    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"{sentence}\n")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_rationale_file_that_cannot_be_read_is_named(command, project, content):
    if content is not None:
        (project / "why.md").write_bytes(content)

    outcome = command("launch", "tiny", "--rationale-file", "why.md", "--host", "local")

    assert outcome.code == 2
    assert outcome.err.startswith("the rationale in why.md cannot be read (")
    assert len(outcome.err.splitlines()) == 1


def test_an_unknown_command_is_met_with_the_one_that_was_meant(command):
    outcome = command("lunch", "tiny")

    assert (outcome.code, outcome.out) == (2, "")
    assert "No such command 'lunch'. Did you mean 'launch'?" in outcome.err
    assert "Traceback" not in outcome.err


def test_an_unknown_option_is_named(command):
    outcome = command("launch", "tiny", "--hots", "local")

    assert outcome.code == 2
    assert "No such option: --hots" in outcome.err


def test_without_a_terminal_there_is_no_app(command):
    outcome = command()

    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "the app needs a terminal; `rlmaster --help` lists the commands\n"


def test_outside_a_project_the_way_into_one_is_named(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    outcome = command("launch", "tiny", *GIVEN)

    assert outcome.code == 2
    assert "RLMASTER_PROJECT" in outcome.err


def test_a_script_outside_the_chosen_project_is_refused(command, project, tmp_path, monkeypatch):
    script = tmp_path / "outside.py"
    shutil.copy(project / "experiments" / "tiny.py", script)
    monkeypatch.setenv("RLMASTER_PROJECT", str(project))

    outcome = command("launch", str(script), *GIVEN)

    assert outcome.code == 2
    assert "outside.py" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not (project / "runs").exists()


def test_a_bad_hosts_file_is_named_with_its_line(command, project):
    (project / "hosts.toml").write_text("[hosts.local]\nkind = 'cloud'\n")

    outcome = command("launch", "tiny", *GIVEN)

    assert outcome.code == 2
    assert "hosts.toml, line 2" in outcome.err


# ---------------------------------------------------------------------------------- good requests


@pytest.mark.learns
def test_a_script_may_print_and_import_torch(rlmaster):
    script = rlmaster.project / "experiments" / "tiny.py"
    script.write_text(
        "import sys\nimport torch\nprint('{\"hello\": 1}')\nprint('more', file=sys.stderr)\n"
        + script.read_text()
    )

    done = rlmaster("launch", "tiny", *GIVEN, "--detach", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run_folder"] == str(runs_of(rlmaster.project)[0].path)
    assert "more" not in done.stderr


@pytest.mark.learns
def test_a_hostile_rationale_is_kept_as_it_is_and_harms_nobody(rlmaster):
    done = rlmaster("launch", "tiny", f"--rationale={HOSTILE}", "--yes", "--detach", "--json")

    assert done.returncode == 0, done.stderr
    (run,) = runs_of(rlmaster.project)
    assert run.rationale_file.read_bytes() == f"{HOSTILE}\n".encode()
    listed = rlmaster("runs")
    as_json = rlmaster("runs", "--json")
    for said in (done.stdout, done.stderr, listed.stdout, listed.stderr, as_json.stdout):
        assert "\x1b" not in said
        assert "\x07" not in said
    (row,) = json.loads(as_json.stdout)["runs"]
    assert row["rationale"] == HOSTILE.replace("\r", "\n")  # as any text file is read
    assert not list(rlmaster.project.rglob("pwned"))
    told = json.loads(done.stdout)
    assert set(told) == {"run_id", "run_folder", "host", "state", "attempt", "runs"}
    assert told["runs"] == [{key: value for key, value in told.items() if key != "runs"}]


@pytest.mark.learns
def test_a_script_launches_itself_as_the_command_does(rlmaster):
    (rlmaster.project / "why.md").write_text(HOSTILE)
    options = ["--rationale-file", "why.md", "--host", "local", "--yes", "--detach", "--json"]
    options += ["--set", "embedder.latent_dim=9"]

    by_command = rlmaster("launch", "tiny", *options)
    by_script = rlmaster.python("experiments/tiny.py", *options)

    first, second = (
        RunFolder(rlmaster.project / json.loads(done.stdout)["run_folder"])
        for done in (by_command, by_script)
    )
    assert first.id != second.id
    assert first.config() == second.config()
    assert first.config()["embedder"]["latent_dim"] == 9
    for run in (first, second):
        assert run.rationale_file.read_bytes() == f"{HOSTILE}\n".encode()
    assert first.run()["digests"] == second.run()["digests"]
    one, other = first.provenance(), second.provenance()
    assert one.pop("host_choice")["host"] == other.pop("host_choice")["host"]
    assert one == other
    assert by_script.returncode == by_command.returncode == 0


@pytest.mark.learns
def test_a_script_launches_the_experiment_that_it_names(rlmaster):
    script = (rlmaster.project / "experiments" / "tiny.py").read_text()
    several = script.replace(
        "\nif __name__",
        "\nvariant = Experiment(\n    name='variant',\n    "
        "environment=Atari(game='Breakout'),\n)\n\nif __name__",
    )
    several = several.replace("launch(experiment)", "launch(variant)")
    (rlmaster.project / "experiments" / "several.py").write_text(several)
    given = ["--rationale", "which one?", "--host", "local", "--yes", "--detach", "--json"]

    done = rlmaster.python("experiments/several.py", *given)

    assert done.returncode == 0, done.stderr
    assert RunFolder(Path(json.loads(done.stdout)["run_folder"])).name == "variant"


def test_a_script_refuses_as_the_command_does(rlmaster):
    options = ["--set", "environment.game=Pnog", *GIVEN]

    by_command = rlmaster("launch", "tiny", *options)
    by_script = rlmaster.python("experiments/tiny.py", *options)

    assert by_script.returncode == by_command.returncode == 2
    assert by_script.stderr == by_command.stderr
    assert "did you mean pong?" in by_script.stderr


@pytest.mark.learns
def test_bytes_that_are_no_text_are_kept_too(rlmaster):
    rationale = b"caf\xe9 \xff"
    command = [sys.executable, "-m", "rlmaster", "launch", "tiny", "--rationale", rationale]
    done = subprocess.run(
        [*command, "--yes", "--detach"],
        cwd=rlmaster.project,
        env=rlmaster.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    (run,) = runs_of(rlmaster.project)
    assert run.rationale_file.read_bytes() == rationale + b"\n"
    assert run.rationale().startswith("caf")


# --------------------------------------------------------------------------- following to the end


def test_a_path_with_spaces_and_letters_beyond_ascii_is_no_obstacle(finished_run):
    path = str(finished_run.folder.path)

    assert " " in path
    assert not path.isascii()
    assert finished_run.folder.status().state is State.COMPLETED
    assert finished_run.folder.video_files()


def test_with_json_stdout_is_one_object(finished_run):
    row = {
        "run_id": finished_run.folder.id,
        "run_folder": str(finished_run.folder.path),
        "host": "local",
        "state": "completed",
        "attempt": 1,
    }
    assert finished_run.answer == {**row, "runs": [row]}


def test_the_answer_comes_after_the_report(finished_run):
    assert finished_run.report_was_there
    assert (finished_run.folder.report / "report.tex").is_file()


def test_a_person_is_told_what_came_out_and_where_it_is(finished_run):
    run, said = finished_run.folder, finished_run.stderr

    for words in ("started", "training", "finished", "Standing: too few earlier runs"):
        assert words in said
    assert result_sentence(run.progress()) in said.splitlines()
    for name, place in {
        "run folder": run.path,
        "report": run.report,
        "video": run.videos,
        "preview": run.previews,
    }.items():
        (line,) = [line for line in said.splitlines() if line.strip().startswith(f"{name}  ")]
        path = Path(line.strip().removeprefix(name).strip())
        assert path.exists()
        assert path == place or path.parent == place
    assert "\x1b" not in said


# ---------------------------------------------------------------------------- a narrow terminal


@pytest.fixture
def terminal(rlmaster):
    """A real terminal of 60 columns and 20 lines with `rlmaster launch tiny` in it."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    tmux = ["tmux", "-L", rlmaster.scratch.name, "-f", "/dev/null"]
    code = rlmaster.scratch / "code"
    program = shlex.join([sys.executable, "-m", "rlmaster", "launch", "tiny"])

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*tmux, *arguments],
            cwd=rlmaster.project,
            env=rlmaster.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    class Terminal:
        def start(self, *options: str) -> None:
            command = f"{program} {shlex.join(options)}; echo $? > {shlex.quote(str(code))}; cat"
            run("new-session", "-d", "-s", "person", "-x", "60", "-y", "20", command)

        def type(self, *keys: str) -> None:
            run("send-keys", "-t", "person", *keys)

        def lines(self) -> list[str]:
            """Return all that was written, each line whole however the terminal broke it."""
            return run("capture-pane", "-p", "-J", "-S", "-", "-t", "person").splitlines()

        def await_text(self, text: str, bound_s: float = 30.0) -> None:
            # Where a line is broken, a space may have been.
            wanted = "".join(text.split())
            wait_until(lambda: wanted in "".join("".join(self.lines()).split()), bound_s)

        def exit_code(self) -> int | None:
            text = code.read_text() if code.exists() else ""
            return int(text) if text.strip() else None

    return Terminal()


@pytest.mark.learns
def test_in_a_narrow_terminal_all_is_asked_and_shown(terminal, rlmaster):
    terminal.start()
    terminal.await_text("Why this run?")
    terminal.type("-l", "Does it fit into 60 columns?")
    terminal.type("Enter")
    terminal.await_text("Where does it run? [auto]")
    asked = terminal.lines()
    terminal.type("Enter")

    bar = re.compile(r"(starting|collecting|training|rendering) .* %")
    bars: set[str] = set()

    def ended() -> bool:
        bars.update(filter(bar.match, terminal.lines()))
        return terminal.exit_code() is not None

    wait_until(ended, 90)

    (run,) = runs_of(rlmaster.project)
    assert terminal.exit_code() == 0
    assert run.status().state is State.COMPLETED
    assert run.rationale() == "Does it fit into 60 columns?"
    assert run.provenance()["host_choice"]["asked_for"] == "auto"
    hosts = [line.strip() for line in asked if line.startswith("  ")]
    assert hosts[0].startswith("auto: the best of these, now local")
    assert hosts[1].startswith("local: ")
    assert bars
    assert max(map(len, bars)) <= 60  # a wider one would be drawn again on a new line each time
    for text in (result_sentence(run.progress()), str(run.path), str(run.preview_files()[-1])):
        terminal.await_text(text)
    assert not any(map(bar.match, terminal.lines()))


def test_an_empty_answer_opens_the_editor(terminal, rlmaster):
    editor = rlmaster.scratch / "editor"
    editor.write_text('#!/bin/sh\necho "written in the editor" > "$1"\n')
    editor.chmod(0o755)
    rlmaster.environment["EDITOR"] = str(editor)
    rlmaster.environment.pop("VISUAL", None)

    terminal.start("--host", "local", "--detach")
    terminal.await_text("Why this run?")
    terminal.type("Enter")

    wait_until(lambda: terminal.exit_code() == 0)
    (run,) = runs_of(rlmaster.project)
    assert run.rationale() == "written in the editor"


def test_an_interrupt_ends_the_watching_and_not_the_run(terminal, rlmaster):
    terminal.start(*GIVEN, "--set", "training.updates=19999", "--set", "frames.steps=200")
    terminal.await_text("the worker runs on local")
    terminal.type("C-c")
    terminal.await_text("goes on; rlmaster follow")

    wait_until(lambda: terminal.exit_code() == 130)
    (run,) = runs_of(rlmaster.project)
    assert run.status().state not in FINAL_STATES
    wait_until(lambda: rlmaster.processes(f"follow {run.path} --quiet"))
