"""How fast an agent plays and learns, beside those of other libraries, and where its time goes.

Prints agent steps per second after learning has started: Nature CNN, batches of 32, an update every
4 steps, each in a process of its own, on the same cores, in turn; medians over the rounds, and by
how much ours is faster (goal: 2.5 times the fastest of the others). Ours is the loop of a run with
all that it records, without evaluations and checkpoints, which the others do not have here either.

Then prints the shares of our loop's time: waiting for the emulators, choosing actions, storing what
was played, sampling (with the new priorities), updates (with the optimiser), and the rest. On a GPU
these are shares of the processor's time, which waits for the GPU where it chooses actions, and the
share of the time in which the GPU had nothing to do comes last: what a profiler saw it do in some
steps more, beside the time that as many take without one.

Rainbow of stable-baselines3 does not exist. That of CleanRL, which is no package, came to 33 to 38
steps per second on two such cores.

Other libraries come with the extra: pip install -e .[bench].

    .venv/bin/python benchmarks/agents.py
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from _agent_peers import (
    BATCH_SIZE,
    EXPLORATION,
    PEERS,
    REPLAY_STEPS,
    STEPS_PER_UPDATE,
    WARM_UP_STEPS,
    make_peer,
)
from _own_process import OwnProcess, Turn
from torch.profiler import ProfilerActivity, profile

from rlmaster import agent_choices
from rlmaster.embedder_choices import PixelEncoder
from rlmaster.experiment import AgentTraining as Steps
from rlmaster.experiment import Atari, Experiment
from rlmaster.run_folder import RunFolder
from rlmaster.training.agent_training import AgentTraining
from rlmaster.training.process import prepare_process
from rlmaster.training.recording import Recording

ENVIRONMENTS = 8
PROTOCOL = "classic"
OURS = "RLmaster"
RUN_STEPS = 1_000_000
"""Of the run whose beginning is measured: so long that torch.compile is tried."""
SHARES = ("emulation", "acting", "storing", "sampling", "update")


class Ours:
    """An agent's run, a part at a time, and a watch on where the time goes."""

    def __init__(self, game: str, agent: str, folder: str, compilation: str, threads: int) -> None:
        """Prepare a run in a folder, and play until it has learned for the first time.

        Args:
            game: ROM name as ale-py spells it.
            agent: Class in agent_choices.
            folder: Where runs may lie.
            compilation: `auto`, `always` or `never`.
            threads: Of torch.
        """
        torch.set_num_threads(threads)
        prepare_process()
        experiment = _experiment(game, agent, compilation)
        run = RunFolder.create(
            Path(folder),
            config=experiment.to_data(),
            rationale="benchmark",
            provenance={},
            digests={},
            differs_from_default=[],
        )
        self._recording = Recording(run)
        self._training = training = AgentTraining(experiment, run, self._recording)
        assert training.learning is not None
        self._recording.begin(0)
        self._learner = training._learner(None)
        training.play.begin()
        torch.manual_seed(1)
        while training.learning.updates_after(training.play.steps) == 0:
            training._tick(self._learner)
        self.spent_s: dict[str, float] = dict.fromkeys(SHARES, 0.0)
        self._watch()
        optimiser, arithmetic = training.learning.optimiser, training.learning.arithmetic
        self.settings = f"{ENVIRONMENTS} games, {type(optimiser).__name__}, {arithmetic}"

    def advance(self, steps: int) -> int:
        """Play and learn for at least so many agent steps, and return how many they were."""
        play = self._training.play
        before = play.steps
        while play.steps < before + steps:
            self._training._tick(self._learner)
        return play.steps - before

    def gpu_s_per_step(self, steps: int) -> float:
        """Return for how long a GPU computes or copies in each of so many steps."""
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            done = self.advance(steps)
            torch.cuda.synchronize()
        spans = [event.time_range for event in seen.events() or []]
        busy_us, end_us = 0.0, 0.0
        for span in sorted(spans, key=lambda span: span.start):
            busy_us += max(0.0, span.end - max(span.start, end_us))
            end_us = max(end_us, span.end)
        return busy_us / 1e6 / done

    def close(self) -> None:
        """Write what is left."""
        self._recording.close()

    def _watch(self) -> None:
        """Have the parts of the loop say how long they take."""
        training, learning = self._training, self._training.learning
        for share, owner, method in (
            ("emulation", training.play._environments, "send"),
            ("emulation", training.play._environments, "recv"),
            ("acting", training.acting, "choose"),
            ("storing", training.play.replay, "append"),
            ("sampling", learning, "_sample"),
            ("sampling", training.play.replay, "update_priorities"),
            ("update", learning, "_update"),
        ):
            setattr(owner, method, self._timed(share, getattr(owner, method)))

    def _timed(self, share: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            start_s = time.perf_counter()
            result = function(*arguments)
            self.spent_s[share] += time.perf_counter() - start_s
            return result

        return timed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--games", nargs="+", default=["pong"], help="as ale-py spells them")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved measurements of each")
    parser.add_argument("--steps", type=int, default=1_000, help="agent steps in a measurement")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    parser.add_argument("--compile", default="auto", choices=["auto", "always", "never"])
    parser.add_argument("--only", choices=["ours"], help="leave the other libraries out")
    arguments = parser.parse_args()
    _print_setting(arguments.threads)
    for game in arguments.games:
        for agent in arguments.agents:
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                _compare(game, agent, folder, arguments, stack)


