"""Pictures while an agent learns: where they mean something, and none disturbs what is learned."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from playing_runs import (
    AUTOENCODER,
    EXPERIMENT,
    make_run,
    networks_of,
    prepared,
    shorten_games,
    train,
)

from rlmaster.agent_choices import RandomAgent
from rlmaster.embedder_choices import PixelEncoder
from rlmaster.embedders.base import build_embedder
from rlmaster.experiment import AgentTraining as PlayingBudget
from rlmaster.experiment import EmbedderTraining, EncoderTraining
from rlmaster.experiment import Recording as Keep
from rlmaster.run_folder import RunFolder
from rlmaster.training.agent_previews import AgentPreviews
from rlmaster.training.agent_training import AgentTraining
from rlmaster.training.canonical import canonical_frames
from rlmaster.training.checkpoint import find_checkpoint
from rlmaster.training.pictures import HEADER
from rlmaster.training.recording import Recording

PARALLEL = EXPERIMENT.model_copy(
    update={
        "embedder": AUTOENCODER.model_copy(update={"input_noise": 0.1}),
        "encoder": EncoderTraining(losses="representation"),
        "training": EmbedderTraining(batch_size=4),
        "agent_training": PlayingBudget(steps=200, evaluations=3, evaluation_episodes=1),
        "recording": Keep(checkpoints=1, video_episodes=0, previews=4),
    }
)


@pytest.fixture(scope="module", autouse=True)
def _short_games() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        shorten_games(patched.setattr)
        yield


@pytest.fixture(scope="module")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(tmp_path_factory.mktemp("parallel"), PARALLEL)


def steps_of(run: RunFolder) -> list[int]:
    return [int(path.stem.removeprefix("step-")) for path in run.preview_files()]


def test_they_come_while_the_embedder_learns_at_growing_intervals(parallel: RunFolder) -> None:
    # One update every ten steps after a warm-up of 100: after updates 1, 2, 5 and 10.
    assert steps_of(parallel) == [112, 120, 152, 200]
    pictures = {path.read_bytes() for path in parallel.preview_files()}
    assert len(pictures) == 4


def test_they_do_not_change_what_is_learned(parallel: RunFolder, tmp_path: Path) -> None:
    none = train(tmp_path, PARALLEL, recording=Keep(checkpoints=1, video_episodes=0, previews=0))
    assert steps_of(none) == []
    before, after = networks_of(none), networks_of(parallel)
    assert all(torch.equal(after[name], before[name]) for name in before)


def frozen_until(steps: int) -> EncoderTraining:
    return EncoderTraining(losses="both", unfreeze_at_steps=steps)


OF_A_RUN = EncoderTraining(weights="earlier", losses="td")
FROZEN = EncoderTraining(weights="earlier", losses="none")
WHEN_DRAWN: list[tuple[dict[str, Any], list[int]]] = [
    ({"encoder": EncoderTraining(losses="representation")}, [112, 120, 152, 200]),
    ({"encoder": EncoderTraining(losses="td")}, []),  # nothing trains the decoder
    ({"encoder": EncoderTraining(losses="none")}, []),
    ({"encoder": frozen_until(150)}, [160, 172, 180, 200]),  # after updates 6, 7, 8 and 10
    ({"encoder": frozen_until(200)}, []),
    ({"encoder": OF_A_RUN}, [0, 112, 132, 200]),  # as it came, and after updates 1, 3 and 10
    ({"encoder": OF_A_RUN, "recording": Keep(previews=1)}, [0]),
    ({"encoder": OF_A_RUN, "recording": Keep(previews=0)}, []),
    ({"encoder": FROZEN}, [0]),
    ({"encoder": FROZEN, "embedder": PixelEncoder(channels=(4, 4, 4), latent_dim=196)}, []),
    ({"encoder": OF_A_RUN, "agent": RandomAgent()}, [0]),
    ({"encoder": EncoderTraining(losses="both"), "agent": RandomAgent()}, []),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentTraining]:
    """Networks and updates of a run that never begins."""
    training = prepared(tmp_path_factory.mktemp("built"), PARALLEL)
    yield training
    training.recording.close()


@pytest.mark.parametrize(("changes", "steps"), WHEN_DRAWN)
def test_there_are_pictures_where_what_draws_was_trained_and_when_it_may_have_changed(
    changes: dict[str, Any], steps: list[int], built: AgentTraining, tmp_path: Path
) -> None:
    experiment = PARALLEL.model_copy(update=changes)
    embedder = built.agent.encoder.embedder
    if "embedder" in changes:
        embedder = build_embedder(experiment)
    learning = None if experiment.agent == RandomAgent() else built.learning
    run = make_run(tmp_path, experiment)
    recording = Recording(run)
    previews = AgentPreviews(experiment, embedder, learning, recording)
    assert previews.are_wanted is bool(steps)
    if steps:
        previews.choose_moments(canonical_frames(experiment.environment))
    previews.draw_as_it_came(0)
    for step in range(4, 204, 4):
        previews.draw_if_due(step - 4, step)
    recording.close()
    assert steps_of(run) == steps


def panels(path: Path) -> np.ndarray:
    """Return a picture without its caption, which names the step."""
    with Image.open(path) as picture:
        return np.asarray(picture)[HEADER:]


def test_a_frozen_encoder_is_drawn_once_in_a_run_and_once_in_its_branch_as_it_was_left(
    parallel: RunFolder, tmp_path: Path
) -> None:
    budget = PlayingBudget(steps=100, evaluations=3, evaluation_episodes=1)
    changes = {"encoder": FROZEN, "agent": RandomAgent(), "agent_training": budget}
    frozen = prepared(tmp_path / "frozen", PARALLEL.model_copy(update=changes))
    shutil.copytree(find_checkpoint(parallel.checkpoints), frozen.run.encoder_weights)
    finish(frozen)
    branch = prepared(tmp_path / "branch", frozen.experiment)
    for part in ("checkpoints", "replay"):
        shutil.copytree(frozen.run.path / part, branch.run.path / part, dirs_exist_ok=True)
    finish(branch)

    left = panels(parallel.preview_files()[-1])
    for run, step in ((frozen.run, 0), (branch.run, 100)):
        assert steps_of(run) == [step]
        assert np.array_equal(panels(run.preview_files()[0]), left)


def finish(training: AgentTraining) -> None:
    training.execute()
    training.recording.close()
