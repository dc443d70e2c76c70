"""A toy game of rooms in a row, of which the value of every action is known.

From a room the actions lead to the one on the left or on the right. Who leaves on the right gets 1,
who leaves on the left 0.5, and then the game is over. A frame shows a bar where the room is.
Shapes: B batch, K stacked frames, H and W pixels, R rooms.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from rlmaster.agent_choices import ValueAgent
from rlmaster.agents.categorical import expected_values
from rlmaster.agents.encoder import ObservationEncoder
from rlmaster.agents.value_agent import ValueBasedAgent
from rlmaster.embedder_choices import Embedder, PixelEncoder
from rlmaster.embedders.base import build_embedder
from rlmaster.experiment import Atari, EmbedderTraining, EncoderTraining, Experiment
from rlmaster.replay.batches import SequenceBatch, TransitionBatch
from rlmaster.training.agent_update import make_agent_optimiser, make_agent_update
from rlmaster.training.update import make_optimiser, make_update

ROOMS, STACKED_FRAMES = 5, 4
LEFT, RIGHT = 0, 1
DISCOUNT = 0.8
SMALL = PixelEncoder(encoder="data_efficient", channels=(8, 8, 8), latent_dim=72)


def observations(rooms: Tensor) -> Tensor:
    """Return what is seen in rooms `(B,)`, `(B, K, 84, 84)` uint8; nothing outside of them."""
    frames = torch.zeros(len(rooms), 1, 84, 84, dtype=torch.uint8)
    for frame, room in zip(frames, rooms.tolist(), strict=True):
        if 0 <= room < ROOMS:
            frame[:, 20:60, 8 + 14 * room : 18 + 14 * room] = 255
    return frames.repeat(1, STACKED_FRAMES, 1, 1)


def step(room: int, action: int) -> tuple[int, float, bool]:
    """Return the next room, the reward, and whether the game is over."""
    room += 1 if action == RIGHT else -1
    if 0 <= room < ROOMS:
        return room, 0.0, False
    return room, 1.0 if room == ROOMS else 0.5, True


def optimal_values() -> Tensor:
    """Return what each action is worth, `(R, 2)`, by value iteration until nothing changes."""
    values = torch.zeros(ROOMS, 2)
    for _ in range(ROOMS + 1):
        best = values.amax(1).tolist()
        for room in range(ROOMS):
            for action in (LEFT, RIGHT):
                following, reward, is_over = step(room, action)
                values[room, action] = reward + (0 if is_over else DISCOUNT * best[following])
    return values


def all_transitions(n_step: int = 1) -> TransitionBatch:
    """Return every first action in every room, and the best actions after it until n steps."""
    best, rows = optimal_values().argmax(1).tolist(), []
    for first in range(ROOMS):
        for action in (LEFT, RIGHT):
            room, gained, is_over = step(first, action)
            discount = DISCOUNT
            for _ in range(n_step - 1):
                if not is_over:
                    room, reward, is_over = step(room, best[room])
                    gained += discount * reward
                    discount *= DISCOUNT
            rows.append((first, action, gained, 0.0 if is_over else discount, room))
    rooms, actions, returns, discounts, following = zip(*rows, strict=True)
    return TransitionBatch(
        observation=observations(torch.tensor(rooms)),
        action=torch.tensor(actions),
        reward=torch.tensor(returns),
        discount=torch.tensor(discounts),
        next_observation=observations(torch.tensor(following)),
        importance_weight=torch.ones(len(rows)),
        index=torch.arange(len(rows)),
    )


def experiment_of(
    specification: ValueAgent,
    embedder: Embedder = SMALL,
    encoder: EncoderTraining | None = None,
) -> Experiment:
    """Return an experiment with an agent; it is never played."""
    return Experiment(
        name="toy",
        environment=Atari(game="Pong"),
        embedder=embedder,
        agent=specification,
        encoder=encoder or EncoderTraining(),
    )


def agent_of(
    specification: ValueAgent,
    embedder: Embedder = SMALL,
    encoder: EncoderTraining | None = None,
    *,
    num_actions: int = 2,
    seed: int = 1,
) -> ValueBasedAgent:
    """Return an agent with random weights, in training mode."""
    experiment = experiment_of(specification, embedder, encoder)
    torch.manual_seed(seed)
    made = ObservationEncoder(build_embedder(experiment), experiment)
    return ValueBasedAgent(specification, made, num_actions=num_actions)


def train(
    agent: ValueBasedAgent,
    batch: TransitionBatch,
    updates: int,
    encoder: EncoderTraining | None = None,
    draw: Callable[[], None] = lambda: None,
) -> None:
    """Do updates, all with the same transitions, in float32, and what is drawn after each."""
    optimiser = make_agent_optimiser(agent, agent.specification, encoder or EncoderTraining())
    update = make_agent_update(agent, optimiser, torch.float32, compiled=False)
    for number in range(1, updates + 1):
        update(batch)
        if agent.target_moves(number):
            agent.move_target()
        draw()


def own_update(agent: ValueBasedAgent) -> Callable[[], None]:
    """Return an update of an agent's embedder by its own loss, on what is seen in all rooms."""
    embedder = agent.encoder.embedder
    rooms = SequenceBatch.of_frames(observations(torch.arange(ROOMS)))
    optimiser = make_optimiser(embedder, EmbedderTraining(learning_rate=5e-3))
    update = make_update(embedder, optimiser, torch.float32, compiled=False)

    def draw() -> None:
        embedder.train()
        update(rooms)
        agent.encoder.train()

    return draw


@torch.no_grad()
def values_of(agent: ValueBasedAgent, observation: Tensor) -> Tensor:
    """Return what an agent takes its actions to be worth, `(B, A)`."""
    outputs = agent.head(agent.encoder(observation))
    if agent.specification.categorical:
        return expected_values(outputs, agent.support)
    return outputs.squeeze(2)
