"""A decoder as an ONNX graph with int8 weights, out of a GGUF file's tensors. No PyTorch.

Every matrix product is u8 x s8: a row of activations is scaled to its own largest value (so neither its neighbours nor
what else is in the batch changes its answer), a column of weights to its own. Only operators that ONNX Runtime has on
every provider are used, except for `RotaryEmbedding`, `SimplifiedLayerNormalization` and `QuickGelu`.

A graph covers the layers `first` to `last`. Inputs: `input_ids` [B,T] (or, above layer 0, `hidden_in` [B,T,D]),
`positions` [B,T], `bias` [B,1,1,T,S+T] (0 where a token may look, -10000 where not) and per layer `past_key.N`,
`past_value.N` [B,KV,S,d]. Outputs: `hidden` [B,T,D], per layer `present_key.N`, `present_value.N` [B,KV,S+T,d], and where
the graph reaches the top `logits` [B,V] of the token at `at` [B].
"""
import decimal
import pathlib

import gguf
import numpy as np
import onnx
from onnx import TensorProto, helper

OPSET, IR = 21, 10
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
POSITIONS, GRID = 32768, 1 << 18
# Tensors from this size on go into the file beside the graph.
BESIDE = 1 << 14


class Weights:
    """The tensors of a GGUF file as float32, and the shape of the model."""

    def __init__(self, path: pathlib.Path):
        self.reader = gguf.GGUFReader(path)
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}
        field = lambda name: self.reader.fields[name].contents()
        self.architecture = field("general.architecture")
        if self.architecture not in ("qwen2", "llama"):
            raise ValueError(f"{path}: architecture {self.architecture}; known are qwen2 and llama")
        of = lambda name: field(f"{self.architecture}.{name}")
        self.layers, self.width = of("block_count"), of("embedding_length")
        self.heads, self.kv_heads = of("attention.head_count"), of("attention.head_count_kv")
        self.epsilon, self.theta = of("attention.layer_norm_rms_epsilon"), of("rope.freq_base")
        self.head_width = self.width // self.heads
        self.vocabulary = int(self.tensors["token_embd.weight"].shape[1])

    def __getitem__(self, name: str) -> np.ndarray:
        tensor = self.tensors[name]
        return gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)

    def stacked(self, *names: str) -> np.ndarray:
        return np.concatenate([self[name] for name in names])


