"""Launches whose agent begins with an earlier run's embedder: which run, and whether it fits."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from kept_checkpoints import keep_checkpoint, make_trained_run
from made_runs import make_run, set_state

from rlmaster import embedder_choices
from rlmaster.agent_choices import DQN
from rlmaster.earlier_runs import find_earlier_runs, resolve_earlier_runs, weights
from rlmaster.earlier_runs.encoder import (
    ABOUT_THE_LOSS,
    digest_over_seeds,
    find_encoder,
    resolve_encoder,
)
from rlmaster.embedder_choices import Autoencoder, Embedder, ForwardPredictor, PixelEncoder
from rlmaster.errors import ProjectError, UsageError
from rlmaster.experiment import Atari, EncoderTraining, Experiment
from rlmaster.experiment_script import ScriptDescription, describe_experiment
from rlmaster.frame_sources import ReplayFrames
from rlmaster.placement import Placement
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State
from rlmaster.training import checkpoint
from rlmaster.training.checkpoint import NETWORKS


def described(weights: str, embedder: Embedder | None = None, **fields: Any) -> ScriptDescription:
    experiment = {
        "name": "playing",
        "environment": Atari(game="Pong"),
        "embedder": embedder or Autoencoder(latent_dim=64),
        "agent": DQN(),
        "encoder": EncoderTraining(weights=weights, losses="none"),
    }
    return describe_experiment(Experiment(**(experiment | fields)))


def resolved(description: ScriptDescription, runs: Path) -> tuple[ScriptDescription, list[str]]:
    """Resolve an experiment, and return what was said too."""
    said: list[str] = []
    return resolve_encoder(description, runs, said.append), said


@pytest.fixture
def trained(tmp_path: Path) -> RunFolder:
    """A run that has trained an autoencoder of 64 numbers."""
    return make_trained_run(tmp_path)


def test_the_full_id_is_filled_in_and_enters_the_digest(trained: RunFolder, tmp_path: Path) -> None:
    asked = described(trained.short_id)
    found, said = resolved(asked, tmp_path)
    assert found.experiment["encoder"]["weights"] == trained.id
    assert found.digest == Experiment.from_data(found.experiment).digest() != asked.digest
    assert (found.differs_from_default, said) == (asked.differs_from_default, [])
    assert resolved(found, tmp_path) == (found, [])


def test_an_encoder_from_scratch_stays_as_it_is(tmp_path: Path) -> None:
    own = described("scratch")
    assert resolved(own, tmp_path) == (own, [])
    assert find_encoder(own.experiment, tmp_path) is None


def test_an_unknown_run_is_refused(trained: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no run is called 'zzzzzz'; the newest is"):
        resolved(described("zzzzzz"), tmp_path)


def test_of_several_runs_it_is_the_completed_one_of_same_seed_and_embedder(tmp_path: Path) -> None:
    first, second = (make_trained_run(tmp_path, seed=seed) for seed in (1, 2))
    for other in ({"latent_dim": 32}, {"latent_dim": 64, "foreground_weight": 0}):
        make_trained_run(tmp_path, Autoencoder(**other), seed=2)
    set_state(make_trained_run(tmp_path, seed=2), State.FAILED)
    make_trained_run(tmp_path, seed=2, environment=Atari(game="Breakout").to_data())
    for seed, run in ((1, first), (2, second)):
        found, _ = resolved(described("trained", seed=seed), tmp_path)
        assert found.experiment["encoder"]["weights"] == run.id


def test_runs_whose_encoders_differ_by_seed_alone_share_a_digest(tmp_path: Path) -> None:
    def digest_of(run: RunFolder, **fields: Any) -> str:
        found, _ = resolved(described(run.id, **fields), tmp_path)
        return digest_over_seeds(found.experiment, tmp_path)

    trained = [make_trained_run(tmp_path, seed=seed) for seed in (1, 2, 3)]
    for run, digest in zip(trained, ("one", "one", "other"), strict=True):
        known = {**run.run(), "digests": {"experiment": digest}}
        run.run_file.write_text(json.dumps(known))
    first, second, other = (digest_of(run, seed=run.config()["seed"]) for run in trained)
    assert first == second != other
    assert digest_of(trained[0], agent=DQN(batch_size=64)) != first
    gone, _ = resolved(described(trained[0].id), tmp_path)
    shutil.rmtree(trained[0].path)
    assert digest_over_seeds(gone.experiment, tmp_path) == gone.digest


@pytest.mark.parametrize("seed", [1, 3])
def test_where_several_runs_or_none_do_one_has_to_be_named(tmp_path: Path, seed: int) -> None:
    for _ in range(2):
        make_trained_run(tmp_path, seed=1)
    with pytest.raises(ProjectError, match=r"'trained' fits 2 runs; name one of them: "):
        resolved(described("trained", seed=seed), tmp_path)


# ------------------------------------------------------------------------------- whether it fits


def test_an_embedder_of_another_game_is_refused(trained: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"run {trained.short_id} knows pong, .* about breakout;"):
        resolved(described(trained.id, environment=Atari(game="Breakout")), tmp_path)


def test_other_rules_of_the_same_game_are_none_of_its_business(
    trained: RunFolder, tmp_path: Path
) -> None:
    atari = Atari(game="Pong", protocol="classic")
    found, _ = resolved(described(trained.id, environment=atari), tmp_path)
    assert found.experiment["environment"]["protocol"] == "classic"


@pytest.mark.parametrize(
    ("ours", "difference"),
    [
        (Autoencoder(latent_dim=32), "latent_dim 64 instead of 32;"),
        (Autoencoder(latent_dim=64, stacked_frames=4), "stacked_frames 1 instead of 4;"),
        (
            Autoencoder(latent_dim=16, channels=(8, 8, 8)),
            r"latent_dim 64 instead of 16, channels \[32, 64, 64\] instead of \[8, 8, 8\];",
        ),
        (Autoencoder(latent_dim=64, inverse_dynamics_weight=2), "inverse_dynamics_weight 0.0 ins"),
        (ForwardPredictor(latent_dim=32), "Autoencoder instead of ForwardPredictor;"),
    ],
)
def test_another_embedder_is_refused_with_what_both_have(
    ours: Embedder, difference: str, trained: RunFolder, tmp_path: Path
) -> None:
    sentence = f"run {trained.short_id} has another embedder than this experiment: {difference}"
    with pytest.raises(UsageError, match=sentence):
        resolved(described(trained.id, ours), tmp_path)


def test_what_only_the_loss_is_about_may_differ(trained: RunFolder, tmp_path: Path) -> None:
    ours = Autoencoder(latent_dim=64, loss="hinged", dropout=0.5, random_shift=4)
    found, _ = resolved(described(trained.id, ours), tmp_path)
    assert found.experiment["embedder"] == ours.to_data()


def test_every_field_that_may_differ_is_one_of_an_embedder() -> None:
    kinds = [kind for kind in vars(embedder_choices).values() if isinstance(kind, type)]
    fields = {f for kind in kinds if issubclass(kind, Embedder) for f in kind.model_fields}
    assert fields >= ABOUT_THE_LOSS


# ------------------------------------------------------------------------ what is taken over


def test_an_embedder_that_nobody_chose_is_that_of_the_run(
    trained: RunFolder, tmp_path: Path
) -> None:
    found, said = resolved(described(trained.short_id, Autoencoder()), tmp_path)
    assert found.experiment["embedder"] == Autoencoder(latent_dim=64).to_data()
    assert found.digest == Experiment.from_data(found.experiment).digest()
    assert "embedder.latent_dim" in found.differs_from_default
    assert said == [
        "the script leaves the embedder at its default, so it is that of run "
        f"{trained.short_id}: Autoencoder(latent_dim=64)"
    ]
    assert resolved(found, tmp_path) == (found, [])


def test_an_embedder_of_another_type_is_taken_over_too(tmp_path: Path) -> None:
    run = make_trained_run(tmp_path, PixelEncoder())
    found, (sentence,) = resolved(described(run.id, Autoencoder()), tmp_path)
    assert found.experiment["embedder"] == PixelEncoder().to_data()
    assert "PixelEncoder(latent_dim=3136, stacked_frames=4," in sentence


def test_it_is_said_once_for_all_runs_of_a_grid(trained: RunFolder, tmp_path: Path) -> None:
    said: list[str] = []
    seeds = [described(trained.id, Autoencoder(), seed=seed) for seed in (1, 2, 3)]
    found = resolve_earlier_runs(seeds, tmp_path, said.append)
    assert [one.experiment["seed"] for one in found] == [1, 2, 3]
    assert len(said) == 1


# --------------------------------------------------------------------- which weights there are


def test_weights_that_still_change_are_refused(trained: RunFolder, tmp_path: Path) -> None:
    set_state(trained, State.RUNNING)
    with pytest.raises(UsageError, match=f"is running, so its .* stop {trained.short_id}`$"):
        resolved(described(trained.id), tmp_path)


def test_a_damaged_checkpoint_is_none(trained: RunFolder, tmp_path: Path) -> None:
    (trained.checkpoints / "update-000000100" / NETWORKS).write_bytes(b"other")
    with pytest.raises(UsageError, match=f"{trained.short_id} is completed and has kept no whole"):
        resolved(described(trained.id), tmp_path)


def test_weights_that_are_on_another_computer_are_to_be_pulled(
    trained: RunFolder, tmp_path: Path
) -> None:
    (trained.checkpoints / "update-000000100" / NETWORKS).unlink()
    trained.write_placement(
        Placement("far", "ssh", "far", "far-1", "/far/run", "/far", "python", 1, 1)
    )
    with pytest.raises(UsageError, match=f"`rlmaster pull --all {trained.short_id}` .* from far$"):
        resolved(described(trained.id), tmp_path)


def test_the_newest_whole_checkpoint_is_taken(trained: RunFolder, tmp_path: Path) -> None:
    newer = keep_checkpoint(trained, "update-000000150")
    (keep_checkpoint(trained, "update-000000200") / NETWORKS).unlink()
    encoder = find_encoder(described(trained.id).experiment, tmp_path)
    assert encoder is not None
    assert encoder.checkpoint == newer
    assert encoder.to_data() == {"run": trained.id, "updates": 150, "frames": 1000}


def test_of_a_run_on_stored_frames_those_count_that_were_played_for_them(
    trained: RunFolder, tmp_path: Path
) -> None:
    frames = ReplayFrames(run=trained.id).to_data()
    later = make_run(tmp_path, "later", config={"frames": frames})
    keep_checkpoint(later)
    set_state(later, State.COMPLETED)
    asked = described(later.id).experiment
    assert _taken(asked, tmp_path) == {"run": later.id, "updates": 100, "frames": 1000}
    trained.run_file.unlink()
    assert _taken(asked, tmp_path)["frames"] is None


def test_of_an_agent_its_own_steps_count(tmp_path: Path) -> None:
    agent = make_run(tmp_path, "agent", config={"agent": DQN().to_data()})
    keep_checkpoint(agent, "step-000005000")
    set_state(agent, State.STOPPED)
    asked = described(agent.id).experiment
    assert _taken(asked, tmp_path) == {"run": agent.id, "updates": None, "frames": 5000}


def _taken(experiment: dict[str, Any], runs: Path) -> dict[str, Any]:
    takes = find_earlier_runs(experiment, runs)
    assert takes.encoder is not None
    return json.loads(json.dumps(takes.encoder.to_data()))


def test_a_run_whose_frames_and_embedder_are_taken_is_one_parent(
    trained: RunFolder, tmp_path: Path
) -> None:
    both = described(trained.id, frames=ReplayFrames(run=trained.id))
    takes = find_earlier_runs(both.experiment, tmp_path)
    assert takes.ids == [trained.id]


def test_what_is_taken_of_a_checkpoint_is_what_training_calls_so() -> None:
    assert weights.MANIFEST == checkpoint.MANIFEST
    assert weights.NETWORKS == checkpoint.NETWORKS
