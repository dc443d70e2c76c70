"""A replay as a plain list of everything that was seen, which is asked one element at a time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_ACTION = -1


@dataclass(frozen=True)
class SlowTransition:
    """What a sampled transition has to be."""

    observation: NDArray[np.uint8]
    action: int
    reward: float
    discount: float
    next_observation: NDArray[np.uint8]


class SlowReplay:
    """Every step and all actions, of which the newest rows count as kept."""

    def __init__(
        self,
        num_environments: int,
        *,
        capacity_rows: int,
        stacked_frames: int,
        clip_rewards: bool,
        life_loss_is_terminal: bool,
    ) -> None:
        self.environments = num_environments
        self.capacity = capacity_rows
        self.stacked = stacked_frames
        self.clip = clip_rewards
        self.life_loss_is_terminal = life_loss_is_terminal
        self.steps = []
        self.actions = []

    def append(self, step, actions):
        over = step.terminated | step.truncated
        chosen = [NO_ACTION] * self.environments if actions is None else actions.tolist()
        self.steps.append(step)
        self.actions.append([NO_ACTION if o else a for o, a in zip(over, chosen, strict=True)])

    @property
    def first_row(self):
        return max(0, len(self.steps) - self.capacity)

    def oldest_row(self, length):
        return 0 if self.first_row == 0 else self.first_row + length - 1

    def transitions(self):
        """Return the index of each transition that can be sampled."""
        return [
            row * self.environments + e
            for row in range(self.oldest_row(self.stacked), len(self.steps) - 1)
            for e in range(self.environments)
            if self.actions[row][e] != NO_ACTION
        ]

    def ends_game(self, row, e):
        """Whether nothing is to be gained after the action at a row."""
        following = self.steps[row + 1]
        return following.terminated[e] or (self.life_loss_is_terminal and following.life_lost[e])

    def transition(self, index, n_step, discount):
        start, e = divmod(index, self.environments)
        row, reward, factor = start, 0.0, 1.0
        while True:
            following = self.steps[row + 1]
            own = float(following.reward[e])
            reward += factor * (min(1.0, max(-1.0, own)) if self.clip else own)
            factor *= discount
            ended = self.ends_game(row, e)
            row += 1
            newest = row == len(self.steps) - 1
            if ended or following.truncated[e] or newest or row - start == n_step:
                break
        return SlowTransition(
            observation=self.stack(start, e),
            action=self.actions[start][e],
            reward=reward,
            discount=0.0 if ended else factor,
            next_observation=self.stack(row, e),
        )

    def stack(self, row, e):
        """Return what the policy saw: the emulator's own stack."""
        return self.steps[row].observation[e, -self.stacked :]

    def sequence(self, index, length):
        """Return rows of (frame, action, reward, terminated, truncated, mask), oldest first."""
        newest, e = divmod(index, self.environments)
        rows = []
        inside = True
        for row in range(newest, newest - length, -1):
            if not inside:
                blank = np.zeros_like(self.steps[0].observation[e, -1])
                rows.append((blank, NO_ACTION, 0.0, False, False, False))
                continue
            frame = self.steps[row].observation[e, -1]
            if row == len(self.steps) - 1:
                rows.append((frame, NO_ACTION, 0.0, False, False, True))
            else:
                after = self.steps[row + 1]
                followed = (after.reward[e], after.terminated[e], after.truncated[e])
                rows.append((frame, self.actions[row][e], *followed, True))
            inside = not self.steps[row].episode_start[e]
        return rows[::-1]

    def sequences(self, length):
        """Return the index of the newest frame of each sequence that can be sampled."""
        first = self.oldest_row(length) * self.environments
        return list(range(first, len(self.steps) * self.environments))
