"""Agents of other libraries behind one face, each used as its own documentation does.

They come with the optional extra `bench`; what is not installed is skipped. The batch, the updates
for each step, the replay and the random share are the same for all; networks, optimiser, vector
environment and how many games it plays are as in the library's own Atari example. Tianshou's
networks and game wrappers are in its examples only, not in its package: the networks below are
those of its examples, and the games are wrapped by gymnasium.

Shapes: B batch, A actions, Z atoms.
"""

# The peers are optional, and only partly typed.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import importlib
from collections.abc import Callable
from typing import Any

import torch
from _own_process import Player
from torch import Tensor, nn

BATCH_SIZE = 32
STEPS_PER_UPDATE = 4
REPLAY_STEPS = 100_000
WARM_UP_STEPS = 1_000
EXPLORATION = 0.1
"""Share of random actions after the warm-up; agents with noisy layers need none."""
NUM_ATOMS = 51
TIANSHOU_GAMES = 10
"""Side by side, as its `examples/atari/atari_dqn.py` has it."""


class StableBaselines3:
    """`DQN` with `CnnPolicy`, as in rl-baselines3-zoo's `hyperparams/dqn.yml`."""

    def __init__(self, game: str, num_environments: int = 1) -> None:
        """Make it, and let it play the warm-up.

        Args:
            game: ROM name as ale-py spells it.
            num_environments: Games side by side; more than one in processes of their own.
        """
        from stable_baselines3 import DQN
        from stable_baselines3.common.env_util import make_atari_env
        from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

        _register_games()
        vector, how = DummyVecEnv, dict[str, Any]()
        if num_environments > 1:  # forked, for otherwise each process imports all of this again
            vector, how = SubprocVecEnv, {"start_method": "fork"}
        games = make_atari_env(
            f"{_title(game)}NoFrameskip-v4",
            n_envs=num_environments,
            seed=1,
            vec_env_cls=vector,
            vec_env_kwargs=how,
        )
        self._model = DQN(
            "CnnPolicy",
            VecFrameStack(games, n_stack=4),
            learning_rate=1e-4,
            buffer_size=REPLAY_STEPS,
            learning_starts=WARM_UP_STEPS,
            batch_size=BATCH_SIZE,
            train_freq=max(1, STEPS_PER_UPDATE // num_environments),
            gradient_steps=max(1, num_environments // STEPS_PER_UPDATE),
            target_update_interval=1_000,
            exploration_initial_eps=EXPLORATION,
            exploration_final_eps=EXPLORATION,
            seed=1,
        )
        self.settings = f"{vector.__name__} of {num_environments}, Adam, not double"
        self._model.learn(WARM_UP_STEPS)

    def advance(self, steps: int) -> int:
        """Play and learn for at least so many agent steps, and return how many they were."""
        before = self._model.num_timesteps
        self._model.learn(steps, reset_num_timesteps=False)
        return self._model.num_timesteps - before

    def close(self) -> None:
        """End its games."""
        self._model.get_env().close()


class Tianshou:
    """A policy, its `Collector` and a replay of single frames, as in its Atari examples."""

    def __init__(self, game: str, make_policy: Callable[[int, torch.device], Any]) -> None:
        """Make it, and let it play the warm-up.

        Args:
            game: ROM name as ale-py spells it.
            make_policy: Takes the number of actions and the device.
        """
        from tianshou.data import Collector
        from tianshou.env import ShmemVectorEnv

        count = TIANSHOU_GAMES
        self._games = ShmemVectorEnv([lambda: _wrapped(game) for _ in range(count)])
        num_actions = int(self._games.action_space[0].n)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._policy = make_policy(num_actions, device)
        self._policy.set_eps(0.0 if _is_noisy(self._policy) else EXPLORATION)
        self._policy.train()
        self._replay = self._make_replay()
        self._collector = Collector(self._policy, self._games, self._replay, exploration_noise=True)
        self._updates_due = 0.0
        self.settings = f"{type(self._policy).__name__}, ShmemVectorEnv of {count}, Adam"
        self._collector.collect(n_step=WARM_UP_STEPS, random=True)

    def advance(self, steps: int) -> int:
        """Play and learn for at least so many agent steps, and return how many they were.

        What its `OffpolicyTrainer` does, without the curves.
        """
        done = 0
        while done < steps:
            collected = int(self._collector.collect(n_step=TIANSHOU_GAMES)["n/st"])
            done += collected
            self._updates_due += collected / STEPS_PER_UPDATE
            while self._updates_due >= 1:
                self._policy.update(BATCH_SIZE, self._replay)
                self._updates_due -= 1
        return done

    def close(self) -> None:
        """End its games."""
        self._games.close()

    def _make_replay(self) -> Any:
        from tianshou.data import PrioritizedVectorReplayBuffer, VectorReplayBuffer

        frames = {"ignore_obs_next": True, "save_only_last_obs": True, "stack_num": 4}
        if not _is_noisy(self._policy):
            return VectorReplayBuffer(REPLAY_STEPS, TIANSHOU_GAMES, **frames)
        priorities = {"alpha": 0.5, "beta": 0.4, "weight_norm": True}
        return PrioritizedVectorReplayBuffer(REPLAY_STEPS, TIANSHOU_GAMES, **priorities, **frames)


def _double_dqn(num_actions: int, device: torch.device) -> Any:
    from tianshou.policy import DQNPolicy

    model = _TianshouNetwork(num_actions).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)
    return DQNPolicy(
        model, optimiser, 0.99, target_update_freq=500, is_double=True, clip_loss_grad=True
    )


def _rainbow(num_actions: int, device: torch.device) -> Any:
    from tianshou.policy import RainbowPolicy

    model = _TianshouNetwork(num_actions, is_rainbow=True).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=6.25e-5)
    policy = RainbowPolicy(
        model, optimiser, 0.99, NUM_ATOMS, estimation_step=3, target_update_freq=500
    )
    return policy.to(device)


