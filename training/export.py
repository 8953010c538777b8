"""Writes the trunk as one lean int8 ONNX graph.

The graph is built node by node from the PyTorch weights: no tracer, no shape arithmetic. Matrix products use
ONNX Runtime's int8 kernels (u8 activations with one fixed scale each, s8 weights with one scale per output: the fast
path on x86). The scales were learnt in training (`model.Quantiser`), so a window's answer does not depend on what else
is in the batch. The tables (embeddings, words) are s8 with one scale per row. Heads stay fp32 (they are small).

Inputs   input_ids, attention_mask   int64 [B,T], T <= 512
Outputs  category_logits [B,14], complexity_logits [B,3], jailbreak_logits [B,2], harm_logits [B,2], evidence_logits [B,T,1],
         pii_logits [B,T,35], embedding [B,384] (unit length); float32, raw logits
"""
import hashlib
import importlib.metadata
import json
import pathlib

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from data import WINDOW
from model import BASE, CATEGORIES, COMPLEXITIES, D, EPS, GUARD, HEADS, MIDDLE, PARTS, PII, TAGS, Trunk, base_folder

OUTPUTS = {**{f"{part}_logits": ["B", size] for part, size in PARTS.items()}, "evidence_logits": ["B", "T", 1],
           "pii_logits": ["B", "T", len(TAGS)], "embedding": ["B", D]}


