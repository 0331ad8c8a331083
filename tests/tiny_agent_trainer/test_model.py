"""The written-out gradients against numeric differences."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_agent_trainer import exact
from tiny_agent_trainer.config import parse_config
from tiny_agent_trainer.data import load_digits
from tiny_agent_trainer.model import Model, initialise
from tiny_agent_trainer.optimizer import AdamW


def _config(model_type: str, activation: str) -> bytes:
    text = f'[model]\nmodel_type = "{model_type}"\nlayers = 3\nactivation = "{activation}"\n'
    return (text + "channels = 3\nhidden = 12\n").encode()


@pytest.mark.parametrize("model_type", ["DeterministicCNN", "DeterministicMLP"])
@pytest.mark.parametrize("activation", ["ReLU", "Tanh", "GELU"])
def test_gradients_agree_with_differences(model_type: str, activation: str) -> None:
    config = parse_config(_config(model_type, activation))
    parameters = initialise(config, np.random.PCG64(3))
    for name in parameters:
        if name.endswith(".bias"):  # away from ReLU's corner, where blank pixels would sit
            parameters[name] += np.float32(0.1)
    model = Model(config, parameters)
    train, _ = load_digits()
    images, labels = train.images[:7], train.labels[:7]
    _, gradients = model.gradients(images, labels)
    assert set(gradients) == set(parameters)
    for name, gradient in gradients.items():
        original = parameters[name].copy()
        assert gradient.shape == original.shape
        length = float(np.sqrt(np.sum(gradient.astype(np.float64) ** 2)))
        step = np.float32(2e-3 if activation == "ReLU" else 5e-3) * (gradient / np.float32(length))
        sides = []
        for sign in (1.0, -1.0):
            parameters[name][...] = original + np.float32(sign) * step
            sides.append(exact.mean(model.evaluate(images, labels).losses))
        parameters[name][...] = original
        moved = 2 * float(np.sqrt(np.sum(step.astype(np.float64) ** 2)))
        assert (sides[0] - sides[1]) / moved == pytest.approx(length, rel=2e-2), name


def test_the_optimizer_takes_a_known_first_step() -> None:
    parameters = {"a.weight": np.full((1, 2), 1.0, dtype=np.float32)}
    gradients = {"a.weight": np.array([[2.0, -2.0]], dtype=np.float32)}
    optimizer = AdamW(parameters, 0.1)
    optimizer.step(parameters, gradients)
    assert parameters["a.weight"][0].tolist() == pytest.approx([0.899, 1.099], rel=1e-6)
    assert optimizer.averaged()["a.weight"][0].tolist() == pytest.approx([0.899, 1.099], rel=1e-6)
    after_one = parameters["a.weight"].copy()
    optimizer.step(parameters, gradients)
    expected = (0.99 * after_one + parameters["a.weight"]) / 1.99
    assert optimizer.averaged()["a.weight"] == pytest.approx(expected, rel=1e-5)
