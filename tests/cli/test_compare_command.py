"""`rlmaster compare`: what differs, and what came of it."""

import json

import pytest
from made_runs import CONFIG, PLAYING, complete, complete_playing, make_run, set_state
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from rlmaster.durable_files import read_json, write_json
from rlmaster.reports.comparison_figure import mean_curve
from rlmaster.reports.figures import Line
from rlmaster.reports.scalars import Series
from rlmaster.run_folder import RunFolder, list_runs
from rlmaster.run_status import State


@pytest.fixture
def runs(project) -> list[RunFolder]:
    """Three seeds of an experiment, and one of another that is still running."""
    made: list[RunFolder] = []
    for number, (latent_dim, seed) in enumerate([(32, 1), (32, 2), (32, 3), (64, 1)]):
        embedder = {**CONFIG["embedder"], "latent_dim": latent_dim}
        config = {"seed": seed, "embedder": embedder}
        run_id = f"20260101-00000{number}-abc{number}xy"
        run = make_run(project / "runs", run_id=run_id, config=config)
        digests = {"experiment": f"dim {latent_dim}"}
        write_json(run.run_file, {**(read_json(run.run_file) or {}), "digests": digests})
        made.append(run)
    for run, value in zip(made, (2.0, 4.0, 9.0), strict=False):
        complete(run, value)
    set_state(made[3], State.PREPARED)
    return made


def test_a_person_sees_what_differs_and_what_each_experiment_came_to(command, runs):
    done = command("compare", *(run.short_id for run in runs))

    assert done.code == 0
    table, _, results = done.out.partition("\n\n")
    assert [line.split() for line in table.splitlines()[:-1]] == [
        ["field", *(run.short_id for run in runs)],
        ["embedder.latent_dim", "32", "32", "32", "64"],
        ["seed", "1", "2", "3", "1"],
    ]
    title, _, first, second = results.splitlines()
    assert title == "Held-out error, lower is better"
    assert "pong latent_dim=32" in first
    assert "-3.96 to 14.0" in first
    assert "1: 2, 2: 4, 3: 9" in first
    assert "1: (prepared)" in second


def test_a_program_reads_the_same(command, runs):
    answer = json.loads(command("compare", *(run.short_id for run in runs), "--json").out)

    assert answer["differences"]["seed"] == ["1", "2", "3", "1"]
    assert [row["id"] for row in answer["runs"]] == [run.id for run in runs]
    (contest,) = answer["contests"]
    first, second = contest["experiments"]
    assert first["mean"]["mean"] == 5.0
    assert [run["seed"] for run in first["runs"]] == ["1", "2", "3"]
    assert (second["mean"], second["runs"][0]["counts"]) == (None, False)


def test_one_run_alone_is_not_compared(command, runs):
    done = command("compare", runs[0].short_id, runs[0].short_id)

    assert done.code == 2
    assert "name two runs or more" in done.err


def test_why_runs_are_not_compared_is_said(command, runs):
    config = {"environment": {"game": "breakout", "protocol": "machado2018"}}
    other = complete(make_run(runs[0].path.parent.parent, config=config), 0.5)

    done = command("compare", runs[0].short_id, other.short_id)

    assert "not measured in the same way, and so not compared: environment.game" in done.err
    assert "Held-out error (game=breakout), lower is better" in done.out


def test_of_agents_the_one_with_the_highest_return_is_best(command, project):
    for losses, value in (("none", -20.3), ("both", 18.3)):
        encoder = {**PLAYING["encoder"], "losses": losses}
        run = make_run(project / "runs", config={**PLAYING, "encoder": encoder})
        digests = {"digests": {"experiment": losses}}
        write_json(run.run_file, {**(read_json(run.run_file) or {}), **digests})
        complete_playing(run, value)
    pair = [run.short_id for run in list_runs(project / "runs")]

    done = command("compare", *pair)

    assert (done.code, done.err) == (0, "")
    title, _, first, second = done.out.partition("\n\n")[2].splitlines()
    assert title == "Evaluation return, higher is better"
    assert first.startswith("▲ pong losses=both")
    assert "1: -20.3" in second


def test_the_curves_of_all_and_their_mean_are_drawn(command, runs, tmp_path):
    for number, run in enumerate(runs[:3]):
        with SummaryWriter(run.tensorboard) as writer:
            for step in range(0, 101, 20):
                writer.add_scalar("held_out/error", 10.0 - number, step)

    picture = tmp_path / "new" / "curves.png"
    done = command("compare", *(run.short_id for run in runs), "--plot", str(picture))

    assert done.code == 0
    with Image.open(picture) as drawn:
        colours = drawn.getcolors(1 << 20) or []
    assert any(colour == (0, 0x72, 0xB2) for _, colour in colours)  # the mean
    assert not any(colour == (0xD5, 0x5E, 0) for _, colour in colours)  # the one without a curve


def test_a_mean_goes_as_far_as_each_of_its_curves_does():
    short, long = Series(), Series()
    for step in (0, 10, 20):
        short.append(step, step, 0.0)
    for step in (0, 20, 40):
        long.append(step, 2.0 * step, 0.0)
    short.settle()
    long.settle()

    steps, values = mean_curve([Line(short), Line(long)])

    assert steps.tolist() == [0, 10, 20]
    assert values.tolist() == [0, 15, 30]


@pytest.mark.parametrize(
    ("name", "told"), [("a.pdf", "ends in .png"), ("a.png", "none of these runs was measured yet")]
)
def test_what_cannot_be_drawn_is_said(command, runs, tmp_path, name, told):
    done = command("compare", *(run.short_id for run in runs), "--plot", str(tmp_path / name))

    assert done.code == 2
    assert told in done.err
    assert not (tmp_path / name).exists()