def quantise(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """weight [rows, cols] -> s8 values and one fp32 scale per row (symmetric)."""
    scale = np.maximum(np.abs(weight).max(1), 1e-8) / 127.0
    return np.clip(np.rint(weight / scale[:, None]), -127, 127).astype(np.int8), scale.astype(np.float32)


class Graph:
    """Collects nodes and constants; every method returns the name of the tensor it made."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def constant(self, name, value):
        self.constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def op(self, kind, inputs, output, domain="", **attributes):
        many = output if isinstance(output, list) else [output]
        self.nodes.append(helper.make_node(kind, inputs, many, name=many[0], domain=domain, **attributes))
        return output

    def table(self, module, name):
        """The rows of all tokens, [B,T,columns]: one s8 row and one scale each."""
        values, scale = quantise(module.weight.detach().numpy())
        rows = self.op("Gather", [self.constant(f"{name}.q", values), "input_ids"], f"{name}.rows.q")
        rows = self.op("Cast", [rows], f"{name}.rows.f", to=TensorProto.FLOAT)
        scales = self.op("Gather", [self.constant(f"{name}.s", scale[:, None]), "input_ids"], f"{name}.rows.s")
        return self.op("Mul", [rows, scales], f"{name}.rows")

    def norm(self, x, module, name):
        scale = self.constant(f"{name}.w", module.weight.detach().numpy())
        bias = self.constant(f"{name}.b", module.bias.detach().numpy())
        return self.op("LayerNormalization", [x, scale, bias], name, axis=-1, epsilon=EPS)

    def weights(self, x, module, name):
        """-> the u8 input and the constants of an int8 product: weight, bias, scales, zero points."""
        values, scale = quantise(module.weight.detach().numpy())
        step, zero = module.input.grid()
        found = {"weight": self.constant(f"{name}.q", values.T), "scale": self.constant(f"{name}.s", scale),
                 "bias": self.constant(f"{name}.b", module.bias.detach().numpy()),
                 "x_scale": self.constant(f"{name}.xs", np.float32(step)),
                 "x_zero": self.constant(f"{name}.xz", np.uint8(zero))}
        return self.op("QuantizeLinear", [x, found["x_scale"], found["x_zero"]], f"{name}.x"), found

    def linear(self, x, module, name):
        x, c = self.weights(x, module, name)
        return self.op("MatMulIntegerToFloat", [x, c["weight"], c["x_scale"], c["scale"], c["x_zero"], "", c["bias"]], name,
                       domain="com.microsoft")

    def attention(self, x, module, name):
        """Query, key, value product and attention in one node (5 % faster here than the same in plain nodes)."""
        x, c = self.weights(x, module, name)
        zero = self.constant(f"{name}.z", np.zeros(module.out_features, np.int8))
        return self.op("QAttention", [x, c["weight"], c["bias"], c["x_scale"], c["scale"], "mask.i32", c["x_zero"], zero],
                       name, domain="com.microsoft", num_heads=HEADS)

    def layer(self, x, module, name):
        mixed = self.linear(self.attention(x, module.qkv, f"{name}.qkv"), module.out, f"{name}.out")
        x = self.norm(self.op("Add", [x, mixed], f"{name}.sum1"), module.norm1, f"{name}.n1")
        wide = self.op("Gelu", [self.linear(x, module.up, f"{name}.up")], f"{name}.gelu", domain="com.microsoft")
        down = self.linear(wide, module.down, f"{name}.down")
        return self.norm(self.op("Add", [x, down], f"{name}.sum2"), module.norm2, f"{name}.n2")


def by_vocabulary(g: Graph, trunk: Trunk) -> None:
    """Trunk.by_vocabulary in nodes: category.said [B,14] -> category_logits."""
    plain = g.op("Greater", ["input_ids", g.constant("last.special", np.int64(103))], "plain")
    real = g.op("Mul", ["mask.f", g.op("Cast", [plain], "plain.f", to=TensorProto.FLOAT)], "real")
    total = g.op("MatMul", [g.op("Unsqueeze", [real, "axis1"], "real.row"), g.table(trunk.words_say, "words_say")], "said.1")
    count = g.op("Max", [g.op("ReduceSum", [real, "axis1"], "real.count", keepdims=1), "one"], "real.some")
    said = g.op("Div", [g.op("Squeeze", [total, "axis1"], "said.total"), g.op("Sqrt", [count], "real.root")], "said")
    g.op("Add", ["category.said", said], "category_logits")


def by_word(g: Graph, tags: str, trunk: Trunk) -> None:
    """Trunk.by_word in nodes: `tags` [B,T,35] -> pii_logits."""
    continues = g.op("Gather", [g.constant("continues", trunk.continues.numpy()), "input_ids"], "piece.continues")
    starts = g.op("Cast", [g.op("Not", [continues], "piece.starts")], "piece.starts.f", to=TensorProto.FLOAT)
    word = g.op("CumSum", [starts, g.constant("one.i", np.int64(1))], "word")
    same = g.op("Equal", [g.op("Unsqueeze", [word, "axis2"], "word.col"), g.op("Unsqueeze", [word, "axis1"], "word.row")],
                "word.same")
    same = g.op("Cast", [same], "word.same.f", to=TensorProto.FLOAT)
    count = g.op("ReduceSum", [same, "axis2"], "word.count", keepdims=1)
    tags = g.op("Div", [g.op("MatMul", [same, tags], "word.total"), count], "word.tags")
    sizes = g.constant("tag.sizes", np.array([1, 2 * len(PII)], np.int64))
    outside, labels = g.op("Split", [tags, sizes], ["tag.outside", "tag.labels"], axis=-1)
    pairs = g.op("Reshape", [labels, g.constant("tag.pairs", np.array([0, 0, len(PII), 2], np.int64))], "tag.paired")
    either = g.op("ReduceLogSumExp", [pairs, g.constant("axis3", np.array([3], np.int64))], "tag.either", keepdims=1)
    never = g.op("Sub", [either, g.constant("never", np.float32(30))], "tag.never")
    inner = g.op("Reshape", [g.op("Concat", [never, either], "tag.inner", axis=-1),
                             g.constant("tag.flat", np.array([0, 0, 2 * len(PII)], np.int64))], "tag.inner.flat")
    inner = g.op("Concat", [outside, inner], "tag.continued", axis=-1)
    g.op("Where", [g.op("Unsqueeze", [continues, "axis2"], "piece.continues.col"), inner, tags], "pii_logits")


def build(trunk: Trunk) -> onnx.ModelProto:
    g = Graph()
    for axis in range(3):
        g.constant(f"axis{axis}", np.array([axis], np.int64))

    length = g.op("Shape", ["input_ids"], "length", start=1, end=2)
    places = g.op("Slice", [g.constant("places", trunk.places.weight.numpy()), "axis0", length, "axis0"], "places.t")
    x = g.op("Add", [g.table(trunk.words, "words"), places], "embedded")
    x = g.norm(x, trunk.norm, "embedded.n")

    mask = g.op("Cast", ["attention_mask"], "mask.f", to=TensorProto.FLOAT)
    off = g.op("Mul", [g.op("Sub", [mask, g.constant("one", np.float32(1))], "mask.off"),
                       g.constant("far", np.float32(1e4))], "mask.far")               # 0 or -1e4, [B,T]
    g.op("Cast", ["attention_mask"], "mask.i32", to=TensorProto.INT32)
    for i, layer in enumerate(trunk.layers):
        if i == MIDDLE:
            middle = x
        x = g.layer(x, layer, f"L{i}")

    both = g.op("Concat", [x, middle], "both", axis=-1)                                # [B,T,2D]
    total = g.op("Squeeze", [g.op("MatMul", [g.op("Unsqueeze", [mask, "axis1"], "mask.row"), both], "total1"), "axis1"],
                 "total")
    mean = g.op("Div", [total, g.op("ReduceSum", [mask, "axis1"], "count", keepdims=1)], "mean")
    halves = g.op("Split", [mean, g.constant("halves", np.array([D, D], np.int64))], ["mean.x", "mean.m"], axis=1)
    peak = g.op("ReduceMax", [g.op("Add", [x, g.op("Unsqueeze", [off, "axis2"], "off.col")], "x.far"), "axis1"],
                "peak", keepdims=0)
    first = g.op("Gather", [x, g.constant("zero", np.int64(0))], "first", axis=1)
    pooled = g.op("Concat", [first, halves[0], peak, halves[1]], "pooled", axis=1)
    logits = head(g, pooled, trunk.sentence, "sentence")
    said = [f"{part}.said" if part in ("category", "jailbreak") else f"{part}_logits" for part in PARTS]
    g.op("Split", [logits, g.constant("sizes", np.array(list(PARTS.values()), np.int64))], said, axis=1)
    g.op("LpNormalization", [head(g, mean, trunk.embed, "embed")], "embedding", axis=-1, p=2)
    by_vocabulary(g, trunk)
    tags = g.op("Add", [g.op("MatMul", [both, g.constant("token.w", trunk.token.weight.detach().numpy().T)], "tags"),
                        g.constant("token.b", trunk.token.bias.detach().numpy())], "tags.all")
    by_word(g, tags, trunk)
    evidence = g.op("MatMul", [both, g.constant("evidence.w", trunk.evidence.weight.detach().numpy().T)], "evidence")
    evidence = g.op("Add", [evidence, g.constant("evidence.b", trunk.evidence.bias.detach().numpy())], "evidence_logits")     # [B,T,1]
    strongest = g.op("ReduceLogSumExp", [g.op("Add", [evidence, "off.col"], "evidence.far"), "axis1"], "evidence.all", keepdims=0)
    strongest = g.op("Mul", [g.op("Softplus", [strongest], "evidence.strongest"),
                             g.constant("to.jailbreak", np.array([[0, 1]], np.float32))], "evidence.jailbreak")
    g.op("Add", ["jailbreak.said", strongest], "jailbreak_logits")

    ints = [helper.make_tensor_value_info(n, TensorProto.INT64, ["B", "T"]) for n in ("input_ids", "attention_mask")]
    outs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in OUTPUTS.items()]
    graph = helper.make_graph(g.nodes, "flash-trunk", ints, outs, list(g.constants.values()))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="mom-gateway-training")


def head(g: Graph, x: str, module: torch.nn.Linear, name: str) -> str:
    """A sentence-level product, in fp32."""
    return g.op("Gemm", [x, g.constant(f"{name}.w", module.weight.detach().numpy()),
                         g.constant(f"{name}.b", module.bias.detach().numpy())], name, transB=1)


def load_exported(trunk: Trunk, path: pathlib.Path) -> None:
    """Reads the trained part back from an exported graph, so that a clone needs no checkpoint.

    The s8 weights times their scales are what the graph computes with; exporting them again gives the same s8 weights.
    """
    found = {c.name: numpy_helper.to_array(c) for c in onnx.load(path).graph.initializer}
    tensor = lambda value: torch.from_numpy(np.array(value, np.float32))
    state = {}
    for i in range(len(trunk.layers)):
        for part in ("qkv", "out", "up", "down"):
            name, here = f"L{i}.{part}", f"layers.{i}.{part}"
            step, zero = float(found[f"{name}.xs"]), int(found[f"{name}.xz"])
            state |= {f"{here}.weight": tensor((found[f"{name}.q"] * found[f"{name}.s"]).T),
                      f"{here}.bias": tensor(found[f"{name}.b"]),
                      f"{here}.input.range": torch.tensor([-zero * step, (255 - zero) * step])}
        for part, name in (("norm1", "n1"), ("norm2", "n2")):
            state[f"layers.{i}.{part}.weight"] = tensor(found[f"L{i}.{name}.w"])
            state[f"layers.{i}.{part}.bias"] = tensor(found[f"L{i}.{name}.b"])
    for part in ("sentence", "embed"):
        state |= {f"{part}.weight": tensor(found[f"{part}.w"]), f"{part}.bias": tensor(found[f"{part}.b"])}
    for part in ("token", "evidence"):
        state |= {f"{part}.weight": tensor(found[f"{part}.w"].T), f"{part}.bias": tensor(found[f"{part}.b"])}
    state["words_say.weight"] = tensor(found["words_say.q"] * found["words_say.s"])
    trunk.load_state_dict(state, strict=False)


MINDS = {"mom-brain-flash": ("intent", {"category": "category_logits", "complexity": "complexity_logits"}),
         "mom-jailbreak-flash": ("jailbreak", {"jailbreak": "jailbreak_logits", "harm": "harm_logits", "evidence": "evidence_logits"}),
         "mom-pii-flash": ("pii", {"tags": "pii_logits"}),
         "mom-similarity-flash": ("similarity", {"embedding": "embedding"})}
LABELS = {"intent": CATEGORIES, "jailbreak": GUARD, "pii": PII, "similarity": []}
OVERLAP = 64


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(trunk: Trunk, folder: pathlib.Path, facts: dict) -> None:
    """Writes the graph, the tokenizer and four manifests into `folder` (…/models/onnx).

    `facts` per mind: temperature, thresholds, training, metrics. Each file is written beside its target and
    then moved, the manifests last, so a reader never sees half a file.
    """
    shared = folder / "flash-trunk"
    shared.mkdir(parents=True, exist_ok=True)
    put(shared / "model.onnx", build(trunk).SerializeToString())
    tokenizer = json.loads((base_folder() / "tokenizer.json").read_text())
    tokenizer.update(truncation=None, padding=None)
    put(shared / "tokenizer.json", json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")).encode())
    files = {f"../flash-trunk/{name}": sha256(shared / name) for name in ("model.onnx", "tokenizer.json")}
    for mind, (task, outputs) in MINDS.items():
        manifest = {"name": mind, "kind": "encoder", "task": task, "labels": LABELS[task]}
        if task == "intent":
            manifest["complexity_labels"] = COMPLEXITIES
        manifest |= {"graph": {"file": "../flash-trunk/model.onnx", "outputs": outputs},
                     "tokenizer": {"file": "../flash-trunk/tokenizer.json"},
                     "max_tokens": WINDOW, "overlap_tokens": OVERLAP, "batch_invariant": True, **facts[mind],
                     "scripts": ["Latin"], "max_unknown_share": 0.3, "files": files, "base": BASE,
                     "tools": {name: importlib.metadata.version(name)
                               for name in ("torch", "onnx", "onnxruntime", "tokenizers", "numpy")}}
        (folder / mind).mkdir(exist_ok=True)
        put(folder / mind / "manifest.json", (json.dumps(manifest, indent=1) + "\n").encode())


def put(path: pathlib.Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
