"""Agents, as an experiment names them: who plays, and how it learns to.

Published settings count emulator frames; here all are agent steps, of four frames each, or updates.
"""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from rlmaster.specification import Part


class Agent(Part):
    """Who plays, and how it learns to."""


class RandomAgent(Agent):
    """Chooses uniformly among the actions and learns nothing: what the others have to beat."""

    builds: ClassVar[str] = "rlmaster.agents.random_agent:UniformAgent"


class LearningAgent(Agent):
    """What the loop needs to know of every agent that learns from a replay."""

    n_step: int = Field(default=1, ge=1, le=100)
    """Steps of reward before the target bootstraps, 1 to 100."""
    discount: float = Field(default=0.99, ge=0, lt=1)
    """What a reward one step later is worth, 0 to below 1."""
    clip_rewards: bool = True
    """Whether each step's reward is clipped to [-1, 1] where it is learned from."""
    prioritised: bool = False
    """Whether transitions with larger errors are drawn more often; Schaul et al. (2016)."""
    priority_exponent: float = Field(default=0.5, ge=0, le=1)
    """How much errors decide what is drawn, 0 not at all, 1 in proportion."""
    importance_exponent: float = Field(default=0.4, ge=0, le=1)
    """Share of the correction for it at the start; it rises to 1 at the end of the run."""

    replay_steps: int = Field(default=1_000_000, ge=100, le=1_000_000_000)
    """Agent steps that the replay holds, over all environments together, at least 100."""
    warm_up_steps: int = Field(default=20_000, ge=1, le=1_000_000_000)
    """Agent steps with random actions before the first update, at least 1."""
    updates_per_step: float = Field(default=0.25, gt=0, le=64)
    """Replay ratio: updates for each agent step, above 0, at most 64."""
    batch_size: int = Field(default=32, ge=1, le=65_536)
    """Transitions in one update, at least 1."""
    exploration_start: float = Field(default=1.0, ge=0, le=1)
    """Share of random actions at the end of the warm-up, 0 to 1."""
    exploration_end: float = Field(default=0.01, ge=0, le=1)
    """Share of random actions from the end of exploration_steps on, 0 to 1."""
    exploration_steps: int = Field(default=250_000, ge=1, le=1_000_000_000)
    """Agent steps after the warm-up over which that share falls, at least 1."""

    learning_rate: float = Field(default=6.25e-5, gt=0, le=1)
    """Step size, above 0; for the encoder unless encoder.learning_rate is set."""
    optimiser: Literal["adam", "rmsprop"] = "adam"
    """Adam, or the centred RMSProp of Mnih et al. (2015)."""
    optimiser_epsilon: float = Field(default=1.5e-4, gt=0, le=1)
    """What keeps the optimiser from dividing by zero, above 0."""
    max_gradient_norm: float | None = Field(default=None, gt=0, le=1e6)
    """Norm above which the gradient is scaled down; none does not."""

    @model_validator(mode="after")
    def _replay_gives_batches(self) -> Self:
        if self.n_step >= self.replay_steps:
            raise ValueError(
                f"n_step={self.n_step} does not fit in a replay of {self.replay_steps:,} steps; "
                "lower n_step or raise replay_steps"
            )
        if self.replay_steps < self.batch_size:
            raise ValueError(
                f"a replay of {self.replay_steps:,} steps gives no batch of {self.batch_size:,}; "
                "raise replay_steps"
            )
        if self.warm_up_steps < self.batch_size:
            raise ValueError(
                f"a warm-up of {self.warm_up_steps:,} steps gives no batch of {self.batch_size:,}; "
                "raise warm_up_steps"
            )
        return self


