"""Atari games side by side: emulation in C++ threads, reproducible from a seed and the actions.

Shapes: N environments, K stacked frames (oldest first), H and W pixels of a frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ale_py
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from rlmaster.atari.protocols import Protocol

ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)

RESEED_AFTER_STEPS = 20_000
"""Steps of an environment since its last seeding before the next."""
Answer = tuple[
    NDArray[np.uint8],
    NDArray[np.floating[Any]],
    NDArray[np.bool_],
    NDArray[np.bool_],
    dict[str, Any],
]
"""What gymnasium's vector environments answer: observation, reward, terminated, truncated, more."""


@dataclass(frozen=True)
class Step:
    """What all environments answered to one action each, or to the first reset."""

    observation: NDArray[np.uint8]
    """Grey levels, `(N, K, H, W)`; frames before the episode's start are zero."""
    reward: NDArray[np.float32]
    """Change of the game's score, unclipped, `(N,)`."""
    terminated: NDArray[np.bool_]
    """The game is over and this is its last observation, `(N,)`; the next action is ignored."""
    truncated: NDArray[np.bool_]
    """The episode is cut at this observation for its length, `(N,)`; the next action is ignored."""
    life_lost: NDArray[np.bool_]
    """A life was lost by this action, `(N,)`; the game goes on unless it is also `terminated`."""
    episode_start: NDArray[np.bool_]
    """This is an episode's first observation, `(N,)`; the action before it was ignored."""
    lives: NDArray[np.int32]
    """Lives left, `(N,)`; 0 throughout in games without lives."""
    episode_frames: NDArray[np.int32]
    """Emulator frames since the episode's reset, `(N,)`; at its start those of no-ops and FIRE."""

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Where this is an episode's last observation, `(N,)`."""
        return self.terminated | self.truncated


@dataclass(frozen=True)
class Seedings:
    """When environments were last seeded."""

    steps_since: NDArray[np.int64]
    """Steps of each since then, `(N,)`."""
    times_before: NDArray[np.int64]
    """How often each had been seeded before, `(N,)`."""


