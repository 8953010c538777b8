"""Heads on frozen features: linear, on standardised values. NumPy and SciPy only.

A head's graph takes `features` [B,F] and gives raw logits for each of its outputs; calibration stands in the manifest.
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.optimize import minimize

CLIP = 6.0
STRENGTHS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
LEAST = 1e-4                                                   # as in src/minds/decoder/head.rs


class Scale:
    """Standardises features, as the head's graph does."""

    def __init__(self, features: np.ndarray):
        self.mean, self.std = features.mean(0, dtype=np.float32), features.std(0, dtype=np.float32) + 1e-3

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return np.clip((features.astype(np.float32) - self.mean) / self.std, -CLIP, CLIP)


class Linear:
    """weight [F,outputs], bias [outputs]."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray):
        self.weight, self.bias = weight.astype(np.float32), bias.astype(np.float32)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x @ self.weight + self.bias


def classes(x, target, strength: float, weights=None) -> Linear:
    """Multinomial logistic regression to distributions: target [N,K], each row adding up to 1."""
    n, k = target.shape
    w = np.ones(n, np.float32) if weights is None else weights.astype(np.float32)
    target = target.astype(np.float32)

    def loss(flat):
        weight, bias = flat[:-k].reshape(-1, k).astype(np.float32), flat[-k:].astype(np.float32)
        logs = log_softmax(x @ weight + bias)
        value = -(w[:, None] * target * logs).sum(dtype=np.float64) + (flat[:-k] ** 2).sum() / (2 * strength)
        slope = w[:, None] * (np.exp(logs) - target)
        return value, np.concatenate([(x.T @ slope).ravel() + flat[:-k] / strength, slope.sum(0)]).astype(np.float64)
    start = np.zeros(x.shape[1] * k + k)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 150}).x
    return Linear(found[:-k].reshape(-1, k), found[-k:])


def shares(x, target, strength: float, weights=None) -> Linear:
    """Logistic regression to shares: target [N,K] in 0..1, NaN where unknown; one output a column."""
    known = ~np.isnan(target)
    k, y = target.shape[1], np.nan_to_num(target).astype(np.float32)
    w = (known if weights is None else known * weights[:, None]).astype(np.float32)

    def loss(flat):
        weight, bias = flat[:-k].reshape(-1, k).astype(np.float32), flat[-k:].astype(np.float32)
        z = x @ weight + bias
        value = (w * (np.logaddexp(0, z) - y * z)).sum(dtype=np.float64) + (flat[:-k] ** 2).sum() / (2 * strength)
        slope = w * (1 / (1 + np.exp(-z)) - y)
        return value, np.concatenate([(x.T @ slope).ravel() + flat[:-k] / strength, slope.sum(0)]).astype(np.float64)
    start = np.zeros(x.shape[1] * k + k)
    means = (w * y).sum(0) + 0.5, (w * (1 - y)).sum(0) + 0.5
    start[-k:] = np.log(means[0] / means[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 150}).x
    return Linear(found[:-k].reshape(-1, k), found[-k:])


def log_softmax(logits):
    logits = logits - logits.max(1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def temperature(logits, y, weights=None) -> float:
    """That with the highest likelihood."""
    w = np.ones(len(y)) / len(y) if weights is None else weights / weights.sum()
    loss = lambda t: -(w * log_softmax(logits / np.exp(t[0]))[np.arange(len(y)), y]).sum()
    return float(np.exp(minimize(loss, [0.0], method="Nelder-Mead").x[0]))


def fusion(logits, theirs, y, weights=None) -> list[float]:
    """Exponents of our probabilities and of theirs [N,K] in the product of both, with the highest likelihood."""
    w = np.ones(len(y)) / len(y) if weights is None else weights / weights.sum()
    loss = lambda ab: -(w * fused(logits, theirs, ab, log=True)[np.arange(len(y)), y]).sum()
    return [float(v) for v in minimize(loss, [0.6, 0.4], method="Nelder-Mead").x]


def fused(logits, theirs, ab, log=False):
    sums = log_softmax(ab[0] * log_softmax(logits) + ab[1] * np.log(theirs + LEAST))
    return sums if log else np.exp(sums)


def graph(scale: Scale, outputs: dict[str, Linear]) -> onnx.ModelProto:
    """`features` [B,F] -> each output [B,its width]. fp32; weights are kept in 16 bits."""
    half = lambda name, array: numpy_helper.from_array(array.astype(np.float16), name)
    tensors = [numpy_helper.from_array(scale.mean, "mean"), numpy_helper.from_array(scale.std, "std"),
               numpy_helper.from_array(np.float32(-CLIP), "low"), numpy_helper.from_array(np.float32(CLIP), "high")]
    nodes = [helper.make_node("Sub", ["features", "mean"], ["centred"]), helper.make_node("Div", ["centred", "std"], ["scaled"]),
             helper.make_node("Clip", ["scaled", "low", "high"], ["x"])]
    for name, linear in outputs.items():
        tensors += [half(f"{name}.half", linear.weight), numpy_helper.from_array(linear.bias, f"{name}.bias")]
        nodes += [helper.make_node("Cast", [f"{name}.half"], [f"{name}.weight"], to=TensorProto.FLOAT),
                  helper.make_node("Gemm", ["x", f"{name}.weight", f"{name}.bias"], [name])]
    value = helper.make_tensor_value_info
    model = helper.make_graph(nodes, "head", [value("features", TensorProto.FLOAT, ["B", len(scale.mean)])],
                              [value(name, TensorProto.FLOAT, ["B", len(linear.bias)]) for name, linear in outputs.items()],
                              tensors)
    return helper.make_model(model, opset_imports=[helper.make_opsetid("", 21)], ir_version=10, producer_name="mom")
