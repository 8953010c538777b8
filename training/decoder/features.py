"""What a decoder's base makes of texts: the same pass as src/minds/decoder/pass.rs, from Python. No PyTorch."""
import pathlib
import sys
import time

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

# Tokens of one pass, padding included. Rows do not depend on what else is in it.
PASS_TOKENS = 640
HIDDEN = np.float32(-10_000)


class Base:
    """A folder that `make models` made, with a prompt read."""

    def __init__(self, folder: pathlib.Path, before: str, after: str, threads: int = 0):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(folder / "decide.onnx", options)
        prompts = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # `<|im_end|>` typed by a user is text.
        self.tokenizer.encode_special_tokens = True
        self.after = prompts.encode(after).ids
        self.past = {i.name: np.zeros((1, i.shape[1], 0, i.shape[3]), np.float32)
                     for i in self.session.get_inputs() if i.name.startswith("past_")}
        names = [name.replace("past_", "present_", 1) for name in self.past]
        present = self.run(np.array([prompts.encode(before).ids]), names)
        self.past = dict(zip(self.past, present))

    def run(self, ids: np.ndarray, outputs: list[str]) -> list[np.ndarray]:
        rows, tokens = ids.shape
        before = next(iter(self.past.values())).shape[2]
        seen = np.arange(before, before + tokens)
        bias = np.where(np.arange(before + tokens)[None] <= seen[:, None], np.float32(0), HIDDEN)
        feed = {"input_ids": ids.astype(np.int64), "positions": np.tile(seen, (rows, 1)),
                "bias": np.tile(bias[None, None, None], (rows, 1, 1, 1, 1))}
        feed |= {name: np.repeat(value, rows, 0) for name, value in self.past.items()}
        return self.session.run(outputs, feed)

    def read(self, text: str, most: int) -> list[int]:
        """The question's tokens: whole, or three quarters from its beginning and one from its end."""
        ids, head = self.tokenizer.encode(text, add_special_tokens=False).ids, most * 3 // 4
        return ids if len(ids) <= most else ids[:head] + ids[head - most:]

    def features(self, texts: list[str], most: int) -> np.ndarray:
        """-> [texts, 2 x width] float16: the last token's state, then the mean over the question's tokens."""
        asked = [self.read(text, most) for text in texts]
        order, out, began = sorted(range(len(texts)), key=lambda i: len(asked[i])), [None] * len(texts), time.monotonic()
        done = shown = 0
        while done < len(order):
            longest, count = len(asked[order[done]]) + len(self.after), 1
            while (done + count < len(order)
                   and (len(asked[order[done + count]]) + len(self.after)) * (count + 1) <= PASS_TOKENS):
                longest = len(asked[order[done + count]]) + len(self.after)
                count += 1
            batch = order[done:done + count]
            ids = np.zeros((count, longest), np.int64)
            for row, i in enumerate(batch):
                ids[row, :len(asked[i]) + len(self.after)] = asked[i] + self.after
            hidden, = self.run(ids, ["hidden"])
            for row, i in enumerate(batch):
                last, words = len(asked[i]) + len(self.after) - 1, max(len(asked[i]), 1)
                out[i] = np.concatenate([hidden[row, last], hidden[row, :words].mean(0)]).astype(np.float16)
            done += count
            if time.monotonic() - shown > 20:
                shown = time.monotonic()
                print(f"features: {done} of {len(order)}, {done / (shown - began):.0f} a second", file=sys.stderr, flush=True)
        return np.stack(out) if out else np.zeros((0, 0), np.float16)
