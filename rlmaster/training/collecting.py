"""Collectors: how each frame source fills a store, and how it goes on where it was cut.

A source of one's own names in `builds` a class that is made and asked as a Collector is.

Shapes: T rows of a store, N environments.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from rlmaster.atari.collection import collect, is_collected, play_again, rows_for
from rlmaster.atari.emulators import EmulatorEnvironments
from rlmaster.atari.environment import AtariEnvironments, Step
from rlmaster.atari.labels import label_frames
from rlmaster.atari.policies import Policy, RandomPolicy, ScriptedPolicy, WithRandomActions
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.atari.ram import games_with_ram
from rlmaster.errors import TrainingError
from rlmaster.experiment import Experiment
from rlmaster.frame_sources import (
    RANDOM,
    SCRIPTED,
    AgentFrames,
    FrameSource,
    PlayedFrames,
    RandomFrames,
    ReplayFrames,
)
from rlmaster.replay.frame_store import FrameStore
from rlmaster.run_folder import RunFolder
from rlmaster.training.trained_policy import trained_policy

Source = TypeVar("Source", bound=FrameSource)
Played = TypeVar("Played", bound=PlayedFrames)
Advance = Callable[[int], None]
"""Told how far it is; may raise StopRequested."""
Seal = Callable[[int], None]
"""Seals all rows before the one that is named, unless they are sealed."""


class Collector(ABC, Generic[Source]):
    """Fills a store with the frames of a source, the same ones however often it is cut."""

    collects: ClassVar[bool] = True
    """Whether frames that are missing can be collected."""
    compares_frames: ClassVar[bool] = True
    """Whether `play_again` looks at the stored frames, so that another emulator is noticed."""

    def __init__(self, source: Source, experiment: Experiment, folder: Path) -> None:
        """Look at nothing yet.

        Args:
            source: What to collect.
            experiment: Names game, protocol, seed and the number of environments.
            folder: The run's `replay` folder.
        """
        self.source = source
        self.atari = experiment.environment
        self.seed = experiment.seed
        self.folder = folder

    @property
    @abstractmethod
    def steps(self) -> int:
        """Agent steps that there will be, over all environments together; 0 if it is not known."""

    @property
    @abstractmethod
    def capacity_rows(self) -> int:
        """Rows of each environment to make room for; 0 if it is not known."""

    @abstractmethod
    def is_whole(self, store: FrameStore) -> bool:
        """Tell whether a store holds all that there is to collect."""

    @abstractmethod
    def start(self) -> None:
        """Be where the first row is about to be collected.

        Raises:
            TrainingError: If nothing can be collected.
        """

    @abstractmethod
    def play_again(self, store: FrameStore, advance: Advance) -> bool:
        """Be where a store ends, after `start`.

        Args:
            store: The rows that an earlier attempt sealed, one at least.
            advance: Told the rows that are done.

        Returns:
            Whether it is there; if not, `start` comes next.
        """

    @abstractmethod
    def play(self, store: FrameStore, advance: Advance, seal: Seal) -> None:
        """Collect all that is missing.

        Args:
            store: What there is; it grows as needed.
            advance: Told the agent steps that are done.
            seal: Called where a later attempt can go on from.
        """

    def label(self, store: FrameStore, num_rows: int, advance: Advance) -> NDArray[np.uint8] | None:
        """Return the consoles' memory behind the first rows of a store.

        Args:
            store: All frames.
            num_rows: Rows to label, T.
            advance: Told the rows that are done.

        Returns:
            Bytes, `(T, N, 128)`; None where they cannot be known, or nobody knows what they mean.

        Raises:
            TrainingError: If this emulator shows other frames.
        """
        return None

    def close(self) -> None:
        """End what `start` began; `start` may follow."""

    def clear(self) -> None:
        """Remove what was kept beside the chunks, since all frames are there or none."""


class _Play(Collector[Played]):
    """Environments side by side, and a policy that plays them."""

    _environments: AtariEnvironments
    _policy: Policy
    _after: Step | None = None

    @abstractmethod
    def begin(self) -> tuple[AtariEnvironments, Policy]:
        """Return who plays, at the beginning."""

    @property
    def steps(self) -> int:
        """Agent steps, over all environments together."""
        return self.source.steps

    @property
    def capacity_rows(self) -> int:
        """Rows of each environment to make room for."""
        return rows_for(self.steps, self.atari.num_environments)

    def is_whole(self, store: FrameStore) -> bool:
        """Tell whether a store holds the steps, and the row after them."""
        return is_collected(store, self.steps)

    def start(self) -> None:
        """Reset environments and policy."""
        self._environments, self._policy = self.begin()
        self._after = None

    def play_again(self, store: FrameStore, advance: Advance) -> bool:
        """Play the stored actions; tell whether the stored frames are what they show."""
        self._after = play_again(
            self._environments, self._policy, store, lambda row, _total: advance(row)
        )
        return self._after is not None

    def play(self, store: FrameStore, advance: Advance, seal: Seal) -> None:
        """Play on, and seal whole chunks."""

        def on_progress(steps: int, _total: int) -> None:
            seal(store.whole_chunk_rows)
            advance(steps)

        collect(self._environments, self._policy, store, self.steps, on_progress, self._after)

    def label(self, store: FrameStore, num_rows: int, advance: Advance) -> NDArray[np.uint8] | None:
        """Play the first rows again in emulators that give their memory, `(T, N, 128)`."""
        if self.atari.game not in games_with_ram():
            return None
        return label_frames(
            self.atari.game,
            PROTOCOLS[self.atari.protocol],
            self.seed,
            store.episode_start[:num_rows],
            store.actions[:num_rows],
            store.frames_of_row,
            lambda row, _total: advance(row),
        )

    def environments(self, *, with_ram: bool = False) -> AtariEnvironments:
        """Return environments as the experiment names them, also with the consoles' memory."""
        kind = EmulatorEnvironments if with_ram else AtariEnvironments
        return kind(
            self.atari.game,
            PROTOCOLS[self.atari.protocol],
            num_environments=self.atari.num_environments,
            seed=self.seed,
            num_threads=torch.get_num_threads(),
        )


