"""A prepared base under ONNX Runtime: both of its graphs, with keys and values kept from one pass to the next."""
import json
import pathlib
import subprocess
import sys

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/models"


def models(*arguments: str) -> subprocess.CompletedProcess:
    """`python scripts/models …`."""
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, cwd=ROOT)


class Base:
    def __init__(self, folder: pathlib.Path):
        self.record = json.loads((folder / "base.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.decide, self.speak = (onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("decide", "speak"))

    def read(self, ids, past=None, lengths=None):
        """`ids` [B,T] behind what is kept in `past` -> hidden [B,T,D], logits [B,V] of each row's last token, kept."""
        ids = np.asarray(ids, np.int64)
        rows, tokens = ids.shape
        before = 0 if past is None else past["past_key.0"].shape[2]
        places = np.arange(before, before + tokens)
        looks = np.where(np.arange(before + tokens) <= places[:, None], 0, -1e4).astype(np.float32)
        common = {"positions": np.tile(places, (rows, 1)), "bias": np.tile(looks, (rows, 1, 1, 1, 1))}
        last = np.full(rows, tokens - 1) if lengths is None else np.asarray(lengths) - 1
        hidden, kept = self.run(self.decide, {"input_ids": ids, **common}, "hidden", past)
        logits, more = self.run(self.speak, {"hidden_in": hidden, "at": last, **common}, "logits", past)
        return hidden, logits, kept | more

    def run(self, graph, feeds, wanted, past):
        kept, rows = [value.name for value in graph.get_outputs() if value.name.startswith("present_")], feeds["positions"].shape[0]
        for value in graph.get_inputs():
            if value.name.startswith("past_"):
                nothing = np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)
                before = nothing if past is None else past[value.name]
                feeds[value.name] = np.broadcast_to(before, (rows, *before.shape[1:]))
        answer, *present = graph.run([wanted, *kept], feeds)
        return answer, {name.replace("present", "past"): value for name, value in zip(kept, present)}

    def write(self, prompt: str, most: int) -> str:
        """The most likely continuation, one token a pass."""
        ids, past, said = self.tokenizer.encode(prompt).ids, None, []
        while len(said) < most:
            _, logits, past = self.read([ids], past)
            ids = [int(logits[0].argmax())]
            if ids[0] in self.record["eos"]:
                break
            said += ids
        return self.tokenizer.decode(said)
