"""Replays of other libraries behind one face, each used as its own documentation does.

They come with the optional extra `bench`; what is not installed is skipped.
"""

# The peers are optional, and only partly typed.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from _random_play import DISCOUNT, STACK, Sample, Transitions


class Peer(Protocol):
    """A replay of another library."""

    num_environments: int

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        ...

    def add(self, transitions: Transitions) -> None:
        """Add a transition of each environment."""
        ...

    def sample(self, batch_size: int) -> Any:
        """Draw a batch, in the library's own form."""
        ...

    def read(self, batch: Any) -> Sample:
        """Return what such a batch means."""
        ...


class StableBaselines3:
    """`ReplayBuffer`, which keeps both observations of each transition, or `NStepReplayBuffer`."""

    def __init__(
        self, capacity: int, shape: tuple[int, int], n_step: int, *, saves_memory: bool = False
    ) -> None:
        """Make an empty one."""
        from gymnasium import spaces
        from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

        self.num_environments = 8
        observation = spaces.Box(0, 255, (STACK, *shape), np.uint8)
        settings: dict[str, Any] = {
            "device": "cpu",
            "n_envs": 8,
            "optimize_memory_usage": saves_memory,
            "handle_timeout_termination": not saves_memory,
        }
        if n_step == 1:
            self._buffer = ReplayBuffer(capacity, observation, spaces.Discrete(6), **settings)
        else:
            self._buffer = NStepReplayBuffer(
                capacity,
                observation,
                spaces.Discrete(6),
                n_steps=n_step,
                gamma=DISCOUNT,
                **settings,
            )

    @property
    def num_bytes(self) -> int:
        """Memory of its arrays."""
        return sum(a.nbytes for a in vars(self._buffer).values() if isinstance(a, np.ndarray))

    def add(self, transitions: Transitions) -> None:
        """Add a transition of each environment."""
        t = transitions
        infos = [{"TimeLimit.truncated": bool(cut)} for cut in t.truncated]
        done = t.terminated | t.truncated
        self._buffer.add(t.observation, t.next_observation, t.action, t.reward, done, infos)

    def sample(self, batch_size: int) -> Any:
        """Draw a batch."""
        return self._buffer.sample(batch_size)

    def read(self, batch: Any) -> Sample:
        """Return what it means."""
        discounts = DISCOUNT if batch.discounts is None else batch.discounts
        return Sample(
            batch.observations.numpy(),
            batch.actions.numpy()[:, 0],
            batch.rewards.numpy()[:, 0],
            ((1 - batch.dones) * discounts).numpy()[:, 0],
            batch.next_observations.numpy(),
        )


class Tianshou:
    """`VectorReplayBuffer` that keeps single frames, as in its Atari examples."""

    def __init__(self, capacity: int, shape: tuple[int, int], n_step: int) -> None:
        """Make an empty one."""
        from tianshou.data import VectorReplayBuffer

        self.num_environments, self._n_step = 8, n_step
        self._buffer = VectorReplayBuffer(
            capacity, buffer_num=8, ignore_obs_next=True, save_only_last_obs=True, stack_num=STACK
        )

    @property
    def num_bytes(self) -> int:
        """Memory of its arrays."""
        return sum(
            value.nbytes for value in self._buffer._meta.values() if isinstance(value, np.ndarray)
        )

    def add(self, transitions: Transitions) -> None:
        """Add a transition of each environment."""
        from tianshou.data import Batch

        t = transitions
        self._buffer.add(
            Batch(
                obs=t.observation,
                act=t.action,
                rew=t.reward,
                terminated=t.terminated,
                truncated=t.truncated,
                obs_next=t.next_observation,
                info={},
            ),
            buffer_ids=np.arange(8),
        )

    def sample(self, batch_size: int) -> Any:
        """Draw a batch and its indices."""
        return self._buffer.sample(batch_size)

    def read(self, batch: Any) -> Sample:
        """Return what the library's own n-step return makes of it."""
        from tianshou.policy import BasePolicy

        batch, indices = batch
        finals: list[Any] = []

        def zero_and_one(buffer: Any, final: Any) -> torch.Tensor:
            finals.append(buffer[final].obs_next)
            return torch.tensor([[0.0, 1.0]]).repeat(len(final), 1)

        returns = BasePolicy.compute_nstep_return(
            batch, self._buffer, indices, zero_and_one, DISCOUNT, self._n_step
        ).returns.numpy()
        return Sample(batch.obs, batch.act, returns[:, 0], returns[:, 1] - returns[:, 0], finals[0])