class RandomPlay(_Play[RandomFrames]):
    """Collects RandomFrames."""

    def begin(self) -> tuple[AtariEnvironments, Policy]:
        """Return who plays, at the beginning."""
        environments = self.environments()
        return environments, RandomPolicy(num_actions=environments.num_actions, seed=self.seed)


class AgentPlay(_Play[AgentFrames]):
    """Collects AgentFrames."""

    def begin(self) -> tuple[AtariEnvironments, Policy]:
        """Return who plays, at the beginning."""
        environments, agent = self._agent()
        share, num_actions = self.source.random_share, environments.num_actions
        policy = WithRandomActions(agent, share, num_actions=num_actions, seed=self.seed)
        return environments, policy

    def _agent(self) -> tuple[AtariEnvironments, Policy]:
        if self.source.policy == SCRIPTED:
            emulators = self.environments(with_ram=True)
            assert isinstance(emulators, EmulatorEnvironments)
            return emulators, ScriptedPolicy(self.atari.game, emulators.action_meanings)
        environments = self.environments()
        if self.source.policy == RANDOM:
            num_actions = environments.num_actions
            return environments, RandomPolicy(num_actions=num_actions, seed=self.seed)
        return environments, trained_policy(RunFolder(self.folder.parent))


class StoredFrames(Collector[ReplayFrames]):
    """Gives the frames of an earlier run, which were brought into the run folder at its launch."""

    collects = False

    @property
    def steps(self) -> int:
        """Return that it is not known."""
        return 0

    @property
    def capacity_rows(self) -> int:
        """Return that it is not known."""
        return 0

    def is_whole(self, store: FrameStore) -> bool:
        """Tell that whatever is stored is all there is."""
        return True

    def start(self) -> None:
        """Refuse to collect.

        Raises:
            TrainingError: Always.
        """
        raise TrainingError(
            f"frames of run {self.source.run} are missing or damaged in {self.folder}; copy that "
            "run's replay there again, or launch this one anew"
        )

    def play_again(self, store: FrameStore, advance: Advance) -> bool:
        """Tell that nothing is played again."""
        return False

    def play(self, store: FrameStore, advance: Advance, seal: Seal) -> None:
        """Collect nothing."""
