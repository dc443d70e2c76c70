from typing import get_args

from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.experiment import Atari


def test_an_experiment_can_name_every_protocol_and_no_other():
    assert set(get_args(Atari.model_fields["protocol"].annotation)) == set(PROTOCOLS)