class TorchRL:
    """`TensorDictReplayBuffer` over `LazyTensorStorage`, and `MultiStepTransform` for n steps."""

    def __init__(self, capacity: int, shape: tuple[int, int], n_step: int) -> None:
        """Make an empty one."""
        from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
        from torchrl.envs.transforms import MultiStepTransform

        self.num_environments, self._n_step = 8, n_step
        self._storage = LazyTensorStorage(capacity)
        self._buffer = TensorDictReplayBuffer(storage=self._storage)
        if n_step > 1:
            self._buffer.append_transform(MultiStepTransform(n_steps=n_step, gamma=DISCOUNT))

    @property
    def num_bytes(self) -> int:
        """Memory of its tensors."""
        return sum(value.nbytes for value in self._storage._storage.values(True, leaves_only=True))

    def add(self, transitions: Transitions) -> None:
        """Add a transition of each environment, a step of `(E, 1)` trajectories."""
        from tensordict import TensorDict

        t = transitions
        following = {
            "pixels": torch.from_numpy(t.next_observation),
            "reward": torch.from_numpy(t.reward)[:, None],
            "terminated": torch.from_numpy(t.terminated)[:, None],
            "truncated": torch.from_numpy(t.truncated)[:, None],
            "done": torch.from_numpy(t.terminated | t.truncated)[:, None],
        }
        step = TensorDict(
            {
                "pixels": torch.from_numpy(t.observation),
                "action": torch.from_numpy(t.action),
                "next": TensorDict(following, batch_size=[8]),
            },
            batch_size=[8],
        )
        self._buffer.extend(step if self._n_step == 1 else step.unsqueeze(1))

    def sample(self, batch_size: int) -> Any:
        """Draw a batch."""
        return self._buffer.sample(batch_size)

    def read(self, batch: Any) -> Sample:
        """Return what it means: its losses discount by gamma ** `steps_to_next_obs`."""
        batch = batch.reshape(-1)
        following = batch["next"]
        steps = batch["steps_to_next_obs"] if "steps_to_next_obs" in batch.keys() else 1  # noqa: SIM118 - a TensorDict
        goes_on = 1 - following["terminated"].float()
        return Sample(
            batch["pixels"].numpy(),
            batch["action"].numpy(),
            following["reward"].numpy()[:, 0],
            (goes_on * DISCOUNT**steps).numpy()[:, 0],
            following["pixels"].numpy(),
        )


class Cpprb:
    """`ReplayBuffer` with `next_of` and `stack_compress`, for one environment, as these need it."""

    def __init__(self, capacity: int, shape: tuple[int, int], n_step: int) -> None:
        """Make an empty one."""
        from cpprb import ReplayBuffer

        self.num_environments, self._n_step = 1, n_step
        fields = {
            "obs": {"shape": (*shape, STACK), "dtype": np.uint8},
            "act": {"dtype": np.int64},
            "rew": {},
            "done": {},
        }
        if n_step == 1:
            self._buffer = ReplayBuffer(capacity, fields, next_of="obs", stack_compress="obs")
        else:
            fields["next_obs"] = fields["obs"]
            steps = {"size": n_step, "gamma": DISCOUNT, "rew": "rew", "next": "next_obs"}
            self._buffer = ReplayBuffer(
                capacity, fields, stack_compress=["obs", "next_obs"], Nstep=steps
            )
        self._resident_at_first: int | None = None

    @property
    def num_bytes(self) -> int:
        """Memory that the process took while it was filled, since its arrays cannot be seen."""
        return _resident_bytes() - (self._resident_at_first or 0)

    def add(self, transitions: Transitions) -> None:
        """Add a transition of its environment."""
        if self._resident_at_first is None:
            self._resident_at_first = _resident_bytes()
        t = transitions
        self._buffer.add(
            obs=np.moveaxis(t.observation[0], 0, -1),
            act=t.action[0],
            rew=t.reward[0],
            next_obs=np.moveaxis(t.next_observation[0], 0, -1),
            done=float(t.terminated[0]),
        )
        if t.terminated[0] or t.truncated[0]:
            self._buffer.on_episode_end()

    def sample(self, batch_size: int) -> Any:
        """Draw a batch."""
        return self._buffer.sample(batch_size)

    def read(self, batch: Any) -> Sample:
        """Return what it means."""
        discount = batch["discounts"] if "discounts" in batch else DISCOUNT**self._n_step
        return Sample(
            np.moveaxis(batch["obs"], -1, 1),
            batch["act"][:, 0].astype(np.int64),
            batch["rew"][:, 0],
            (discount * (1 - batch["done"]))[:, 0],
            np.moveaxis(batch["next_obs"], -1, 1),
        )


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def _sb3_saving_memory(capacity: int, shape: tuple[int, int], n_step: int) -> Peer:
    if n_step > 1:
        raise NotImplementedError
    return StableBaselines3(capacity, shape, n_step, saves_memory=True)


PEERS: dict[str, Callable[[int, tuple[int, int], int], Peer]] = {
    "stable-baselines3": StableBaselines3,
    "  optimize_memory_usage": _sb3_saving_memory,
    "Tianshou": Tianshou,
    "TorchRL": TorchRL,
    "cpprb (1 environment)": Cpprb,
}
