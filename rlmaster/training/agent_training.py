"""Training an agent: act, let the emulators play, learn meanwhile, and see what came of it.

All is a function of the seed: which actions are chosen by which weights, and which updates follow
which agent step, whatever takes how long; but for `compile=auto`, which measures once, before the
first update of a long run, whether compiling them pays. They differ in the last digits.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch.optim import SGD, Optimizer

from rlmaster.agent_choices import LearningAgent
from rlmaster.agents.base import BaseAgent, build_agent
from rlmaster.errors import TrainingError
from rlmaster.experiment import Experiment
from rlmaster.run_folder import RunFolder
from rlmaster.specification import flattened
from rlmaster.training.acting import Acting
from rlmaster.training.agent_film import film, frames_to_film, who_draws
from rlmaster.training.agent_learning import AgentLearning
from rlmaster.training.agent_previews import AgentPreviews
from rlmaster.training.agent_results import AgentResults
from rlmaster.training.checkpoint import Checkpoint
from rlmaster.training.checkpointing import Checkpointing
from rlmaster.training.encoder_weights import load_encoder_weights
from rlmaster.training.learner import Arithmetic, Learner
from rlmaster.training.loss_curve import LossCurve
from rlmaster.training.memory import require_room_for_latent
from rlmaster.training.pace import Pace
from rlmaster.training.play import Play, latents_are_kept
from rlmaster.training.playing import RETURN, Evaluator, Played
from rlmaster.training.recording import Recording
from rlmaster.training.return_curve import ReturnCurve
from rlmaster.training.run_training import RunTraining
from rlmaster.training.schedule import Schedule, evenly_spaced
from rlmaster.training.stopping import StopRequested
from rlmaster.training.update import to_channels_last


class AgentTraining(RunTraining):
    """One run in which an agent plays, and mostly learns to."""

    unit: ClassVar[str] = "step"

    def __init__(self, experiment: Experiment, run: RunFolder, recording: Recording) -> None:
        """Prepare a run: networks, games and replay; nothing is played yet.

        Args:
            experiment: What to do.
            run: Where to keep it, and what earlier attempts left there.
            recording: Who writes there.

        Raises:
            TrainingError: If the experiment cannot be trained as specified.
        """
        super().__init__(experiment, run, recording)
        self.agent = self._build()
        encoder = self.agent.encoder if latents_are_kept(experiment) else None
        self.play = Play(experiment, self.device, run.replay, recording, encoder)
        self.evaluator = Evaluator.of_experiment(experiment, self.device)
        self.learning = (
            AgentLearning(experiment, self.agent, self.play.replay, self.device)
            if isinstance(experiment.agent, LearningAgent)
            else None
        )
        self.returns = ReturnCurve(recording, self.total)
        self.acting = Acting(experiment, self.agent, self.learning, self._seeds.updates)
        self.previews = AgentPreviews(
            experiment, self.agent.encoder.embedder, self.learning, recording
        )
        self._played: Played | None = None

    @property
    def total(self) -> int:
        """Agent steps of the whole run."""
        return self.experiment.agent_training.steps

    @property
    def at_once(self) -> int:
        """Most steps that are done at once: one in each environment."""
        return self.experiment.environment.num_environments

    def execute(self) -> None:
        """Play, learn, measure, and keep everything.

        Raises:
            StopRequested: After the work was kept, because somebody asked.
            TrainingError: If the experiment cannot be trained as specified.
        """
        checkpoint = self._newest_checkpoint()
        self._begin_recording(checkpoint)
        self.recording.hyperparameters(flattened(self.experiment.to_data()), [RETURN])
        if self.previews.are_wanted:
            self.previews.choose_moments(self._canonical_frames())
        learner = self._learner(checkpoint)
        checkpoints = Checkpointing(learner, self.experiment, self.run.checkpoints, self.recording)
        if checkpoint is None:
            self._begin(learner)
        else:
            self._restore(learner, checkpoint, checkpoints)
        self._train(learner, checkpoints)
        self._film()

    # ---------------------------------------------------------------------- where it goes on

    def _build(self) -> BaseAgent:
        require_room_for_latent(self.experiment.embedder, self.device)
        torch.manual_seed(self._seeds.weights)
        agent = build_agent(self.experiment)
        to_channels_last(agent)
        return agent.to(self.device)

    def _learner(self, checkpoint: Checkpoint | None) -> Learner:
        """Return everything that a checkpoint holds."""
        learning, training = self.learning, self.experiment.agent_training
        if learning is not None and checkpoint is not None:
            learning.arithmetic = Arithmetic.resumed(training, checkpoint.counters, self.device)
        total_updates = max(1, learning.total_updates) if learning else 1
        others: dict[str, Any] = {
            "play": self.play,
            "returns": self.returns,
            "draws": self.acting,
        }
        if learning is not None and learning.representation_optimiser is not None:
            others["representation_optimiser"] = learning.representation_optimiser
        return Learner(
            self.agent,
            learning.optimiser if learning else _nothing_to_step(),
            LossCurve(
                self.recording, total_updates, self.device, last_step=self.total, unit=self.unit
            ),
            AgentResults(self.recording),
            learning.arithmetic if learning else Arithmetic(torch.float32, compiled=False),
            self._run_id,
            unit=self.unit,
            others=others,
            before_writing=self.play.seal_for,
        )

    def _begin(self, learner: Learner) -> None:
        """Measure the agent as it is, and reset the games."""
        if self.experiment.encoder.weights != "scratch":
            load_encoder_weights(self.agent.encoder.embedder, self.run)
            self.agent.move_target(wholly=True)
            self.previews.draw_as_it_came(0)
        self.recording.phase("evaluating", 0, "steps")
        learner.results.begin(self.evaluator.play(self.agent, self._advance).returns)
        self.play.begin()
        torch.manual_seed(self._seeds.updates)

    def _restore(
        self, learner: Learner, checkpoint: Checkpoint, checkpoints: Checkpointing
    ) -> None:
        """Bring all to a checkpoint; a branch's best and result are its own from there."""
        self.recording.phase("restoring", 0, "rows")
        self._say_resumed(checkpoint)
        learner.restore(checkpoint)
        self._embed_again(self._advance)
        is_branch = not self._is_own(checkpoint)
        if is_branch:
            measured = self.evaluator.play(self.agent, self._advance).returns
            learner.results.begin_branch(checkpoint.step, measured)
            self.previews.draw_as_it_came(checkpoint.step)
        checkpoints.keep_restored(checkpoint.step, is_best=is_branch)

    def _embed_again(self, on_progress: Callable[[int], None]) -> None:
        """Make the latents that are kept anew, by the encoder as it is now."""
        replay, store = self.play.replay, self.play.replay.store
        if replay.latents is not None:
            self.recording.phase("embedding", store.num_rows - store.first_row, "rows")
            replay.embed_again(lambda done, _total: on_progress(done))

    # ------------------------------------------------------------------------------ the loop

    def _train(self, learner: Learner, checkpoints: Checkpointing) -> None:
        training = self.experiment.agent_training
        evaluate_at = Schedule(evenly_spaced(self.total, training.evaluations))
        before, played = self.play.steps, False
        pace = Pace(before)
        self.recording.phase("training", self.total, "steps", before)
        while True:
            step, is_best = self.play.steps, False
            is_owed = evaluate_at.is_passed(learner.results.step, step)
            if is_owed:
                if played:  # or else the attempt that put it off has said so
                    self.recording.scalars(step, {"train/steps_per_s": pace.lap(step)})
                is_best = self._evaluate(learner, step)
                pace.restart(step)
            self.previews.draw_if_due(before, step)
            stopping = self.stop.requested  # asked once, for a signal may come at any moment
            made_up = is_owed and not played and learner.results.step == step
            due = made_up or (played and (stopping or checkpoints.is_due(step, before)))
            if due or is_best:
                checkpoints.keep(step, due=due, is_best=is_best)
            if stopping:
                self._end_kept(learner)
            if step >= self.total:
                break
            self._tick(learner)
            before, played = step, True
        self._wait_until_kept(learner)  # so that a film which is cut short costs no step

    def _evaluate(self, learner: Learner, step: int) -> bool:
        """Measure the agent and tell whether it is the best so far; a stop puts it off."""
        self.recording.phase("evaluating", 0, "steps")
        try:
            self._played = self.evaluator.play(self.agent, self._advance)
        except StopRequested:
            return False
        finally:
            self.recording.phase("training", self.total, "steps", step)
        is_best = learner.results.add(step, self._played.returns)
        self.agent.encoder.embedder.keep(self.recording, step)
        return is_best

    def _tick(self, learner: Learner) -> None:
        """Play one action in each environment, and learn while the emulators do."""
        before = self.play.steps
        self.play.send(self.acting.choose(self.play))
        if self.learning is not None:
            self._learn(self.learning, learner, before)
        self.play.recv()
        self.returns.add(self.play.steps, self.play.returns)
        self.recording.advance(self.play.steps)

    def _learn(self, learning: AgentLearning, learner: Learner, before: int) -> None:
        """Do the updates that are due."""
        steps = self.play.steps
        done, due = learning.updates_after(before), learning.updates_after(steps)
        # A minute of compiling is not waited for: what was played since a checkpoint is lost then.
        with self.stop.at_once(when=due > done and learning.compiles_next):
            if done == 0 < due:
                self._begin_to_learn(learning, learner)
            learning.learn(steps, before, learner.curve)

    def _begin_to_learn(self, learning: AgentLearning, learner: Learner) -> None:
        """Prepare for the first update of the run."""
        steps = self.play.steps
        if learning.needs_trial:
            self.recording.phase("compiling", 1, "trial")
        chosen = learning.begin()
        if self.experiment.encoder.weights == "scratch":  # the embedder has looked at frames
            self._embed_again(self.recording.advance)
        learner.arithmetic = learning.arithmetic
        why = f"; torch.compile does not work here ({chosen.failure})" if chosen.failure else ""
        message = f"updates run {learning.arithmetic} on {self.device}{why}"
        self.recording.event("note", message, steps)
        self.recording.phase("training", self.total, "steps", steps)

    # ------------------------------------------------------------------------------ the film

    def _film(self) -> None:
        """Make the videos of the last evaluation's best and median episode."""
        if not self.experiment.recording.video_episodes:
            return
        if self._played is None:  # a resume that found nothing left to do
            self.recording.phase("evaluating", 0, "steps")
            self._played = self.evaluator.play(self.agent, self._advance)
        self.recording.phase("rendering", frames_to_film(self._played), "frames")
        try:
            embedder = who_draws(self.agent, self.experiment)
            film(embedder, self.evaluator, self._played, self.run.videos, self._advance)
        except TrainingError as error:
            self.recording.event("note", str(error), self.total)


def _nothing_to_step() -> Optimizer:
    """Return the optimiser of an agent that learns nothing."""
    return SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