class _TianshouNetwork(nn.Module):
    """The networks of its `examples/atari/atari_network.py`: `DQN`, and `Rainbow` with `C51`'s."""

    def __init__(self, num_actions: int, *, is_rainbow: bool = False) -> None:
        super().__init__()
        self._shape = (num_actions, NUM_ATOMS) if is_rainbow else (num_actions,)
        self.trunk = nn.Sequential(
            nn.Conv2d(4, 32, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3),
            nn.ReLU(),
            nn.Flatten(),
        )
        outputs = num_actions * NUM_ATOMS if is_rainbow else num_actions
        self.advantage = _head(outputs, is_noisy=is_rainbow)
        self.value = _head(NUM_ATOMS, is_noisy=True) if is_rainbow else None

    def forward(self, obs: Any, state: Any = None, info: Any = None) -> tuple[Tensor, Any]:
        """Return values `(B, A)` or probabilities `(B, A, Z)`, and the state as it was."""
        del info
        device = next(self.parameters()).device
        latent = self.trunk(torch.as_tensor(obs, device=device, dtype=torch.float32) / 255)
        advantage = self.advantage(latent).view(-1, *self._shape)
        if self.value is None:
            return advantage, state
        value = self.value(latent).view(-1, 1, NUM_ATOMS)
        return (value + advantage - advantage.mean(1, keepdim=True)).softmax(2), state


def _head(outputs: int, *, is_noisy: bool) -> nn.Sequential:
    from tianshou.utils.net.discrete import NoisyLinear

    linear = NoisyLinear if is_noisy else nn.Linear
    return nn.Sequential(linear(64 * 7 * 7, 512), nn.ReLU(), linear(512, outputs))


def _is_noisy(policy: Any) -> bool:
    return type(policy).__name__ == "RainbowPolicy"


def _wrapped(game: str) -> Any:
    """Return a game as the protocol `classic` has it; gymnasium's wrappers do not press FIRE."""
    import gymnasium
    from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, TransformReward

    _register_games()
    name = f"ALE/{_title(game)}-v5"
    made = gymnasium.make(name, frameskip=1, repeat_action_probability=0.0)
    made = AtariPreprocessing(made, terminal_on_life_loss=True)
    made = TransformReward(made, lambda reward: max(-1.0, min(1.0, float(reward))))
    return FrameStackObservation(made, 4)


def _register_games() -> None:
    import ale_py
    import gymnasium

    importlib.import_module("cv2")  # which wrappers of games need, and some find out late
    gymnasium.register_envs(ale_py)
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)


def _title(game: str) -> str:
    """Return gymnasium's spelling of a ROM's name: `MsPacman` for `ms_pacman`."""
    return "".join(part.capitalize() for part in game.split("_"))


PEERS: dict[str, dict[str, Callable[[str], Player]]] = {
    "DoubleDQN": {
        "stable-baselines3 (1 game)": StableBaselines3,
        "stable-baselines3 (8 games)": lambda game: StableBaselines3(game, 8),
        "Tianshou": lambda game: Tianshou(game, _double_dqn),
    },
    "Rainbow": {"Tianshou": lambda game: Tianshou(game, _rainbow)},
}
"""What makes each peer for a game, by our agent beside which it is set and by its own name."""


def make_peer(agent: str, name: str, game: str, threads: int) -> Player:
    """Make a peer, with so many threads of torch.

    Raises:
        ImportError: If its library is not installed.
    """
    torch.set_num_threads(threads)
    return PEERS[agent][name](game)
