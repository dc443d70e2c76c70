"""How fast and how right the replay is, beside those of other libraries and a bare memory copy.

Prints transitions/s that are added and sampled, and the bytes that a transition takes. The share is
that of a plain copy of as many bytes as the two stacks of a batch have (batch x 2 x 4 x 84 x 84),
from a random place of the frames into memory that is there already. Our observation and next
observation are views of one window of five frames, so five eighths of the bytes are moved; in the
line "contiguous" both are copied into memory of their own as well.

Then prints how many of 12,800 samples are wrong in random episodes with truncations: frames of the
stacks, action, return, discount, and the next observation wherever the discount is not 0.

Other libraries come with the extra: pip install -e .[bench].

    .venv/bin/python benchmarks/replay.py
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from _random_play import DISCOUNT, RandomPlay, Sample
from _replay_peers import PEERS, Peer

from rlmaster.replay.batches import TransitionBatch
from rlmaster.replay.buffer import ReplayBuffer
from rlmaster.replay.frame_store import FrameStore
from rlmaster.replay.prioritised import Priorities

ENVIRONMENTS = 8
FRAME = (84, 84)
SAMPLES = 12_800
TURN_S = 0.15


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transitions", type=int, default=40_000, help="that each replay keeps")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved measurements of each")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    replays: dict[str, Any] = {
        "RLmaster": _ours(arguments.transitions, FRAME, None),
        "  prioritised": _ours(arguments.transitions, FRAME, Priorities()),
    }
    for name, make in PEERS.items():
        peer = _made(make, arguments.transitions, FRAME, 1, name)
        if peer is not None:
            replays[name] = peer
    _fill_and_print(replays, arguments.transitions)
    for batch_size in (32, 256):
        _print_sampling(replays, batch_size, arguments.rounds)
    replays.clear()
    for n_step in (1, 3):
        _print_wrong(n_step)


def _ours(capacity: int, shape: tuple[int, int], priorities: Priorities | None) -> ReplayBuffer:
    store = FrameStore(
        ENVIRONMENTS, capacity_rows=capacity // ENVIRONMENTS, frame_shape=shape, ring=True
    )
    return ReplayBuffer(
        store, clip_rewards=False, life_loss_is_terminal=False, seed=0, priorities=priorities
    )


def _made(
    make: Callable[[int, tuple[int, int], int], Peer],
    capacity: int,
    shape: tuple[int, int],
    n_step: int,
    name: str,
) -> Peer | None:
    try:
        return make(capacity, shape, n_step)
    except ImportError as error:
        print(f"{name.strip()} is skipped: {error}")
    except NotImplementedError:
        print(f"{name.strip()} has no returns over {n_step} steps")
    return None


def _fill_and_print(replays: dict[str, Any], transitions: int) -> None:
    print(f"\n{'':26s}{'added/s':>12s}{'bytes':>10s}   (per transition)")
    steps = transitions // ENVIRONMENTS
    play = RandomPlay(ENVIRONMENTS, 512, FRAME)
    rows, vectors = list(play.steps(512)), list(play.transitions(512))
    single = list(RandomPlay(1, 512, FRAME).transitions(512))
    for name, replay in replays.items():
        if isinstance(replay, ReplayBuffer):
            filling = (lambda i=i, r=replay: r.append(*rows[i % 512]) for i in range(steps + 1))
            rate, size = _rate_of(filling, ENVIRONMENTS), replay.num_bytes
        else:
            own = single if replay.num_environments == 1 else vectors
            count = transitions // replay.num_environments
            filling = (lambda i=i, r=replay, o=own: r.add(o[i % 512]) for i in range(count))
            rate, size = _rate_of(filling, replay.num_environments), replay.num_bytes
        print(f"{name:26s}{rate:12,.0f}{size / transitions:10,.0f}")


def _rate_of(calls: Iterator[Callable[[], Any]], each: int) -> float:
    """Return the median rate over windows of calls, past the first half, whose pages are fresh."""
    times = []
    for call in calls:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return each / statistics.median(times[len(times) // 2 :])


def _print_sampling(replays: dict[str, Any], batch_size: int, rounds: int) -> None:
    turns: dict[str, Callable[[], Any]] = {
        "plain memory copy": _plain_copy(replays["RLmaster"], batch_size)
    }
    for name, replay in replays.items():
        turns[name] = lambda replay=replay: replay.sample(batch_size)
    turns["  contiguous"] = lambda: _contiguous(replays["RLmaster"].sample(batch_size))
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            rates[name].append(_rate(turn, batch_size))
    copy = rates["plain memory copy"]
    print(f"\n{f'batches of {batch_size}':26s}{'sampled/s':>12s}{'share of copy':>16s}")
    for name, own in rates.items():
        share = statistics.median(a / b for a, b in zip(own, copy, strict=True))
        print(f"{name:26s}{statistics.median(own):12,.0f}{share:16.2f}")


def _plain_copy(replay: ReplayBuffer, batch_size: int) -> Callable[[], None]:
    frames = replay.store.memory.cells.numpy()
    destination = np.empty((batch_size * 8, *FRAME), np.uint8)
    generator = np.random.default_rng(0)

    def copy() -> None:
        start = int(generator.integers(len(frames) - len(destination)))
        np.copyto(destination, frames[start : start + len(destination)])

    return copy


def _contiguous(batch: TransitionBatch) -> tuple[torch.Tensor, torch.Tensor]:
    return batch.observation.contiguous(), batch.next_observation.contiguous()


def _rate(turn: Callable[[], Any], each: int) -> float:
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < TURN_S:
        turn()
        count += 1
    return count * each / (time.perf_counter() - start)


def _print_wrong(n_step: int) -> None:
    capacity, batch_size = 4096, 256
    print(f"\nwrong of {SAMPLES:,} samples, returns over {n_step} step(s)")
    for name, priorities in (("RLmaster", None), ("  prioritised", Priorities())):
        play, ours = RandomPlay(ENVIRONMENTS, 1200), _ours(capacity, (2, 4), priorities)
        for step, actions in play.steps(1100):
            ours.append(step, actions)
        samples = (ours.sample(batch_size, n_step, DISCOUNT) for _ in range(SAMPLES // batch_size))
        print(f"{name:26s}{sum(play.wrong(_read(batch), n_step) for batch in samples):12,d}")
    for name, make in PEERS.items():
        peer = _made(make, capacity, (2, 4), n_step, name)
        if peer is None:
            continue
        play = RandomPlay(peer.num_environments, 9600 // peer.num_environments)
        for transitions in play.transitions(8800 // peer.num_environments):
            peer.add(transitions)
        samples = (peer.read(peer.sample(batch_size)) for _ in range(SAMPLES // batch_size))
        print(f"{name:26s}{sum(play.wrong(sample, n_step) for sample in samples):12,d}")


def _read(batch: TransitionBatch) -> Sample:
    fields = (batch.observation, batch.action, batch.reward, batch.discount, batch.next_observation)
    observation, action, reward, discount, next_observation = (f.numpy() for f in fields)
    return Sample(observation, action, reward, discount, next_observation)


if __name__ == "__main__":
    main()
