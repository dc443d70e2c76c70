"""What an experiment's JSON data says of who plays, for readers of configurations old and new.

A run with an agent plays; one without, or of a time that knew no agents, is about its embedder.
"""

from collections.abc import Mapping
from typing import Any, cast

ABOUT_AN_AGENT = frozenset({"agent", "agent_training", "encoder"})
"""Groups of fields that mean nothing where there is no agent."""
OWN_LOSS = ("representation", "both")
"""Losses of an encoder that the embedder's training has a part in."""
SCRATCH = "scratch"
STYLES: Mapping[tuple[bool, str], str] = {
    (False, "none"): "random frozen",
    (False, "td"): "end-to-end",
    (False, "representation"): "parallel",
    (False, "both"): "joint",
    (True, "none"): "frozen",
    (True, "td"): "fine-tuned",
    (True, "representation"): "parallel, pretrained",
    (True, "both"): "joint, pretrained",
}
"""How the encoder is trained, by whether its weights are of a run and which losses change them."""
UNDRAWN_STYLES = frozenset({"random frozen", "end-to-end"})
"""Those in which nothing trains what would draw from a latent, so that there are no previews."""
LEARNS_NOTHING = "RandomAgent"


def plays(experiment: Mapping[str, Any]) -> bool:
    """Tell whether an experiment has an agent."""
    return isinstance(experiment.get("agent"), dict)


def budget_field(experiment: Mapping[str, Any]) -> str:
    """Return the dotted name of the field that says how long the run is."""
    return "agent_training.steps" if plays(experiment) else "training.updates"


def budget(experiment: Mapping[str, Any]) -> int:
    """Return how long the run is: agent steps, or updates of the embedder."""
    group, _, name = budget_field(experiment).partition(".")
    return int(experiment[group][name])


def meaningful(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Return an experiment without the groups of fields that mean nothing in it.

    Who plays learns from what is played, and from no collected frames; the embedder's own training
    matters to it only where its own loss changes the encoder.
    """
    if not plays(experiment):
        left_out = ABOUT_AN_AGENT
    else:
        encoder = experiment.get("encoder")
        losses = cast("dict[str, Any]", encoder).get("losses") if isinstance(encoder, dict) else ""
        left_out = {"frames"} if losses in OWN_LOSS else {"frames", "training"}
    return {name: value for name, value in experiment.items() if name not in left_out}


def class_name(part: object) -> str:
    """Return the class of a part of an experiment, such as `DoubleDQN`; empty where it has none."""
    named = cast("dict[str, Any]", part).get("type") if isinstance(part, dict) else None
    return named.rpartition(":")[2] if isinstance(named, str) else ""


def training_style(experiment: Mapping[str, Any]) -> str:
    """Return how an agent's encoder is trained, in words; empty where nothing plays and learns."""
    encoder = experiment.get("encoder")
    if not plays(experiment) or class_name(experiment["agent"]) == LEARNS_NOTHING:
        return ""
    known = cast("dict[str, Any]", encoder) if isinstance(encoder, dict) else {}
    weights, losses = known.get("weights", SCRATCH), known.get("losses", "td")
    return STYLES.get((weights != SCRATCH, losses), "") if isinstance(losses, str) else ""


def is_drawn(experiment: Mapping[str, Any]) -> bool:
    """Tell whether this run or one before it trains what would draw from an encoder's latents.

    Temporal differences never reach that, so that it would draw noise; of the run that an encoder's
    weights are of, it is taken for granted.
    """
    return not plays(experiment) or training_style(experiment) not in ("", *UNDRAWN_STYLES)
