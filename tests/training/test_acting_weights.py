"""What acting needs is found by acting, kept in half precision, and enough to play with."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from trained_agents import tiny_player

from rlmaster.agent_choices import Rainbow
from rlmaster.agents.base import BaseAgent, build_agent
from rlmaster.embedder_choices import PixelEncoder
from rlmaster.errors import TrainingError, UsageError
from rlmaster.experiment import Experiment
from rlmaster.policy_folder import PolicyFolder
from rlmaster.training.acting_weights import acting_weights, needed_to_act
from rlmaster.training.trained_policy import load_agent, read_policy

RAINBOW = {
    "agent": Rainbow(hidden_units=8),
    "embedder": PixelEncoder(channels=(2, 2, 2), latent_dim=98),
}


def untrained(**fields: Any) -> tuple[Experiment, BaseAgent]:
    torch.manual_seed(5)
    experiment = tiny_player(**fields)
    return experiment, build_agent(experiment).eval()


def observations() -> Tensor:
    return torch.randint(256, (64, 4, 84, 84), dtype=torch.uint8)


def test_neither_targets_nor_a_decoder_are_needed() -> None:
    experiment, agent = untrained()
    needed = needed_to_act(agent, experiment)
    expected = {
        name
        for name in agent.state_dict()
        if name.startswith(("head.", "encoder.embedder.encoder.", "encoder.embedder.background"))
        and not name.endswith("support")
    }
    assert needed == expected
    assert len(needed) == 3 * 2 + 2 + 2 + 2 * 4 + 1  # convolutions, latent, its norm, streams


def test_of_a_noisy_distribution_the_means_and_the_support_are_needed() -> None:
    experiment, agent = untrained(**RAINBOW)
    needed = needed_to_act(agent, experiment)
    assert "support" in needed
    assert not {name for name in needed if "deviation" in name or "target" in name}


class TwoTables(BaseAgent):
    """Adds up two tables of values, as an agent of somebody's own might."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(build_agent(experiment).encoder, num_actions=6)
        self.one, self.other, self.unused = (nn.Parameter(torch.rand(6)) for _ in range(3))

    def act(self, observation: Tensor) -> Tensor:
        return torch.stack([self.one, self.other]).sum(0).expand(len(observation), 6).argmax(1)


def test_weights_in_a_list_are_found_too() -> None:
    experiment, _ = untrained()
    assert needed_to_act(TwoTables(experiment), experiment) == {"one", "other"}


def test_looking_disturbs_neither_mode_nor_random_streams() -> None:
    experiment, agent = untrained(**RAINBOW)
    agent.train()
    before = torch.get_rng_state()
    needed_to_act(agent, experiment)
    assert agent.training
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("fields", [{}, RAINBOW])
def test_an_agent_of_these_plays_the_same_but_for_rounding(fields: dict[str, Any]) -> None:
    experiment, agent = untrained(**fields)
    kept = acting_weights(agent, experiment)
    learned = {name for name, _ in agent.named_parameters()}
    assert all((kept[n].dtype == torch.float16) == (n in learned) for n in kept)
    player, seen = load_agent(experiment, kept), observations()
    assert not player.training
    assert torch.equal(player.act(seen), agent.act(seen))
    ours, theirs = (each.head(each.encoder(seen)) for each in (player, agent))  # type: ignore[operator]
    assert not torch.equal(ours, theirs)
    assert torch.allclose(ours, theirs, atol=2e-3)
    assert all(weight.dtype == torch.float32 for weight in player.state_dict().values())


def test_what_float16_cannot_hold_is_not_rounded() -> None:
    experiment, agent = untrained()
    with torch.no_grad():
        agent.get_parameter("head.value.0.bias")[0] = 1e5
    kept = acting_weights(agent, experiment)["head.value.0.bias"]
    assert kept.dtype == torch.float32
    assert kept[0] == 1e5


def test_what_a_policy_lacks_draws_nothing_that_looks_like_a_frame() -> None:
    experiment, agent = untrained()
    player = load_agent(experiment, acting_weights(agent, experiment))
    drawn = player.encoder.embedder.decoder(torch.zeros(1, 8))  # type: ignore[operator]
    assert drawn.isnan().all()
    assert player.get_parameter("target_head.value.0.bias").isnan().all()


def test_a_policy_that_lacks_what_acting_needs_is_refused() -> None:
    experiment, agent = untrained()
    kept = acting_weights(agent, experiment)
    for name in kept:
        others = {other: weight for other, weight in kept.items() if other != name}
        with pytest.raises(TrainingError, match=f"than ValueBasedAgent builds: {name} is not"):
            load_agent(experiment, others)
    with pytest.raises(TrainingError, match=r"of other networks than ValueBasedAgent builds$"):
        load_agent(experiment, {**kept, "another": torch.zeros(1)})


def test_a_folder_without_whole_weights_is_one_sentence(tmp_path: Path) -> None:
    experiment, _ = untrained()
    folder = PolicyFolder(tmp_path)
    with pytest.raises(UsageError, match="is no policy, which is policy"):
        read_policy(folder)
    folder.config_file.write_text(json.dumps(experiment.to_data()))
    folder.weights_file.write_bytes(b"half of it")
    with pytest.raises(TrainingError, match=r"cannot be read .*; export the policy again"):
        read_policy(folder)
