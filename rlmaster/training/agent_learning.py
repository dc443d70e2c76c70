"""What an agent learns from its replay: which updates are due after a step, and what each does."""

from collections.abc import Mapping

import torch

from rlmaster.agent_choices import LearningAgent
from rlmaster.agents.base import BaseAgent
from rlmaster.agents.exploration import importance_exponent
from rlmaster.experiment import Experiment
from rlmaster.experiment_data import OWN_LOSS
from rlmaster.replay.batches import TransitionBatch
from rlmaster.replay.buffer import ReplayBuffer
from rlmaster.training.agent_update import (
    Act,
    choose_agent_compilation,
    make_act,
    make_agent_optimiser,
    make_agent_update,
)
from rlmaster.training.evaluation import BACKGROUND_FRAMES
from rlmaster.training.learner import Arithmetic
from rlmaster.training.loss_curve import LossCurve
from rlmaster.training.update import (
    AgentUpdate,
    Compilation,
    Losses,
    Update,
    choose_precision,
    make_optimiser,
    make_update,
    needs_trial,
)


class AgentLearning:
    """The updates of an agent by temporal differences, and of its embedder by its own loss.

    Attributes:
        optimiser: Steps what temporal differences change.
        representation_optimiser: Steps the embedder by its own loss; None where nothing does.
        arithmetic: How updates are computed; decided before the first one.
    """

    def __init__(
        self, experiment: Experiment, agent: BaseAgent, replay: ReplayBuffer, device: torch.device
    ) -> None:
        """Prepare for updates; none is done yet.

        Args:
            experiment: Says what changes what.
            agent: Who learns, on its device already.
            replay: What from.
            device: Where.
        """
        assert isinstance(experiment.agent, LearningAgent)
        self._experiment = experiment
        self._specification = experiment.agent
        self._encoder = experiment.encoder
        self._agent = agent
        self._replay = replay
        self._device = device
        self.optimiser = make_agent_optimiser(agent, self._specification, self._encoder)
        self.representation_optimiser = (
            make_optimiser(agent.encoder.embedder, experiment.training)
            if self._encoder.losses in OWN_LOSS
            else None
        )
        training = experiment.agent_training
        precision = choose_precision(training.precision, device)
        self.arithmetic = Arithmetic(precision, training.compile == "always")
        self._act: Act | None = None
        self._update: AgentUpdate | None = None
        self._representation_update: Update | None = None

    def act(self, observation: torch.Tensor) -> torch.Tensor:
        """Return the actions that look best, `(N,)` int64, of observations or their latents."""
        arithmetic = self.arithmetic
        if self._act is None:
            self._act = make_act(self._agent, arithmetic.precision, compiled=arithmetic.compiled)
        return self._act(observation)

    def updates_after(self, steps: int) -> int:
        """Return how many updates there are after so many agent steps."""
        since = steps - self._specification.warm_up_steps
        return max(0, int(since * self._specification.updates_per_step))

    @property
    def total_updates(self) -> int:
        """Updates of the whole run."""
        return self.updates_after(self._experiment.agent_training.steps)

    # --------------------------------------------------------------------- before the first update

    @property
    def needs_trial(self) -> bool:
        """Whether `begin` has to compile, which takes a while."""
        return needs_trial(self._experiment.agent_training, self.total_updates)

    @property
    def compiles_next(self) -> bool:
        """Whether the next update is the first here and may have to compile."""
        return self._update is None and (self.arithmetic.compiled or self.needs_trial)

    def begin(self) -> Compilation:
        """Let the embedder look at what was played so far, and decide how updates are computed.

        To be called before the first update, and not where a run goes on after it.
        """
        if self._encoder.weights == "scratch":
            count = min(BACKGROUND_FRAMES, self._replay.num_transitions)
            frames = self._replay.sample_sequences(count, 1).frames
            self._agent.encoder.embedder.prepare(frames)
            self._agent.move_target(wholly=True)
        training = self._experiment.agent_training
        chosen = Compilation(training.compile == "always")
        if self.needs_trial:
            chosen = choose_agent_compilation(
                self._agent,
                self._specification,
                self._encoder,
                self.arithmetic.precision,
                self._sample(),
            )
        self.arithmetic, self._act = Arithmetic(self.arithmetic.precision, chosen.wanted), None
        return chosen

    def _make_updates(self) -> AgentUpdate:
        arithmetic = self.arithmetic
        if self.representation_optimiser is not None:
            self._representation_update = make_update(
                self._agent.encoder.embedder,
                self.representation_optimiser,
                arithmetic.precision,
                compiled=arithmetic.compiled,
            )
        self._update = make_agent_update(
            self._agent,
            self.optimiser,
            arithmetic.precision,
            compiled=arithmetic.compiled,
            max_gradient_norm=self._specification.max_gradient_norm,
        )
        return self._update

    # ------------------------------------------------------------------------------- updates

    def learn(self, steps: int, before: int, curve: LossCurve) -> None:
        """Do the updates that are due after so many agent steps and were not before.

        Args:
            steps: Agent steps so far.
            before: Agent steps when this was done last.
            curve: Takes the losses.
        """
        for number in range(self.updates_after(before) + 1, self.updates_after(steps) + 1):
            losses = self._learn_once(number, steps)
            curve.add(steps, losses)

    def _learn_once(self, number: int, steps: int) -> Losses:
        """Do an update by temporal differences, and those by the embedder's own loss with it."""
        update = self._update or self._make_updates()
        is_frozen = steps <= self._encoder.unfreeze_at_steps
        self._agent.encoder.td_trains = self._encoder.losses in ("td", "both") and not is_frozen
        self._set_importance(steps)
        batch = self._sample()
        losses, priority = update(batch)
        self._replay.update_priorities(batch.index, priority)
        if self._agent.target_moves(number):
            self._agent.move_target()
        if self._representation_update is None or is_frozen:
            return losses
        return {**losses, **self._learn_representation(self._representation_update, number)}

    def _learn_representation(self, update: Update, number: int) -> Losses:
        """Do the updates by the embedder's own loss that go with an update of that number."""
        ratio, losses = self._encoder.representation_update_ratio, dict[str, torch.Tensor]()
        encoder, batch_size = self._agent.encoder, self._experiment.training.batch_size
        encoder.embedder.train()
        for _ in range(int((number - 1) * ratio), int(number * ratio)):
            batch = self._replay.sample_sequences(batch_size, encoder.embedder.sequence_length)
            losses = update(batch)
        encoder.train()  # which leaves the embedder as the agent's loss has to find it
        return _named("representation", losses)

    def _sample(self) -> TransitionBatch:
        specification = self._specification
        return self._replay.sample(
            specification.batch_size, specification.n_step, specification.discount
        )

    def _set_importance(self, steps: int) -> None:
        if self._specification.prioritised:
            self._replay.importance_exponent = importance_exponent(
                steps, self._experiment.agent_training.steps, self._specification
            )


def _named(prefix: str, losses: Mapping[str, torch.Tensor]) -> Losses:
    return {f"{prefix}_{name}": value for name, value in losses.items()}