class Graph:
    """Nodes and tensors under construction; large tensors go straight into `path`.data."""

    def __init__(self, path: pathlib.Path):
        self.path, self.nodes, self.tensors, self.inputs, self.outputs = path, [], {}, [], []
        self.beside = open(f"{path}.data", "wb")

    def input(self, name: str, kind: int, shape: list) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, value: str, name: str, shape: list) -> None:
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, FLOAT, shape))

    def op(self, kind: str, *inputs: str, count: int = 1, domain: str = "", **attributes):
        number = len(self.nodes)
        names = [f"{kind}.{number}" + (f".{i}" if i else "") for i in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=names[0], domain=domain, **attributes))
        return names[0] if count == 1 else names

    def constant(self, values, kind=np.int64) -> str:
        """A small tensor; equal ones are one."""
        array = np.asarray(values, kind)
        return self.tensor(f"{array.dtype}{list(array.shape)}{array.ravel().tolist()}", array)

    def tensor(self, name: str, array: np.ndarray) -> str:
        if name in self.tensors:
            return name
        array = np.ascontiguousarray(array)
        if array.nbytes < BESIDE:
            self.tensors[name] = onnx.numpy_helper.from_array(array, name)
            return name
        self.beside.write(b"\0" * (-self.beside.tell() % 4096))                  # pages, so that it can be mapped
        tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(array.dtype), dims=array.shape,
                             data_location=TensorProto.EXTERNAL)
        for key, value in (("location", f"{self.path.name}.data"), ("offset", self.beside.tell()), ("length", array.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
        self.beside.write(array.tobytes())
        self.tensors[name] = tensor
        return name

    def save(self) -> None:
        self.beside.close()
        graph = helper.make_graph(self.nodes, self.path.stem, self.inputs, self.outputs, list(self.tensors.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="mom"), self.path)


def rounded(weight: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """-> int8 values, and scales along `axis`'s rest."""
    scale = np.maximum(np.abs(weight).max(axis, keepdims=True), np.float32(1e-8)) / np.float32(127)
    return np.clip(np.rint(weight / scale), -127, 127).astype(np.int8), scale


class Layers:
    """Adds the layers of a decoder to a graph."""

    def __init__(self, graph: Graph, weights: Weights):
        self.graph, self.weights = graph, weights
        # On a grid, so that no processor's last bit of a power or a sine reaches the file.
        width, theta = weights.head_width, decimal.Decimal(float(weights.theta))
        turns = [float(theta ** (decimal.Decimal(-pair) / width)) for pair in range(0, width, 2)]
        angles = np.arange(POSITIONS)[:, None] * np.array(turns)
        self.cos, self.sin = (graph.tensor(name, (np.rint(turn(angles) * GRID) / GRID).astype(np.float32))
                              for name, turn in (("cos", np.cos), ("sin", np.sin)))

    def embed(self, ids: str) -> str:
        table, scale = rounded(self.weights["token_embd.weight"], 1)
        rows = self.graph.op("Cast", self.graph.op("Gather", self.graph.tensor("embed", table), ids), to=FLOAT)
        return self.graph.op("Mul", rows, self.graph.op("Gather", self.graph.tensor("embed.scale", scale), ids))

    def norm(self, x: str, name: str) -> str:
        weight = self.graph.tensor(name, self.weights[name])
        return self.graph.op("SimplifiedLayerNormalization", x, weight, axis=-1, epsilon=float(self.weights.epsilon), stash_type=1)

    def rows(self, x: str) -> tuple[str, str]:
        """x [..., n] -> u8 values, and the largest magnitude of each row."""
        graph = self.graph
        largest = graph.op("ReduceMax", graph.op("Abs", x), graph.constant([-1]), keepdims=1)
        largest = graph.op("Max", largest, graph.constant(1e-8, np.float32))
        return graph.op("QuantizeLinear", graph.op("Div", x, largest), *self.steps()), largest

    def steps(self) -> tuple[str, str]:
        """Scale and zero point of values between -1 and 1."""
        return self.graph.constant(1 / 127, np.float32), self.graph.constant(128, np.uint8)

    def times(self, values: str, name: str, weight: np.ndarray) -> str:
        """u8 `values` of rows times weight [out, in]; each row still lacks its largest magnitude as a factor."""
        graph, (step, middle) = self.graph, self.steps()
        rounded_weight, scale = rounded(weight.T, 0)
        return graph.op("MatMulIntegerToFloat", values, graph.tensor(name, rounded_weight), step,
                        graph.tensor(name + ".scale", scale[0]), middle, domain="com.microsoft")

    def product(self, x: str, name: str, weight: np.ndarray, bias: np.ndarray | None = None) -> str:
        """x [..., in] times weight [out, in], with u8 x s8 products."""
        values, largest = self.rows(x)
        y = self.graph.op("Mul", self.times(values, name, weight), largest)
        return y if bias is None else self.graph.op("Add", y, self.graph.tensor(name + ".bias", bias))

    def attention(self, x: str, layer: int, shapes: dict) -> str:
        graph, weights = self.graph, self.weights
        name, heads, kv, width = f"blk.{layer}.attn_", weights.heads, weights.kv_heads, weights.head_width
        parts = [name + part for part in "qkv"]
        weight, root = weights.stacked(*(f"{part}.weight" for part in parts)), np.float32(width ** 0.5)
        weight[:heads * width] /= root
        bias = None
        if parts[0] + ".bias" in weights.tensors:
            bias = weights.stacked(*(f"{part}.bias" for part in parts))
            bias[:heads * width] /= root
        both = graph.op("Split", self.product(x, name + "qkv", weight, bias),
                        graph.constant([heads * width, kv * width, kv * width]), count=3, axis=2)
        # Files of the llama kind keep the two halves of a rotated pair side by side.
        turn = lambda value, count: graph.op("RotaryEmbedding", value, "positions", self.cos, self.sin, domain="com.microsoft",
                                             num_heads=count, rotary_embedding_dim=width,
                                             interleaved=int(weights.architecture == "llama"))
        split = lambda value: graph.op("Transpose", graph.op("Reshape", value, graph.constant([0, 0, kv, width])), perm=[0, 2, 1, 3])
        query, kept = turn(both[0], heads), []
        for kind, value in (("key", split(turn(both[1], kv))), ("value", split(both[2]))):
            past = graph.input(f"past_{kind}.{layer}", FLOAT, ["B", kv, "S", width])
            kept.append(graph.op("Concat", past, value, axis=2))
            graph.output(kept[-1], f"present_{kind}.{layer}", ["B", kv, "S+T", width])
        # The heads that share a key stand one after the other: [B,T,KV*G*d] -> [B,KV,G*T,d].
        query = graph.op("Reshape", query, graph.constant([0, 0, kv, heads // kv, width]))
        query = graph.op("Reshape", graph.op("Transpose", query, perm=[0, 2, 3, 1, 4]), graph.constant([0, kv, -1, width]))
        scores = graph.op("MatMul", query, graph.op("Transpose", kept[0], perm=[0, 1, 3, 2]))
        scores = graph.op("Add", graph.op("Reshape", scores, shapes["scores"]), "bias")
        scores = graph.op("Reshape", graph.op("Softmax", scores, axis=-1), shapes["flat"])
        mixed = graph.op("Reshape", graph.op("MatMul", scores, kept[1]), shapes["mixed"])
        mixed = graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 3, 1, 2, 4]), graph.constant([0, 0, weights.width]))
        return self.product(mixed, name + "output", weights[name + "output.weight"])

    def feed_forward(self, x: str, layer: int) -> str:
        graph, name = self.graph, f"blk.{layer}.ffn_"
        part = lambda kind: (f"{name}{kind}", self.weights[f"{name}{kind}.weight"])
        values, largest = self.rows(x)
        gate = graph.op("QuickGelu", graph.op("Mul", self.times(values, *part("gate")), largest), domain="com.microsoft", alpha=1.0)
        # A factor of a row changes nothing in how the row is rounded, so `up` gets its own at the end, where rows are short.
        return graph.op("Mul", self.product(graph.op("Mul", gate, self.times(values, *part("up"))), *part("down")), largest)

    def shapes(self) -> dict:
        """Of the scores: [B,KV,G,T,S+T] and [B,KV,G*T,S+T]; of what they select: [B,KV,G,T,d]."""
        graph, weights = self.graph, self.weights
        head = graph.constant([0, weights.kv_heads, weights.heads // weights.kv_heads])
        size = graph.op("Shape", "bias")
        tokens, all_ = (graph.op("Gather", size, graph.constant([axis])) for axis in (3, 4))
        width = graph.constant([weights.head_width])
        return {"scores": graph.op("Concat", head, tokens, all_, axis=0),
                "flat": graph.op("Concat", graph.constant([0, weights.kv_heads, -1]), all_, axis=0),
                "mixed": graph.op("Concat", head, tokens, width, axis=0)}

    def top(self, x: str) -> str:
        """Logits of the token `at` of each row."""
        graph, weights = self.graph, self.weights
        at = graph.op("Unsqueeze", graph.input("at", INT64, ["B"]), graph.constant([1, 2]))
        at = graph.op("Expand", at, graph.constant([1, 1, weights.width]))
        row = self.norm(graph.op("Squeeze", graph.op("GatherElements", x, at, axis=1), graph.constant([1])), "output_norm.weight")
        # Small bases use the embedding in both directions.
        name = "output.weight" if "output.weight" in weights.tensors else "token_embd.weight"
        return self.product(row, "output", weights[name])


def build(weights: Weights, path: pathlib.Path, first: int = 0, last: int | None = None, seen: tuple[int, ...] = ()) -> None:
    """Writes `path` and `path`.data. `seen`: layers whose hidden states are outputs, too."""
    last = weights.layers if last is None else last
    path.parent.mkdir(parents=True, exist_ok=True)
    graph = Graph(path)
    layers = Layers(graph, weights)
    if first == 0:
        x = layers.embed(graph.input("input_ids", INT64, ["B", "T"]))
    else:
        x = graph.input("hidden_in", FLOAT, ["B", "T", weights.width])
    graph.input("positions", INT64, ["B", "T"])
    graph.input("bias", FLOAT, ["B", 1, 1, "T", "S+T"])
    shapes = layers.shapes()
    for layer in range(first, last):
        x = graph.op("Add", x, layers.attention(layers.norm(x, f"blk.{layer}.attn_norm.weight"), layer, shapes))
        x = graph.op("Add", x, layers.feed_forward(layers.norm(x, f"blk.{layer}.ffn_norm.weight"), layer))
        if layer + 1 in seen:
            graph.output(x, f"hidden.{layer + 1}", ["B", "T", weights.width])
    graph.output(x, "hidden", ["B", "T", weights.width])
    if last == weights.layers:
        graph.output(layers.top(x), "logits", ["B", "V"])
    graph.save()
