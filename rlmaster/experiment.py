"""The experiment: every hyperparameter of one run, validated, with no need of torch."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rlmaster.agent_choices import Agent, LearningAgent
from rlmaster.embedder_choices import Autoencoder, Embedder
from rlmaster.errors import near_match
from rlmaster.experiment_data import OWN_LOSS, meaningful
from rlmaster.frame_sources import FrameSource, RandomFrames
from rlmaster.specification import AnyPart, Specification, at_defaults, digest

OBSERVATION_FRAMES = 4
"""Frames that an agent sees at a time, under every protocol."""
NOT_SCIENTIFIC = frozenset(
    {"name", "tags", "seed", "recording", "requires", "on_lost", "frame_storage"}
)
"""Fields of an experiment that do not change what is compared, and so do not enter its digest."""


@cache
def atari_games() -> tuple[str, ...]:
    """Return the games that ale-py carries and can play, as its ROM names (`ms_pacman`).

    That leaves out combat, joust, maze_craze and warlords, which it knows for two players only: to
    load one of these for a single player ends the process.
    """
    return tuple(resources.files("rlmaster").joinpath("data/atari_games.txt").read_text().split())


def observed_frames(embedder: Embedder) -> int:
    """Return how many frames an embedder looks at where an agent plays by its latents."""
    return int(getattr(embedder, "stacked_frames", OBSERVATION_FRAMES))


def _known_game(name: str) -> str:
    """Accept `Pong`, `MsPacman`, `ms-pacman` or `Ms. Pacman` for the game `ms_pacman`."""
    plain = {re.sub(r"[^a-z0-9]", "", game): game for game in atari_games()}
    wanted = re.sub(r"[^a-z0-9]", "", name.lower())
    if wanted in plain:
        return plain[wanted]
    hint = near_match(wanted, plain) or "; `rlmaster frames --list` names them all"
    raise ValueError(f"{name!r} is not an Atari game that ale-py carries{hint}")


class Atari(Specification):
    """The game, and the protocol under which it is played."""

    game: Annotated[str, AfterValidator(_known_game)]
    """Atari game, by any spelling of its name."""
    protocol: Literal["machado2018", "classic", "atari_100k"] = "machado2018"
    """Preset of every emulator option, named for the paper or benchmark that set it."""
    num_environments: int = Field(default=8, ge=1, le=1024)
    """Games played side by side, 1 to 1024."""


class EmbedderTraining(Specification):
    """How an embedder is trained on collected frames."""

    updates: int = Field(default=50_000, ge=1, le=1_000_000_000)
    """Optimiser updates in total, at least 1."""
    batch_size: int = Field(default=32, ge=1, le=65_536)
    """Frames in one update, at least 1."""
    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    """Step size of Adam, above 0."""
    evaluations: int = Field(default=20, ge=3, le=10_000)
    """Measurements of the held-out error, spread evenly over the updates, at least 3."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the networks; auto takes bfloat16 where the processor has it."""
    compile: Literal["auto", "always", "never"] = "auto"
    """Whether torch.compile fuses the update; auto takes what is faster, in long runs."""


class AgentTraining(Specification):
    """How long an agent plays and learns, and how it is measured."""

    steps: int = Field(default=1_000_000, ge=100, le=10_000_000_000)
    """Agent steps in total, over all environments together and with the warm-up, at least 100."""
    evaluations: int = Field(default=20, ge=3, le=10_000)
    """Measurements of the return, spread evenly over the steps, at least 3."""
    evaluation_episodes: int = Field(default=10, ge=1, le=1000)
    """Full episodes of a measurement, played side by side, 1 to 1000."""
    evaluation_exploration: float = Field(default=0.001, ge=0, le=1)
    """Share of random actions in them, 0 to 1."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the networks; auto takes bfloat16 where the processor has it."""
    compile: Literal["auto", "always", "never"] = "auto"
    """Whether torch.compile fuses the update; auto takes what is faster, in long runs."""


class EncoderTraining(Specification):
    """Where an agent's encoder has its weights from, and which losses may change them.

    Frozen is (a run, none), fine-tuned (a run, td), parallel (scratch, representation), joint
    (scratch, both), end to end (scratch, td), and a random control (scratch, none).
    """

    weights: str = Field(default="scratch", min_length=1, max_length=200)
    """`scratch`, or the run whose embedder it begins as: of several, that of the same seed."""
    losses: Literal["td", "representation", "both", "none"] = "td"
    """Which may change it: the agent's temporal differences, the embedder's own loss, or both."""
    unfreeze_at_steps: int = Field(default=0, ge=0, le=10_000_000_000)
    """Agent steps until which no loss changes it, 0 for none."""
    learning_rate: float | None = Field(default=None, gt=0, le=1)
    """Step size where temporal differences change it; none takes the agent's."""
    target_rate: float | None = Field(default=None, gt=0, le=1)
    """Share of the way to the encoder that its target copy moves; none takes the agent's."""
    representation_update_ratio: float = Field(default=1.0, gt=0, le=64)
    """Updates by the embedder's own loss for each of the agent's, above 0, at most 64."""


class Recording(Specification):
    """What a run keeps beside its result; none of it changes what is learned."""

    previews: int = Field(default=12, ge=0, le=1000)
    """Pictures of original and what a trained decoder draws, at growing intervals, 0 to 1000."""
    video_episodes: int = Field(default=1, ge=0, le=100)
    """Held-out episodes in the video that is made at the end, 0 for none."""
    checkpoints: int = Field(default=4, ge=1, le=1000)
    """Checkpoints, spread evenly over the updates; the last is always kept, at least 1."""
    checkpoint_every_s: float = Field(default=300.0, gt=0, le=86_400)
    """Seconds between the checkpoints that only a resume needs, above 0, at most 86,400."""


