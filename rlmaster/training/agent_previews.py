"""What an agent's embedder draws while the agent learns: the same moments as where it learns alone.

Where nothing trains what draws, nothing is drawn (`experiment_data.is_drawn`).
"""

from rlmaster.embedders.base import BaseEmbedder
from rlmaster.experiment import Experiment
from rlmaster.experiment_data import is_drawn
from rlmaster.training.agent_learning import AgentLearning
from rlmaster.training.canonical import CanonicalFrames
from rlmaster.training.gallery import Moments, moments_of_a_run
from rlmaster.training.pictures import draw_preview
from rlmaster.training.recording import Recording
from rlmaster.training.schedule import Schedule, growing


class AgentPreviews:
    """Draws chosen moments at growing intervals of the updates that may change the embedder.

    Intervals of agent steps would be short where random actions are played and nothing is learned.
    An embedder with the weights of an earlier run is drawn before anything else, as it came; where
    nothing changes it, that one picture is all.

    Attributes:
        are_wanted: Whether there is any picture to come, so that moments are needed.
    """

    def __init__(
        self,
        experiment: Experiment,
        embedder: BaseEmbedder,
        learning: AgentLearning | None,
        recording: Recording,
    ) -> None:
        """Decide when it is drawn, which follows from the experiment alone.

        Args:
            experiment: Says how many pictures there are, and what changes the encoder.
            embedder: Who draws, if it does.
            learning: How the agent learns; None if it does not.
            recording: Who keeps the pictures.
        """
        self._embedder = embedder
        self._learning = learning
        self._recording = recording
        count, encoder = experiment.recording.previews, experiment.encoder
        self._comes_trained = encoder.weights != "scratch" and embedder.draws and count > 0
        due = _due_updates(experiment, learning) if embedder.draws else frozenset[int]()
        self._due = Schedule(due)
        self.are_wanted = self._comes_trained or bool(due)
        leaves_decoder = self._comes_trained and encoder.losses == "td"
        self._remark = "   by a decoder that is not trained here" if leaves_decoder else ""
        self._moments: Moments | None = None

    def choose_moments(self, canonical: CanonicalFrames) -> None:
        """Choose what is shown: as where an embedder learns alone, if the game has a known ball."""
        store = canonical.store
        self._moments = moments_of_a_run(store, store.episodes(), canonical, self._embedder)

    def draw_as_it_came(self, step: int) -> None:
        """Draw an embedder that an earlier run has trained, where this run or a branch begins."""
        if self._comes_trained:
            self._draw(step)

    def draw_if_due(self, before: int, step: int) -> None:
        """Draw what the updates made of it, if a picture became due.

        Args:
            before: Agent steps when this was asked last.
            step: Agent steps so far.
        """
        if self._learning is None:
            return
        updates_after = self._learning.updates_after
        if self._due.is_passed(updates_after(before), updates_after(step)):
            self._draw(step)

    def _draw(self, step: int) -> None:
        """Draw the moments as the networks see them now; the rest is background work."""
        assert self._moments is not None
        drawn = self._moments.drawn_by(self._embedder)
        caption = f"step {step:,}   mean squared error {drawn.error:.2g}{self._remark}"
        self._recording.preview(step, lambda: draw_preview(drawn, caption))


def _due_updates(experiment: Experiment, learning: AgentLearning | None) -> frozenset[int]:
    """Return the updates after which an embedder is drawn; none where that would show nothing."""
    encoder = experiment.encoder
    comes_trained = encoder.weights != "scratch"
    if learning is None or encoder.losses == "none" or not is_drawn(experiment.to_data()):
        return frozenset()
    frozen = learning.updates_after(encoder.unfreeze_at_steps)
    changing = max(0, learning.total_updates - frozen)
    count = max(0, experiment.recording.previews - comes_trained)  # one of them is as it came
    return frozenset(frozen + number for number in growing(changing, count) if changing)
