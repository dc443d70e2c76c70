"""An agent whose values are linear in the latent, and whose targets are those of a soft policy."""

from typing import ClassVar

from pydantic import Field

from rlmaster import LearningAgent


class SoftAgent(LearningAgent):
    """Bootstraps from the values that a softmax over them would get."""

    builds: ClassVar[str] = "soft_agent:SoftValues"

    temperature: float = Field(default=0.05, gt=0, le=10)
    """What values are divided by in the softmax, above 0; a high one makes all actions alike."""
    target_period_updates: int = Field(default=500, ge=1)
    """Updates between those after which the target networks move, at least 1."""