class Requirements(Specification):
    """What a run needs of the computer that it goes to; none of it changes what is learned."""

    gpu: bool = False
    """Whether it needs a GPU that nobody uses."""
    memory_gb: float = Field(default=1.0, ge=0, le=100_000)
    """Memory that must be available, in GB of 10^9 bytes, 0 to 100,000."""
    disk_gb: float = Field(default=1.0, ge=0, le=1_000_000)
    """Space that must be free where runs are kept, in GB of 10^9 bytes, 0 to 1,000,000."""
    tags: tuple[str, ...] = ()
    """Words that the host must have as tags in hosts.toml."""


class Experiment(Specification):
    """Every hyperparameter of one run."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        json_schema_extra={"pattern_in_words": "1 to 64 letters, digits, `.`, `_` and `-`"},
    )
    """Name of the experiment and of the folder of its runs; a letter or a digit comes first."""
    environment: Atari
    """The game and how it is played."""
    frames: AnyPart[FrameSource] = RandomFrames()
    """Where the frames come from."""
    embedder: AnyPart[Embedder] = Autoencoder()
    """How observations become latents."""
    training: EmbedderTraining = EmbedderTraining()
    """How the embedder is trained by its own loss."""
    agent: AnyPart[Agent] | None = None
    """Who learns to play by the latents; none where the run is about the embedder alone."""
    agent_training: AgentTraining = AgentTraining()
    """How long the agent plays, and how it is measured."""
    encoder: EncoderTraining = EncoderTraining()
    """What becomes of the embedder while an agent learns."""
    recording: Recording = Recording()
    """What is kept beside the result."""
    requires: Requirements = Requirements()
    """What the run needs of a computer."""
    frame_storage: Literal["auto", "device", "memory", "disk"] = "auto"
    """Where frames live while training; auto takes the first with room: device, memory, disk."""
    on_lost: Literal["report", "resume"] = "report"
    """What happens when its computer dies or is restarted; `resume` goes on by itself."""
    seed: int = Field(default=1, ge=0, lt=2**31)
    """Seed of every random choice in the run, 0 to 2,147,483,647."""
    tags: tuple[str, ...] = ()
    """Words to find the run by."""

    @model_validator(mode="after")
    def _frames_can_be_had(self) -> Self:
        self.frames.require_playable(self.environment.game)
        return self

    @model_validator(mode="after")
    def _agent_and_encoder_fit(self) -> Self:
        uses_own_loss = self.agent is None or self.encoder.losses in OWN_LOSS
        if uses_own_loss and not self.embedder.has_loss:
            name = type(self.embedder).__name__
            raise ValueError(
                f"{name} has no loss of its own; name an agent that trains it (encoder.losses=td), "
                "or another embedder, such as Autoencoder"
            )
        if self.agent is None and self.encoder != EncoderTraining():
            raise ValueError("encoder says what an agent's losses do; name an agent too")
        stacked = observed_frames(self.embedder)
        if self.agent is not None and stacked > OBSERVATION_FRAMES:
            raise ValueError(
                f"embedder.stacked_frames={stacked} are more than the {OBSERVATION_FRAMES} frames "
                f"that an agent sees at a time; choose {OBSERVATION_FRAMES} or fewer"
            )
        return self

    @model_validator(mode="after")
    def _encoder_is_unfrozen_in_time(self) -> Self:
        frozen, steps = self.encoder.unfreeze_at_steps, self.agent_training.steps
        if self.agent is not None and frozen >= steps:
            raise ValueError(
                f"encoder.unfreeze_at_steps={frozen:,} is not before the end, "
                f"agent_training.steps={steps:,}; lower it, or freeze the encoder for good with "
                "encoder.losses=none"
            )
        return self

    @model_validator(mode="after")
    def _agent_comes_to_learning(self) -> Self:
        agent, count = self.agent, self.environment.num_environments
        if isinstance(agent, LearningAgent):
            steps = min(agent.warm_up_steps, agent.replay_steps)
            if agent.n_step > steps // count:
                raise ValueError(
                    f"agent.n_step={agent.n_step} needs as many steps of each of {count} "
                    f"environments, and of the {steps:,} steps that an update may have to do with "
                    f"each gives {steps // count:,}; raise agent.warm_up_steps and "
                    "agent.replay_steps, or lower environment.num_environments or agent.n_step"
                )
            if self.agent_training.steps <= agent.warm_up_steps:
                raise ValueError(
                    f"agent_training.steps={self.agent_training.steps:,} end before anything is "
                    f"learned, for the warm-up takes {agent.warm_up_steps:,}; raise them, or lower "
                    "agent.warm_up_steps"
                )
        return self

    def defaults(self) -> dict[str, Any]:
        """Return the JSON data of the same parts with every field that has a default left at it."""
        return Experiment.model_construct(  # for these need not hold together
            name=self.name,
            environment=at_defaults(self.environment),
            frames=at_defaults(self.frames),
            embedder=at_defaults(self.embedder),
            agent=None if self.agent is None else at_defaults(self.agent),
        ).to_data()

    def digest(self) -> str:
        """Return the SHA-256 of the scientific fields; runs that share it differ by seed alone."""
        return scientific_digest(self.to_data())


def scientific_digest(experiment: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what is compared of an experiment, which is given as JSON data."""
    compared = meaningful(experiment)
    return digest({name: value for name, value in compared.items() if name not in NOT_SCIENTIFIC})
