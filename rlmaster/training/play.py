"""Acting: the environments of a run, what was seen in them last, and the replay that it goes into.

Shapes: N environments, K stacked frames, H and W pixels, D numbers of all latents of an
observation.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlmaster.agent_choices import LearningAgent, ValueAgent
from rlmaster.agents.encoder import ObservationEncoder
from rlmaster.atari.action_log import ActionLog
from rlmaster.atari.environment import AtariEnvironments
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.experiment import Experiment
from rlmaster.replay.buffer import ReplayBuffer
from rlmaster.replay.chunk_files import rows_of_a_chunk
from rlmaster.replay.frame_store import FrameStore
from rlmaster.replay.latent_memory import LatentMemory, bytes_of_latent
from rlmaster.replay.prioritised import Priorities
from rlmaster.room import frames_of_replay
from rlmaster.training.checkpoint import Checkpoint
from rlmaster.training.recording import Recording
from rlmaster.training.seeds import seeds_from

ROWS_BESIDE_STEPS = 8
"""More than a stack needs, so that even the smallest replay offers something."""


class Play:
    """A run's games so far.

    While the emulators play an action, what came before it is stored and learned from. All rows are
    sealed in the background, before the ring that they lie in forgets them.

    Attributes:
        replay: What is learned from.
        steps: Agent steps so far, over all environments; an action that is ignored is none.
        returns: Raw returns of the training episodes that ended in the newest step.
    """

    def __init__(
        self,
        experiment: Experiment,
        device: torch.device,
        folder: Path,
        recording: Recording,
        encoder: ObservationEncoder | None = None,
    ) -> None:
        """Make room for the replay; `begin` or `load_state_dict` comes next.

        Args:
            experiment: Says what is played and how much of it is kept.
            device: Where batches and observations are needed.
            folder: The run's `replay` folder.
            recording: Who seals what was played.
            encoder: One whose latents are kept and learned from in place of frames, if any.

        Raises:
            TrainingError: If there is no room for the replay.
        """
        atari, seeds = experiment.environment, seeds_from(experiment.seed)
        protocol = PROTOCOLS[atari.protocol]
        self._folder = folder
        self._recording = recording
        self.replay = _replay_of(experiment, device, folder, seeds.batches, encoder)
        self._environments = AtariEnvironments(
            atari.game,
            protocol,
            num_environments=atari.num_environments,
            seed=experiment.seed,
        )
        longest = protocol.max_episode_frames // protocol.frame_skip
        self._log = ActionLog(self._environments, longest)
        self.steps = 0
        self.returns: list[float] = []
        self._return_so_far = np.zeros(atari.num_environments, np.float64)
        self._sealed_rows = 0

    def begin(self) -> None:
        """Start an episode in each environment."""
        self.replay.embed_again()
        self._step = self._environments.reset()

    @property
    def observation(self) -> Tensor:
        """What is to be acted upon, `(N, K, H, W)` uint8, or the latents of it, `(N, D)`."""
        return self.replay.observe(self._step)

    def send(self, actions: NDArray[np.int64]) -> None:
        """Let the emulators play an action each, `(N,)`, and store what it is an answer to."""
        self._environments.send(actions)
        self._log.add(actions)
        self._keep_sealed()
        self.replay.append(self._step, actions)
        self.steps += int(np.count_nonzero(~self._step.ended))

    def recv(self) -> None:
        """Wait for what came of it."""
        self._step = self._environments.recv()
        self._return_so_far += self._step.reward
        over = self._step.ended
        self.returns = self._return_so_far[over].tolist()
        self._return_so_far[over] = 0

    # ------------------------------------------------------------------------------ checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs, beside the rows that `seal` has kept by then."""
        log = {name: torch.from_numpy(values) for name, values in self._log.state().items()}
        return {
            "replay": self.replay.state(),
            "actions": log,
            "steps": self.steps,
            "return_so_far": torch.from_numpy(self._return_so_far.copy()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Be where the play was whose state it is.

        Raises:
            TrainingError: If the replay has other settings than then.
            RunFolderError: If sealed rows are missing or damaged.
        """
        self.replay.restore(self._folder, state["replay"])
        self._step = self._log.restore({k: v.numpy() for k, v in state["actions"].items()})
        self.steps = state["steps"]
        self._return_so_far = state["return_so_far"].numpy().copy()
        self._sealed_rows = max(0, self.replay.store.num_rows - 1)

    def seal(self, stop_row: int) -> None:
        """Seal all rows before one; the recording's thread does this, while play goes on."""
        self.replay.store.save(self._folder, stop_row=stop_row)
        self._sealed_rows = stop_row

    def seal_for(self, checkpoint: Checkpoint) -> None:
        """Seal the rows that a checkpoint needs."""
        self.seal(max(0, checkpoint.state["play"]["replay"]["num_rows"] - 1))

    def _keep_sealed(self) -> None:
        """Have whole chunks sealed, and wait for it where the ring would forget rows before."""
        store = self.replay.store
        if not store.num_rows % rows_of_a_chunk(store.num_environments) and store.num_rows:
            stop_row = store.num_rows - 1
            self._recording.later(lambda: self.seal(stop_row))
        if store.num_rows - self._sealed_rows >= store.capacity_rows - 1:
            stop_row = store.num_rows - 1
            self._recording.later(lambda: self.seal(stop_row))
            self._recording.flush()


def latents_are_kept(experiment: Experiment) -> bool:
    """Tell whether updates need no frames: nothing changes the encoder, or what it looks at."""
    agent = experiment.agent
    shifts = isinstance(agent, ValueAgent) and agent.random_shift > 0
    return isinstance(agent, LearningAgent) and experiment.encoder.losses == "none" and not shifts


def _replay_of(
    experiment: Experiment,
    device: torch.device,
    folder: Path,
    seed: int,
    encoder: ObservationEncoder | None,
) -> ReplayBuffer:
    """Return an empty replay as an experiment's agent wants it; one that learns nothing has few."""
    agent, atari = experiment.agent, experiment.environment
    protocol = PROTOCOLS[atari.protocol]
    settings = agent if isinstance(agent, LearningAgent) else LearningAgent.model_construct()
    steps = min(settings.replay_steps, experiment.agent_training.steps)
    store = FrameStore(
        atari.num_environments,
        capacity_rows=frames_of_replay(steps) // atari.num_environments + ROWS_BESIDE_STEPS,
        device=device,
        ring=True,
        storage=experiment.frame_storage,
        disk_folder=folder,
        bytes_beside_frame=bytes_of_latent(encoder.embedder.latent_dim) if encoder else 0,
    )
    return ReplayBuffer(
        store,
        stacked_frames=protocol.stacked_frames,
        clip_rewards=settings.clip_rewards,
        life_loss_is_terminal=protocol.life_loss_is_terminal,
        seed=seed,
        priorities=Priorities(settings.priority_exponent, settings.importance_exponent)
        if settings.prioritised
        else None,
        latents=_latent_memory(store, encoder) if encoder else None,
    )


def _latent_memory(store: FrameStore, encoder: ObservationEncoder) -> LatentMemory:
    return LatentMemory(
        store,
        encoder.embedder.embed,
        latent_dim=encoder.embedder.latent_dim,
        frames_of_view=encoder.frames_of_view,
        num_views=encoder.num_views,
    )
