"""Runs side by side: curves over one another, results by seed, what differs."""

import re
import shutil
from datetime import UTC, datetime

import pytest
from driving import drive, screen_text, wait_for_text, wait_until
from made_runs import CONFIG, complete, make_run, set_state
from rich.cells import cell_len
from textual.content import Content

from rlmaster.durable_files import read_json, write_json
from rlmaster.reports.comparison import compare
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_index.row import read_row
from rlmaster.run_status import State
from tui.app import RlmasterApp
from tui.children.commands import CommandLine
from tui.messages import CompareRuns
from tui.screens.compare import CompareScreen
from tui.screens.run import RunScreen
from tui.widgets.difference_table import DifferenceTable
from tui.words.compare_text import results

NOW = datetime(2030, 1, 1, tzinfo=UTC)
BRAILLE = re.compile("[\u2801-\u28ff]")
HOSTILE = "[bold]x[/] \x1b[2J 日本語 \u202ecba"


@pytest.fixture
def app(empty_project):
    command = CommandLine(empty_project.root, ("/bin/true",))
    return RlmasterApp(empty_project, command=command, clock=lambda: NOW)


@pytest.fixture
def runs(empty_project) -> list[RunFolder]:
    """Three seeds of an experiment with results, and one of another that is running."""
    made = [
        run_of(empty_project, number, latent_dim=latent_dim, seed=seed)
        for number, (latent_dim, seed) in enumerate([(32, 1), (32, 2), (32, 3), (64, 1)])
    ]
    for run, value in zip(made, (2.0, 4.0, 9.0), strict=False):
        complete(run, value)
    set_state(made[3], State.RUNNING)
    made[3].write_progress(Progress("training", 25, 100, "updates"))
    return made


def run_of(project, number: int, name: str = "pong", **embedder) -> RunFolder:
    seed = embedder.pop("seed", 1)
    config = {"seed": seed, "embedder": {**CONFIG["embedder"], **embedder}}
    run_id = f"20260101-{number:06}-abc{number:03}"
    run = make_run(project.runs, name, run_id=run_id, config=config)
    digests = {"experiment": f"{embedder}"}
    write_json(run.run_file, {**(read_json(run.run_file) or {}), "digests": digests})
    return run


async def open_comparison(pilot, runs) -> None:
    pilot.app.post_message(CompareRuns([run.path for run in runs]))
    await wait_until(pilot, lambda: isinstance(pilot.app.screen, CompareScreen))
    await wait_for_text(pilot, f"{len(runs)} runs")


def test_results_and_differences_are_shown_and_follow_a_run_that_goes_on(app, runs):
    async def scenario(pilot):
        await open_comparison(pilot, runs)
        await wait_for_text(pilot, "mean 5 of 3 seeds  95 % -3.96 to 14.0")
        await wait_for_text(pilot, "embedder.latent_dim")
        text = screen_text(pilot.app)
        assert "Held-out error, lower is better" in text
        assert f"c {runs[2].short_id}  seed 3   9" in text
        assert "fields are the same in all runs" in text
        assert "▲" not in text, "one experiment alone has no best"
        await wait_for_text(pilot, "running 25 %")

        complete(runs[3], 1.0)
        await wait_for_text(pilot, "▲ pong")
        assert "one seed, so no interval" in screen_text(pilot.app)
        table = pilot.app.screen.query_one(DifferenceTable)
        assert str(table.get_cell("(state)", f"pong/{runs[3].id}")) == "completed"

    drive(app, scenario, size=(160, 50))


def test_curves_lie_over_one_another(app, finished_run, empty_project):
    folder = empty_project.runs / "tiny-pong"
    first = RunFolder(folder / finished_run.folder.id)
    second = RunFolder(folder / "20260101-000000-abc234")
    for run in (first, second):
        shutil.copytree(finished_run.folder.path, run.path)

    async def scenario(pilot):
        await open_comparison(pilot, [first, second])
        await wait_until(pilot, lambda: BRAILLE.search(screen_text(pilot.app)))
        for text in (f"a {first.short_id}", f"b {second.short_id}", "canonical/error ─"):
            await wait_for_text(pilot, text)
        await pilot.press("right_square_bracket")
        await wait_for_text(pilot, "smoothed")
        await pilot.press("s", "end", "enter")
        await wait_for_text(pilot, "train/updates_per_s ─")

    drive(app, scenario, size=(140, 45))


