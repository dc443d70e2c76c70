"""Films of an evaluation: the right episodes, whole or cut, with what the encoder draws of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_agent import TinyAgent, tiny_agent

from rlmaster.agent_choices import DoubleDQN, RandomAgent
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.embedder_choices import Autoencoder, Embedder, ForwardPredictor, PixelEncoder
from rlmaster.experiment import Atari, EncoderTraining, Experiment
from rlmaster.training import agent_film
from rlmaster.training.agent_film import film, frames_to_film, who_draws
from rlmaster.training.gallery import drawn_pairs
from rlmaster.training.playing import Evaluator, Played
from rlmaster.training.stopping import StopRequested
from rlmaster.training.video import GAP, SCALE

SIDE = 84 * SCALE


def nobody(_done: int) -> None:
    """Hear of no progress."""


@pytest.fixture(scope="module")
def evaluated() -> tuple[Evaluator, Played]:
    """Three whole games of different lengths, at random so that they are short."""
    evaluator = Evaluator(
        "breakout",
        PROTOCOLS["machado2018"],
        episodes=3,
        exploration=1.0,
        seed=7,
        device=torch.device("cpu"),
    )
    return evaluator, evaluator.play(tiny_agent("breakout"), nobody)


def pictures(path: Path) -> np.ndarray:
    """Return what a video shows, `(T, H, W)`."""
    import av

    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])


def differ(shown: np.ndarray, frames: np.ndarray) -> float:
    """Return by how many grey levels a video's screens differ from frames `(T, 84, 84)`."""
    middles = shown[:, SCALE // 2 :: SCALE, SCALE // 2 :: SCALE]
    return float(np.abs(middles.astype(float) - frames).mean())


def predicts() -> TinyAgent:
    """Return an agent whose embedder draws the next frame, and so none of an episode's first."""
    return tiny_agent("breakout", ForwardPredictor(latent_dim=4, channels=(2, 2, 2)))


def test_films_show_the_best_and_the_median_episode_beside_what_is_drawn(
    evaluated: tuple[Evaluator, Played], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_film, "FILMED_STEPS", 40)
    evaluator, played = evaluated
    agent = predicts()
    film(agent.encoder.embedder, evaluator, played, tmp_path / "videos", nobody)
    assert {path.name for path in (tmp_path / "videos").iterdir()} == {"best.mp4", "median.mp4"}
    chosen = [played.returns.best_episode, played.returns.median_episode]
    store = evaluator.play_again(played, chosen, 40, nobody)
    for episode, name in zip(store.episodes(), ("best", "median"), strict=True):
        shown = pictures(tmp_path / "videos" / f"{name}.mp4")
        pairs = drawn_pairs(agent.encoder.embedder, store, [episode], nobody)
        screens, drawn = (np.stack(side) for side in zip(*pairs, strict=True))
        assert shown.shape == (40, SIDE, 2 * SIDE + GAP)
        assert differ(shown[:, :, :SIDE], screens) < 3
        assert differ(shown[:, :, SIDE + GAP :], drawn) < 3


@pytest.mark.parametrize(
    ("embedder", "encoder", "is_drawn"),
    [
        (Autoencoder(), EncoderTraining(losses="td"), False),
        (Autoencoder(), EncoderTraining(losses="none"), False),
        (Autoencoder(), EncoderTraining(losses="both"), True),
        (Autoencoder(), EncoderTraining(losses="none", weights="a1b2c3"), True),
        (PixelEncoder(), EncoderTraining(losses="td"), False),
    ],
)
def test_what_nobody_has_trained_to_draw_is_not_shown(
    embedder: Embedder, encoder: EncoderTraining, is_drawn: bool
) -> None:
    experiment = Experiment(
        name="x",
        environment=Atari(game="Breakout"),
        embedder=embedder,
        agent=DoubleDQN(),
        encoder=encoder,
    )
    agent = tiny_agent("breakout", embedder)
    assert who_draws(agent, experiment) is (agent.encoder.embedder if is_drawn else None)
    at_random = experiment.model_copy(update={"agent": RandomAgent()})
    assert who_draws(agent, at_random) is None


def test_where_nothing_is_drawn_the_screen_stands_alone_to_the_episodes_end(
    evaluated: tuple[Evaluator, Played], tmp_path: Path
) -> None:
    evaluator, played = evaluated
    told: list[int] = []
    film(None, evaluator, played, tmp_path, told.append)
    best, median = played.returns.best_episode, played.returns.median_episode
    assert best != median
    for number, name in ((best, "best"), (median, "median")):
        length = played.returns.steps[number] + 1
        shown = pictures(tmp_path / f"{name}.mp4")
        assert shown.shape == (length, SIDE, SIDE)
        store = evaluator.play_again(played, [number], length, nobody)
        assert differ(shown, store.frames[:length, 0].numpy()) < 3
    assert told == sorted(told)
    assert told[-1] == frames_to_film(played)
    assert len(set(told)) == frames_to_film(played) + 1


@pytest.mark.parametrize("frames", [0, 5])
def test_a_film_that_is_cut_short_leaves_nothing(
    evaluated: tuple[Evaluator, Played], tmp_path: Path, frames: int
) -> None:
    def check(done: int) -> None:
        if done >= frames:
            raise StopRequested

    with pytest.raises(StopRequested):
        film(None, *evaluated, tmp_path, check)
    assert list(tmp_path.iterdir()) == []
