"""The seeds of a run's random choices, all from the one seed of its experiment."""

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Seeds:
    """One seed for each kind of choice, so that a change in one moves no other."""

    weights: int
    """Of the networks before the first update."""
    batches: int
    """Of which frames are trained on at each update."""
    split: int
    """Of which episodes are held out."""
    updates: int
    """Of what torch draws from the first update on, such as for dropout."""
    evaluation: int
    """Of the games that an agent is measured on."""


def seeds_from(seed: int) -> Seeds:
    """Return the seeds that follow from an experiment's own."""
    return Seeds(*np.random.SeedSequence(seed).generate_state(len(fields(Seeds))).tolist())
