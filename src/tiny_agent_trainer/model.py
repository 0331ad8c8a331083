"""The two models, with their gradients written out; activations are stored features-first."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tiny_agent_trainer import exact
from tiny_agent_trainer.config import Config
from tiny_agent_trainer.data import CLASSES, PIXELS
from tiny_agent_trainer.exact import Floats, Integers

Parameters = dict[str, Floats]
Activation = Callable[[Floats], tuple[Floats, Floats]]

_F = np.float32
_SIDE = 8
_TAPS = 9
_GELU = _F(0.7978845608028654)
_CUBIC = _F(0.044715)


def relu(x: Floats) -> tuple[Floats, Floats]:
    """The value and the slope of ReLU, each of x's shape."""
    return np.maximum(x, _F(0.0)), (x > _F(0.0)).astype(np.float32)


def tanh(x: Floats) -> tuple[Floats, Floats]:
    """The value and the slope of tanh, each of x's shape."""
    value = exact.tanh(x)
    return value, _F(1.0) - value * value


def gelu(x: Floats) -> tuple[Floats, Floats]:
    """The value and the slope of GELU in its tanh form, each of x's shape."""
    square = x * x
    curve = exact.tanh(_GELU * (x + _CUBIC * (square * x)))
    gate = _F(0.5) * (_F(1.0) + curve)
    inner = _GELU * (_F(1.0) + (_F(3.0) * _CUBIC) * square)
    slope = gate + _F(0.5) * x * ((_F(1.0) - curve * curve) * inner)
    return x * gate, slope


_ACTIVATIONS: dict[str, Activation] = {"ReLU": relu, "Tanh": tanh, "GELU": gelu}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A batch's per-row loss (batch,) and predicted class (batch,)."""

    losses: Floats
    predicted: Integers


def _xavier(generator: np.random.PCG64, shape: tuple[int, int], fan: int) -> Floats:
    limit = _F(math.sqrt(6.0 / fan))  # Glorot and Bengio 2010, equation 16
    flat = (exact.uniform(generator, shape[0] * shape[1]) * _F(2.0) - _F(1.0)) * limit
    return np.ascontiguousarray(flat.reshape(shape))


def initialise(config: Config, generator: np.random.PCG64) -> Parameters:
    """Xavier-uniform weights and zero biases, drawn in the order of the names' insertion.

    Shapes: a conv weight (channels, 9 × inputs), a dense weight (outputs, inputs), a bias (outputs, 1).
    """
    parameters: Parameters = {}
    convolutional = config.model_type == "DeterministicCNN"
    width = config.channels if convolutional else config.hidden
    inputs = 1 if convolutional else PIXELS
    taps = _TAPS if convolutional else 1
    for layer in range(config.layers):
        fan = taps * (inputs + width)
        parameters[f"layer{layer:02d}.weight"] = _xavier(generator, (width, taps * inputs), fan)
        parameters[f"layer{layer:02d}.bias"] = np.zeros((width, 1), dtype=np.float32)
        inputs = width
    features = width * PIXELS if convolutional else width
    parameters["output.weight"] = _xavier(generator, (CLASSES, features), features + CLASSES)
    parameters["output.bias"] = np.zeros((CLASSES, 1), dtype=np.float32)
    return parameters


def columns(maps: Floats, batch: int) -> Floats:
    """The nine shifted copies of zero-padded maps: (c, batch × 64) to (9 × c, batch × 64)."""
    channels = maps.shape[0]
    padded = np.zeros((channels, batch, _SIDE + 2, _SIDE + 2), dtype=np.float32)
    padded[:, :, 1:-1, 1:-1] = maps.reshape(channels, batch, _SIDE, _SIDE)
    shifted = np.empty((_TAPS, channels, batch, _SIDE, _SIDE), dtype=np.float32)
    for tap in range(_TAPS):
        down, right = divmod(tap, 3)
        shifted[tap] = padded[:, :, down : down + _SIDE, right : right + _SIDE]
    return shifted.reshape(_TAPS * channels, batch * PIXELS)


def product(weight: Floats, cols: Floats) -> Floats:
    """(n, k) × (k, p) to (n, p) for a long p: one outer product after another along k."""
    result = np.zeros((weight.shape[0], cols.shape[1]), dtype=np.float32)
    scratch = np.empty_like(result)
    for k in range(cols.shape[0]):
        np.multiply(weight[:, k, None], cols[k], out=scratch)
        np.add(result, scratch, out=result)
    return result