def _experiment(game: str, agent: str, compilation: str) -> Experiment:
    chosen = getattr(agent_choices, agent)
    noisy = chosen().noisy
    return Experiment(
        name="benchmark",
        environment=Atari(game=game, protocol=PROTOCOL, num_environments=ENVIRONMENTS),
        embedder=PixelEncoder(),
        agent=chosen(
            batch_size=BATCH_SIZE,
            updates_per_step=1 / STEPS_PER_UPDATE,
            replay_steps=REPLAY_STEPS,
            warm_up_steps=WARM_UP_STEPS,
            exploration_start=0.0 if noisy else EXPLORATION,
            exploration_end=0.0 if noisy else EXPLORATION,
        ),
        agent_training=Steps(steps=RUN_STEPS, compile=compilation),
    )


def _print_setting(threads: int) -> None:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "processor"
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    print(f"{device}, {cores} cores (load {load:.1f} before this), {threads} thread(s) of torch")
    names = ("torch", "ale-py", "gymnasium", "stable-baselines3", "tianshou")
    print(", ".join(f"{name} {_version(name)}" for name in names))
    print(
        f"protocol {PROTOCOL}, batches of {BATCH_SIZE}, an update every {STEPS_PER_UPDATE} steps, "
        f"a replay of {REPLAY_STEPS:,}, {WARM_UP_STEPS:,} steps of warm-up, then "
        f"{EXPLORATION:.0%} random actions (none where layers are noisy)"
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(none)"


def _compare(
    game: str, agent: str, folder: str, arguments: argparse.Namespace, stack: ExitStack
) -> None:
    """Measure an agent in a game beside its peers; the stack ends them all."""
    print(f"\n{agent}, {game}")
    players = {OURS: OwnProcess(Ours, game, agent, folder, arguments.compile, arguments.threads)}
    stack.callback(players[OURS].close)
    if not arguments.only:
        players |= _peers(game, agent, arguments.threads, stack)
    turns = _played(players, arguments)
    steps_per_s = {name: [turn.steps_per_s for turn in its] for name, its in turns.items()}
    _print_rates(players, steps_per_s)
    _print_shares(turns[OURS])
    if torch.cuda.is_available():
        busy_s = players[OURS].ask("gpu_s_per_step", arguments.steps)
        print(f"idle GPU: {1 - busy_s * statistics.median(steps_per_s[OURS]):.1%}")


def _peers(game: str, agent: str, threads: int, stack: ExitStack) -> dict[str, OwnProcess]:
    made: dict[str, OwnProcess] = {}
    for name in PEERS[agent]:
        try:
            made[name] = OwnProcess(make_peer, agent, name, game, threads)
        except ImportError as error:
            print(f"{name} is skipped: {error}")
        else:
            stack.callback(made[name].close)
    return made


def _played(
    players: Mapping[str, OwnProcess], arguments: argparse.Namespace
) -> dict[str, list[Turn]]:
    """Let all play in turn, and return what they did in each round but the first."""
    rounds = [
        {name: player.advance(arguments.steps) for name, player in players.items()}
        for _ in range(arguments.rounds + 1)
    ]
    return {name: [turns[name] for turns in rounds[1:]] for name in players}


def _print_rates(players: Mapping[str, OwnProcess], steps_per_s: dict[str, list[float]]) -> None:
    print(f"{'':28s}{'steps/s':>9s}{'ours is so many times as fast':>32s}   settings")
    for name, rates in steps_per_s.items():
        ratios = [a / b for a, b in zip(steps_per_s[OURS], rates, strict=True)]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name:28s}{statistics.median(rates):9.1f}{ratio:>32s}   {players[name].settings}")


def _print_shares(turns: list[Turn]) -> None:
    shares = [{part: turn.spent_s[part] / turn.took_s for part in SHARES} for turn in turns]
    for share in shares:
        share["the rest"] = 1 - sum(share.values())
    medians = {name: statistics.median(share[name] for share in shares) for name in shares[0]}
    print("our time: " + ", ".join(f"{name} {share:.1%}" for name, share in medians.items()))
    outside = statistics.median(1 - share["emulation"] - share["update"] for share in shares)
    print(f"outside emulation and update: {outside:.1%} (goal: at most 10%)")


if __name__ == "__main__":
    main()
