import shutil

import numpy as np
import pytest
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from rlmaster.agent_choices import DoubleDQN
from rlmaster.durable_files import write_json
from rlmaster.experiment import Atari, Autoencoder, Experiment
from rlmaster.run_folder import Progress, RunFolder
from rlmaster.run_status import State, Status

needs_tex = [
    pytest.mark.system,
    pytest.mark.skipif(
        not (shutil.which("pdflatex") and shutil.which("pdftotext")),
        reason="needs LaTeX and poppler-utils; tests/system_packages.sh installs them",
    ),
]
RESULT = {"metric": "held_out/error", "value": 4.18e-5, "before": 0.0123, "unit": "per pixel"}


@pytest.fixture
def make_run(tmp_path):
    """Make the folder of a completed run, in a path that is awkward for programs."""

    def make(rationale="Does the ball survive?\n\nI expect so.", *, agent=None, **provenance):
        experiment = Experiment(
            name="pong-autoencoder",
            environment=Atari(game="Pong"),
            embedder=Autoencoder(latent_dim=64),
            agent=agent,
        )
        run = RunFolder.create(
            tmp_path / "with spaces ü",
            config=experiment.to_data(),
            rationale=rationale,
            provenance=provenance,
            digests={"experiment": "ab" * 32, "snapshot": "cd" * 32},
            differs_from_default=["embedder.latent_dim"],
        )
        run.write_status(Status(State.COMPLETED, attempt=1))
        run.write_progress(Progress("rendering", 100, 100, result=RESULT))
        write_json(run.environment_file, {"python": "3.11.7", "packages": {"torch": "2.13.0"}})
        run.append_attempt(
            {"start": "2026-11-23T16:00:00.000+00:00", "end": "2026-11-23T16:02:13.000+00:00"}
        )
        return run

    return make


@pytest.fixture
def playing_run(make_run):
    """A completed run of an agent, with the curves that one has."""
    encoder = {"run": "20260101-000000-abcdef", "updates": 50_000, "frames": 100_000}
    run = make_run(agent=DoubleDQN(), encoder_from=encoder)
    result = {
        "metric": "evaluation/return",
        "name": "mean return of 10 episodes",
        "axis": "steps",
        "value": 18.3,
        "before": -20.3,
        "higher_is_better": True,
        "evaluation/human_normalised": 1.09,
    }
    run.write_progress(Progress("rendering", 1000, 1000, "steps", result=result))
    write_scalars(run.tensorboard, {"train/loss": 40, "train/return": 40})
    write_scalars(run.tensorboard, {"evaluation/return": 5, "train/steps_per_s": 40})
    return run


@pytest.fixture
def full_run(make_run):
    """A run that has everything a report can show."""
    run = make_run(standing="best so far of 5 comparable runs")
    write_scalars(run.tensorboard, {"train/loss": 40, "train/updates_per_s": 40})
    write_scalars(run.tensorboard, {"held_out/error": 5, "held_out/foreground_error": 5})
    picture = Image.fromarray(np.arange(60 * 40, dtype=np.uint8).reshape(40, 60))
    picture.save(run.previews / "step-000000100.png")
    return run


def write_scalars(folder, counts, *, start=0, purge_step=None):
    """Write so many falling points of each tag, as training does."""
    with SummaryWriter(str(folder), purge_step=purge_step) as writer:
        for tag, count in counts.items():
            for step in range(start, start + count):
                writer.add_scalar(tag, 1 / (step + 1), step, walltime=1000 + step)