def test_a_small_terminal_shows_one_pane_at_a_time(app, runs):
    async def scenario(pilot):
        await open_comparison(pilot, runs)
        await wait_for_text(pilot, "No scalars yet.")
        await pilot.press("2")
        await wait_for_text(pilot, "lower is better")
        await wait_for_text(pilot, "● mean")
        assert "fields are the same" not in screen_text(pilot.app)
        await pilot.press("3")
        await wait_for_text(pilot, "fields are the same")
        await pilot.resize_terminal(20, 5)
        await pilot.pause()
        await pilot.resize_terminal(140, 45)
        await wait_for_text(pilot, "lower is better")

    drive(app, scenario, size=(80, 24))


def test_the_run_of_a_column_is_opened(app, runs):
    async def scenario(pilot):
        await open_comparison(pilot, runs)
        await pilot.press("3")
        await wait_for_text(pilot, "embedder.latent_dim")
        await pilot.press("right", "enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        await wait_for_text(pilot, runs[1].short_id)

    drive(app, scenario)


def test_a_run_that_is_deleted_is_missed_and_the_rest_goes_on(app, runs):
    async def scenario(pilot):
        await open_comparison(pilot, runs)
        shutil.rmtree(runs[0].path)
        await wait_for_text(pilot, "1 no longer there")
        await wait_for_text(pilot, "3 runs")
        for run in runs[1:]:
            shutil.rmtree(run.path)
        await wait_for_text(pilot, "4 no longer there")

    drive(app, scenario, size=(140, 45))


def test_what_others_wrote_is_shown_as_text(app, empty_project):
    runs = [run_of(empty_project, n, loss=f"{HOSTILE}{n}") for n in range(2)]
    for run in runs:
        write_json(run.config_file, {**(read_json(run.config_file) or {}), HOSTILE: run.id})
        complete(run, 1.0, metric=HOSTILE)

    async def scenario(pilot):
        await open_comparison(pilot, runs)
        for pane, text in (("2", "loss=[bold]x[/]"), ("3", "[bold]x[/]")):
            await pilot.press(pane)
            await wait_for_text(pilot, text)
            lines = screen_text(pilot.app).split("\n")
            assert all(line.isprintable() for line in lines)
            assert {cell_len(line) for line in lines} == {80}

    drive(app, scenario, size=(80, 24))


def test_many_runs_stay_readable(app, empty_project):
    runs = [complete(run_of(empty_project, n, latent_dim=n), 1.0 + n) for n in range(1, 21)]

    async def scenario(pilot):
        await open_comparison(pilot, runs)
        await pilot.press("3")
        await wait_for_text(pilot, "embedder.latent_dim")
        await pilot.press(*["right"] * 19)
        await wait_for_text(pilot, f"t {runs[19].short_id}")
        assert "embedder.latent_dim" in screen_text(pilot.app), "the fields stay"

    drive(app, scenario, size=(80, 24))


def test_the_interval_is_drawn_on_an_axis_that_all_share(empty_project):
    runs = [run_of(empty_project, n, latent_dim=dim, seed=n) for n, dim in enumerate([8, 8, 8, 9])]
    rows = [
        read_row(complete(run, value), run.status())
        for run, value in zip(runs, (1.0, 1.1, 1.2, 3.0), strict=True)
    ]

    lines = results(compare(rows), 64).plain.split("\n")

    drawn = [line for line in lines if "●" in line][:2]
    assert re.fullmatch(r" +├─+·[·●─]*●[·─]*·─+┤ +", drawn[0])
    assert drawn[1].strip() == "●"
    assert drawn[1].index("●") > drawn[0].rindex("┤")
    assert lines[-1].split()[0] == "0.500"
    assert isinstance(results(compare(rows), 10), Content)


def test_a_column_grows_with_what_it_says(app, runs):
    async def scenario(pilot):
        await open_comparison(pilot, runs)
        await pilot.press("3", "right")
        table = pilot.app.screen.query_one(DifferenceTable)
        await wait_until(pilot, lambda: table.cursor_column == 2)
        complete(runs[3], -1.5e300)
        shown = re.compile(r"\(result\).* -1\.50e\+300 ")
        await wait_until(pilot, lambda: shown.search(screen_text(pilot.app)))
        assert table.cursor_column == 2

    drive(app, scenario, size=(160, 50))