class AtariEnvironments:
    """N environments of one game, stepped together.

    Each is a pure function of (seed, its index, its actions), whatever the number of threads or of
    other environments. The step that ends an episode returns its last observation; the step after
    it ignores the action and returns the next episode's first observation. (ale-py 0.12.1 leaves a
    step at the episode's end before it looks at the screen: the newest frame of a last observation
    is mostly that of the step before. `Emulator.act` does the same.)

    An environment can be brought back to where it is by playing its actions again since it was last
    seeded. To keep that short, it is seeded anew, from (seed, index, times seeded), by the first
    episode that starts after `reseed_after_steps`; not by each, because a seeded reset takes about
    0.1 s, twenty times a plain one.
    """

    def __init__(
        self,
        game: str,
        protocol: Protocol,
        *,
        num_environments: int,
        seed: int,
        num_threads: int = 0,
        reseed_after_steps: int = RESEED_AFTER_STEPS,
    ) -> None:
        """Load the game; `reset` must come before the first step.

        Args:
            game: ROM name as ale-py spells it, such as `ms_pacman`.
            protocol: How it is played and seen.
            num_environments: Games side by side.
            seed: The run's seed, not negative.
            num_threads: Threads that emulate; 0 leaves the choice to ale-py. Changes no result.
            reseed_after_steps: Steps of an environment since its last seeding before the next.
        """
        self.num_environments = num_environments
        self.protocol = protocol
        self._vector = self._load(game, num_threads)
        self._seed = seed
        self.reseed_after_steps = reseed_after_steps
        self._times_seeded = np.zeros(num_environments, np.int64)
        self._steps_since_seeding = np.zeros(num_environments, np.int64)
        self._ended = np.zeros(num_environments, np.bool_)
        self._lives = np.zeros(num_environments, np.int32)

    def _load(self, game: str, num_threads: int) -> Any:
        """Return what emulates; it answers as AtariVectorEnv does."""
        return AtariVectorEnv(
            game,
            self.num_environments,
            batch_size=self.num_environments,
            num_threads=num_threads,
            thread_affinity_offset=-1,
            max_num_frames_per_episode=self.protocol.max_episode_frames,
            repeat_action_probability=self.protocol.repeat_action_probability,
            full_action_space=self.protocol.full_action_space,
            continuous=False,
            continuous_action_threshold=0.5,
            autoreset_mode=AutoresetMode.NEXT_STEP,
            img_height=self.protocol.screen_size_pixels,
            img_width=self.protocol.screen_size_pixels,
            grayscale=True,
            stack_num=self.protocol.stacked_frames,
            frameskip=self.protocol.frame_skip,
            maxpool=self.protocol.maxpool,
            noop_max=self.protocol.max_noop_frames,
            # A lost life is read from `lives`: the emulator's own signal looks like the game's end.
            episodic_life=False,
            life_loss_info=False,
            reward_clipping=False,
            use_fire_reset=self.protocol.fire_at_reset,
        )

    @property
    def num_actions(self) -> int:
        """How many actions the protocol offers in this game."""
        return len(self.action_meanings)

    @property
    def action_meanings(self) -> tuple[str, ...]:
        """Name of each action by its number, such as `NOOP` or `UPFIRE`."""
        return tuple(action.name for action in self._vector.ale.get_action_set())

    def reset(self) -> Step:
        """Seed all environments for the next time and start an episode in each."""
        everywhere = np.ones(self.num_environments, np.bool_)
        observation, information = self._reset_seeded(everywhere)
        nothing = np.zeros(self.num_environments, np.bool_)
        self._ended, self._lives = nothing, information["lives"]
        return Step(
            observation=observation,
            reward=np.zeros(self.num_environments, np.float32),
            terminated=nothing,
            truncated=nothing,
            life_lost=nothing,
            episode_start=everywhere,
            lives=self._lives,
            episode_frames=information["episode_frame_number"],
        )

    def restart(self) -> Step:
        """Come back to the very first reset, so that the same actions bring the same games."""
        self._times_seeded[:] = 0
        return self.reset()

    def send(self, actions: NDArray[np.int64]) -> None:
        """Start a step with one action per environment, `(N,)`, and return while it is emulated."""
        self._vector.send(actions)

    def recv(self) -> Step:
        """Wait for the step that `send` started."""
        overdue = self._steps_since_seeding >= self.reseed_after_steps
        return self._recv(self._ended & overdue)

    def _recv(self, seeded_anew: NDArray[np.bool_]) -> Step:
        """Wait for the step that `send` started, which some environments spend on being seeded."""
        observation, reward, terminated, truncated, information = self._vector.recv()
        episode_start = self._ended | seeded_anew
        self._steps_since_seeding += 1
        if seeded_anew.any():
            # A plain reset has just happened in this step; the seeded one replaces it, so that
            # an episode's first observation still takes exactly one step.
            seeded_observation, seeded_information = self._reset_seeded(seeded_anew)
            observation[seeded_anew] = seeded_observation[seeded_anew]
            for name in ("lives", "episode_frame_number"):
                information[name][seeded_anew] = seeded_information[name][seeded_anew]
            for array in (reward, terminated, truncated):  # where it was no reset but a replay
                array[seeded_anew] = 0
        lives: NDArray[np.int32] = information["lives"]
        life_lost = (lives < self._lives) & ~episode_start
        self._ended, self._lives = terminated | truncated, lives
        return Step(
            observation=observation,
            reward=reward.astype(np.float32),
            terminated=terminated,
            truncated=truncated,
            life_lost=life_lost,
            episode_start=episode_start,
            lives=lives,
            episode_frames=information["episode_frame_number"],
        )

    def step(self, actions: NDArray[np.int64]) -> Step:
        """Play one action in each environment, `(N,)`."""
        self.send(actions)
        return self.recv()

    def replay(
        self, episode_start: NDArray[np.bool_], actions: NDArray[np.integer[Any]]
    ) -> Iterator[tuple[int, NDArray[np.bool_], Step]]:
        """Come back to where environments like these were some steps after their first reset.

        Each is seeded as it was seeded last and plays its actions since, so this takes at most
        `reseed_after_steps` and an episode, however long it has played.

        Args:
            episode_start: Where each step began an episode, `(T, N)`, from the first reset on.
            actions: Action chosen after each step, `(T, N)`; any where the episode was over.

        Yields:
            The number of a step, which environments are by now where they were, `(N,)`, and what
            they answer: from the earliest of the last seedings to step T, in which all are.
        """
        rows, times_seeded = last_seedings(episode_start, self.reseed_after_steps)
        yield from self._replay(rows, times_seeded, actions)

    def seedings(self) -> Seedings:
        """Return what, with the actions since then, brings environments back to where these are."""
        return Seedings(self._steps_since_seeding.copy(), self._times_seeded - 1)

    def come_back(self, seedings: Seedings, actions: NDArray[np.integer[Any]]) -> Step:
        """Come to where environments like these were that had been seeded so.

        Args:
            seedings: What `seedings` returned there.
            actions: What was played there last, oldest first, `(T, N)`, at least all actions since
                the earliest of the seedings.

        Returns:
            What the environments answer to the last actions.
        """
        *_, (_row, _there, step) = self._replay(
            len(actions) - seedings.steps_since, seedings.times_before, actions
        )
        return step

    def _replay(
        self,
        rows: NDArray[np.int64],
        times_seeded: NDArray[np.int64],
        actions: NDArray[np.integer[Any]],
    ) -> Iterator[tuple[int, NDArray[np.bool_], Step]]:
        """Play actions again from the rows at which environments were seeded, each `(N,)`."""
        first_row = int(rows.min())
        self._times_seeded = times_seeded.copy()
        yield first_row, rows == first_row, self.reset()
        for row in range(first_row, len(actions)):
            self.send(np.maximum(actions[row], 0).astype(np.int64))
            due = rows == row + 1
            self._times_seeded[due] = times_seeded[due]
            step = self._recv(due) if due.any() else self.recv()
            yield row + 1, rows <= row + 1, step

    def _reset_seeded(self, where: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        seeds = [
            environment_seed(self._seed, index, int(self._times_seeded[index]))
            for index in np.flatnonzero(where).tolist()
        ]
        self._times_seeded[where] += 1
        self._steps_since_seeding[where] = 0
        return self._vector.reset(seed=np.array(seeds), options={"reset_mask": where})


def last_seedings(
    episode_start: NDArray[np.bool_], reseed_after_steps: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when environments were last seeded, and how often each had been seeded before.

    Args:
        episode_start: Where each step began an episode, `(T, N)`, from the first reset on.
        reseed_after_steps: Steps since its last seeding after which an environment is due.

    Returns:
        The number of that step, and of the seedings before it, both `(N,)`.
    """
    num_environments = episode_start.shape[1]
    rows, times = np.zeros(num_environments, np.int64), np.zeros(num_environments, np.int64)
    for environment in range(num_environments):
        for start in np.flatnonzero(episode_start[:, environment]).tolist():
            if start - rows[environment] > reseed_after_steps:
                rows[environment] = start
                times[environment] += 1
    return rows, times


def environment_seed(run_seed: int, environment: int, times_seeded: int) -> int:
    """Return the seed, 0 to 2**31 - 1, of an environment that was seeded so often before."""
    sequence = np.random.SeedSequence(run_seed, spawn_key=(environment, times_seeded))
    return int(sequence.generate_state(1)[0]) & 0x7FFF_FFFF  # ale-py takes a signed 32-bit number
