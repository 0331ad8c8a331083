"""AdamW (Loshchilov and Hutter 2019) in float32, one elementwise operation at a time."""

from __future__ import annotations

import numpy as np

from tiny_agent_trainer.exact import Floats

_F = np.float32
_BETA1 = 0.9
_BETA2 = 0.99  # chosen on training rows alone: docs/trainer.md
_EPSILON = _F(1e-8)
_DECAY = 0.01


class AdamW:
    """Moments of each parameter's shape, and the running powers of both betas.

    The powers are multiplied up step by step, never by `pow`, whose last bit is a library's choice.
    The parameters themselves are averaged as the second moment is, with the same β₂ and correction.
    """

    def __init__(self, parameters: dict[str, Floats], learning_rate: float) -> None:
        """Start with zero moments for `parameters`."""
        self._rate = learning_rate
        self.first = {name: np.zeros_like(value) for name, value in parameters.items()}
        self.second = {name: np.zeros_like(value) for name, value in parameters.items()}
        self.average = {name: np.zeros_like(value) for name, value in parameters.items()}
        self.power1 = 1.0
        self.power2 = 1.0

    def averaged(self) -> dict[str, Floats]:
        """The corrected averages of the parameters, to evaluate with; call it after a step."""
        correction = _F(1.0 - self.power2)
        return {name: average / correction for name, average in self.average.items()}

    def step(self, parameters: dict[str, Floats], gradients: dict[str, Floats]) -> None:
        """Move each parameter in place along its gradient (same names, same shapes)."""
        self.power1 *= _BETA1
        self.power2 *= _BETA2
        rate = _F(self._rate / (1.0 - self.power1))
        correction = _F(1.0 - self.power2)
        keep = _F(1.0 - self._rate * _DECAY)
        for name, gradient in gradients.items():
            value = parameters[name]
            first, second = self.first[name], self.second[name]
            first *= _F(_BETA1)
            first += _F(1.0 - _BETA1) * gradient
            second *= _F(_BETA2)
            second += _F(1.0 - _BETA2) * (gradient * gradient)
            if name.endswith(".weight"):
                value *= keep
            value -= rate * first / (np.sqrt(second / correction) + _EPSILON)
            average = self.average[name]
            average *= _F(_BETA2)
            average += _F(1.0 - _BETA2) * value
