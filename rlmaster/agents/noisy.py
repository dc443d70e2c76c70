"""Linear layers with learned noise on their weights, in place of random actions.

Source: Fortunato et al. (2018), equation 9 with the factorised noise of equations 10 and 11, and
section 3.2 on where the weights begin.
Shapes: I inputs, O outputs.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class NoisyLinear(nn.Module):
    """A linear layer whose weights are normally distributed, with means and deviations learned.

    In training mode each call draws one noise for its whole batch, from torch's global generator of
    the device; in evaluation mode the means alone count.

    Attributes:
        weight: Means of the weights, `(O, I)`.
        bias: Means of the biases, `(O,)`.
        weight_deviation: What the weights' noise is multiplied by, `(O, I)`.
        bias_deviation: What the biases' noise is multiplied by, `(O,)`.
    """

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        """Draw the means, and give every deviation the same value.

        Args:
            inputs: I.
            outputs: O.
            scale: The deviations, times sqrt(I).
        """
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.weight_deviation = nn.Parameter(torch.full((outputs, inputs), scale * bound))
        self.bias_deviation = nn.Parameter(torch.full((outputs,), scale * bound))

    def forward(self, values: Tensor) -> Tensor:
        """Return `(..., O)` of values `(..., I)`."""
        if not self.training:
            return functional.linear(values, self.weight, self.bias)
        outputs, inputs = self.weight.shape
        of_outputs = factor_noise(outputs, self.weight.device)
        of_inputs = factor_noise(inputs, self.weight.device)
        weight = self.weight + self.weight_deviation * (of_outputs[:, None] * of_inputs)
        bias = self.bias + self.bias_deviation * of_outputs
        return functional.linear(values, weight, bias)


def factor_noise(size: int, device: torch.device) -> Tensor:
    """Draw the factor that a layer's inputs or outputs give to the noise, `(size,)`, float32.

    That is f(x) = sign(x) * sqrt(|x|) of normal x, so that products of two have variance 2 / pi.
    """
    normal = torch.randn(size, device=device, dtype=torch.float32)
    return normal.sign() * normal.abs().sqrt()