def weight_gradient(delta: Floats, cols: Floats) -> Floats:
    """(n, p) and (k, p) to (n, k): each product over p, summed by the fixed tree."""
    scratch = np.empty_like(delta)
    tails: list[Floats] = []
    for k in range(cols.shape[0]):
        np.multiply(delta, cols[k], out=scratch)
        tails.append(exact.fold_last(scratch, 128).copy())
    return np.ascontiguousarray(exact.fold_last(np.stack(tails, axis=1))[..., 0])


def _back_through(weight: Floats, delta: Floats, batch: int) -> Floats:
    """The gradient of a convolution's input: convolve with the kernel turned half round."""
    outputs = weight.shape[0]
    kernel = weight.reshape(outputs, _TAPS, -1)[:, ::-1, :]
    turned = np.ascontiguousarray(kernel.transpose(2, 1, 0)).reshape(-1, _TAPS * outputs)
    return product(turned, columns(delta, batch))


class Model:
    """A stack of layers with residual connections (CNN) or without (MLP), and a linear output."""

    def __init__(self, config: Config, parameters: Parameters) -> None:
        """Use `parameters` (not copied) as `initialise` shapes them."""
        self.parameters = parameters
        self._layers = config.layers
        self._activate = _ACTIVATIONS[config.activation]
        self._convolutional = config.model_type == "DeterministicCNN"

    def _forward(self, images: Floats) -> tuple[Floats, list[tuple[Floats, Floats]], Floats]:
        """The logits (10, batch), each layer's (input columns, slope), and the features (f, batch)."""
        batch = images.shape[0]
        hidden = images.reshape(1, -1) if self._convolutional else np.ascontiguousarray(images.T)
        tape: list[tuple[Floats, Floats]] = []
        for layer in range(self._layers):
            weight = self.parameters[f"layer{layer:02d}.weight"]
            bias = self.parameters[f"layer{layer:02d}.bias"]
            if self._convolutional:
                seen = columns(hidden, batch)
                raw = product(weight, seen)
            else:
                seen = hidden
                raw = exact.matmul(weight, seen)
            value, slope = self._activate(raw + bias)
            hidden = value + hidden if self._convolutional and layer else value
            tape.append((seen, slope))
        features = self._flatten(hidden, batch) if self._convolutional else hidden
        logits = exact.matmul(self.parameters["output.weight"], features) + self.parameters["output.bias"]
        return logits, tape, features

    @staticmethod
    def _flatten(maps: Floats, batch: int) -> Floats:
        """(c, batch × 64) to (c × 64, batch)."""
        folded = maps.reshape(-1, batch, PIXELS).transpose(0, 2, 1)
        return np.ascontiguousarray(folded).reshape(-1, batch)

    @staticmethod
    def _cross_entropy(logits: Floats, labels: Integers) -> tuple[Outcome, Floats]:
        """The outcome, and the gradient (10, batch) of the mean loss by the logits."""
        batch = labels.shape[0]
        top = np.max(logits, axis=0)
        shifted = logits - top
        powers = exact.exp(shifted)
        sums = exact.fold(powers.copy())[0]
        rows = np.arange(batch)
        losses = exact.log(sums) - shifted[labels, rows]
        delta = powers / sums
        delta[labels, rows] -= _F(1.0)
        return Outcome(losses, np.argmax(logits, axis=0).astype(np.int64)), delta / _F(batch)

    def evaluate(self, images: Floats, labels: Integers) -> Outcome:
        """Loss and prediction for images (batch, 64) and labels (batch,)."""
        return self._cross_entropy(self._forward(images)[0], labels)[0]

    def gradients(self, images: Floats, labels: Integers) -> tuple[Outcome, Parameters]:
        """As `evaluate`, with the gradient of the mean loss by each parameter, of its shape."""
        batch = images.shape[0]
        logits, tape, features = self._forward(images)
        outcome, delta = self._cross_entropy(logits, labels)
        found: Parameters = {
            "output.weight": exact.matmul(delta, features.T),
            "output.bias": exact.total(delta)[:, None],
        }
        delta = exact.matmul(self.parameters["output.weight"].T, delta)
        if self._convolutional:
            unfolded = delta.reshape(-1, PIXELS, batch).transpose(0, 2, 1)
            delta = np.ascontiguousarray(unfolded).reshape(-1, batch * PIXELS)
        for layer in range(self._layers - 1, -1, -1):
            name = f"layer{layer:02d}"
            seen, slope = tape[layer]
            local = delta * slope
            found[f"{name}.bias"] = exact.total(local)[:, None]
            if self._convolutional:
                found[f"{name}.weight"] = weight_gradient(local, seen)
                if layer:
                    delta = delta + _back_through(self.parameters[f"{name}.weight"], local, batch)
            else:
                found[f"{name}.weight"] = exact.matmul(local, seen.T)
                if layer:
                    delta = exact.matmul(self.parameters[f"{name}.weight"].T, local)
        return outcome, found
