"""Why a resumed run may not repeat another bit by bit."""

import torch

from rlmaster.training.computer import describe_computer, why_not_bit_by_bit


def test_the_same_computer_gives_no_reason() -> None:
    here = describe_computer(torch.device("cpu"))
    assert why_not_bit_by_bit(here, here) == ""


def test_what_differs_is_named() -> None:
    here = describe_computer(torch.device("cpu"))
    there = {**here, "threads": "64", "torch": "1.0"}
    assert why_not_bit_by_bit(there, here) == (
        f"threads 64 then and {here['threads']} now, torch 1.0 then and {here['torch']} now"
    )
    assert "device unknown then and cpu now" in why_not_bit_by_bit({}, here)


def test_a_gpu_is_never_said_to_repeat_itself() -> None:
    gpu = {**describe_computer(torch.device("cpu")), "device": "cuda"}
    assert why_not_bit_by_bit(gpu, gpu) == "a GPU sums in no fixed order"