class ValueAgent(LearningAgent):
    """Estimates what each action will bring, and mostly takes the best.

    One agent with switches; the published ones are the classes below.
    """

    builds: ClassVar[str] = "rlmaster.agents.value_agent:ValueBasedAgent"

    double: bool = False
    """Whether the online network chooses the next action; van Hasselt et al. (2016)."""
    dueling: bool = False
    """Whether a state's value and the actions' advantages have heads of their own."""
    noisy: bool = False
    """Whether exploration comes from noise on the head's weights; Fortunato et al. (2018)."""
    noise_scale: float = Field(default=0.5, gt=0, le=10)
    """Standard deviation of the weights' noise at the start, times sqrt(inputs), above 0."""
    categorical: bool = False
    """Whether returns are a distribution over fixed atoms; Bellemare et al. (2017)."""
    num_atoms: int = Field(default=51, ge=2, le=1001)
    """Atoms of a distribution, where returns are one, 2 to 1001."""
    v_min: float = Field(default=-10.0, ge=-1e6, le=1e6)
    """Lowest return that a distribution covers, in clipped rewards; below v_max."""
    v_max: float = Field(default=10.0, ge=-1e6, le=1e6)
    """Highest return that a distribution covers, in clipped rewards; above v_min."""
    hidden_units: int = Field(default=512, ge=1, le=65_536)
    """Units of the layer between latent and values, at least 1."""
    target_period_updates: int = Field(default=2_000, ge=1, le=100_000_000)
    """Updates between those after which the target networks move, at least 1."""
    target_rate: float = Field(default=1.0, gt=0, le=1)
    """Share of the way to the online networks that the target networks then move, above 0."""
    random_shift: int = Field(default=0, ge=0, le=42)
    """Pixels by which observation and next observation are shifted at most, both alike, 0 to 42."""

    @model_validator(mode="after")
    def _atoms_lie_between_bounds(self) -> Self:
        if self.v_min >= self.v_max:
            raise ValueError(
                f"v_min={self.v_min:g} is not below v_max={self.v_max:g}; the atoms of a "
                "distribution lie between them"
            )
        return self


class DQN(ValueAgent):
    """The deep Q-network as published: Mnih et al. (2015), extended data table 1."""

    warm_up_steps: int = 50_000
    # 10,000 steps with an update every four: the table says updates, the code it came with steps.
    target_period_updates: int = 2_500
    exploration_end: float = 0.1
    exploration_steps: int = 1_000_000
    learning_rate: float = 2.5e-4
    optimiser: Literal["adam", "rmsprop"] = "rmsprop"
    # Published is 0.01 under the root of squared gradients that are summed over the batch of 32.
    optimiser_epsilon: float = 0.1 / 32


class DoubleDQN(DQN):
    """The deep Q-network with the double target: van Hasselt et al. (2016), the tuned version.

    Without the one bias that all actions share in its last layer.
    """

    double: bool = True
    target_period_updates: int = 7_500
    exploration_end: float = 0.01


class C51(ValueAgent):
    """Distributions over 51 atoms: Bellemare et al. (2017), section 5."""

    categorical: bool = True
    warm_up_steps: int = 50_000
    target_period_updates: int = 2_500
    exploration_steps: int = 1_000_000
    learning_rate: float = 2.5e-4
    optimiser_epsilon: float = 0.01 / 32


class Rainbow(ValueAgent):
    """All six improvements together: Hessel et al. (2018), table 1."""

    double: bool = True
    dueling: bool = True
    noisy: bool = True
    categorical: bool = True
    prioritised: bool = True
    n_step: int = 3
    exploration_start: float = 0.0
    exploration_end: float = 0.0


class DataEfficientRainbow(Rainbow):
    """Rainbow for 100,000 agent steps: van Hasselt et al. (2019), appendix."""

    n_step: int = 20
    noise_scale: float = 0.1
    hidden_units: int = 256
    replay_steps: int = 100_000
    warm_up_steps: int = 1_600
    updates_per_step: float = 1.0
    learning_rate: float = 1e-4
    max_gradient_norm: float | None = 10.0


class FastAgent(ValueAgent):
    """Our own settings for the least wall time on a few processor cores."""

    double: bool = True
    dueling: bool = True
    n_step: int = 3
    hidden_units: int = 256
    replay_steps: int = 200_000
    warm_up_steps: int = 5_000
    updates_per_step: float = 0.5
    target_period_updates: int = 500
    exploration_steps: int = 50_000
    learning_rate: float = 2.5e-4
