"""A run that plays, as the app shows it."""

import pytest
from driving import NOW, drive, screen_text, wait_for_text, wait_until
from made_runs import PLAYING, complete, complete_playing, make_run
from torch.utils.tensorboard import SummaryWriter

from tui.app import RlmasterApp
from tui.children.commands import CommandLine
from tui.reading.baselines import fields_of
from tui.reading.curves import FIRST_SCALARS
from tui.screens.run import RunScreen


def test_its_page_tells_who_plays_and_begins_with_the_measured_return(empty_project):
    run = complete_playing(make_run(empty_project.runs, config=PLAYING), 18.3)
    with SummaryWriter(str(run.tensorboard)) as writer:
        for step in range(5):
            for tag in ("train/loss", "train/return", "evaluation/return"):
                writer.add_scalar(tag, step, 100 * step)
    line = CommandLine(run.path, ("/bin/true",))

    async def scenario(pilot):
        pilot.app.push_screen(RunScreen(run, line, lambda: NOW))
        await wait_for_text(pilot, "DoubleDQN, frozen")
        await wait_for_text(pilot, "rose from -20.3 to 18.3")
        await wait_until(pilot, lambda: "evaluation/return" in screen_text(pilot.app))

    drive(RlmasterApp(empty_project, command=line, clock=lambda: NOW), scenario, size=(140, 45))


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [("scratch", "No previews: nothing trains what would draw them."), ("x", "No previews yet.")],
)
def test_its_page_says_whether_previews_are_to_come(empty_project, weights, sentence):
    encoder = {"weights": weights, "losses": "td"}
    run = make_run(empty_project.runs, config={**PLAYING, "encoder": encoder})
    line = CommandLine(run.path, ("/bin/true",))

    async def scenario(pilot):
        pilot.app.push_screen(RunScreen(run, line, lambda: NOW))
        await wait_for_text(pilot, sentence)

    drive(RlmasterApp(empty_project, command=line, clock=lambda: NOW), scenario, size=(140, 45))


def test_a_measurement_comes_before_what_training_notes():
    kinds = [tag.partition("/")[0] for tag in FIRST_SCALARS]

    assert kinds == sorted(kinds, key=lambda kind: kind == "train")


def test_a_configuration_is_compared_without_what_means_nothing_in_it(empty_project):
    playing = fields_of(make_run(empty_project.runs, config=PLAYING))
    embedder = fields_of(
        complete(make_run(empty_project.runs, config={**PLAYING, "agent": None}), 0.1)
    )

    assert playing is not None
    assert embedder is not None
    assert playing["agent_training.steps"] == 1000
    assert not [name for name in embedder if name.startswith(("agent", "encoder"))]
