"""Runs an exported graph as the gateway does: windows, batches, and the decoding of spans."""
import pathlib

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

import data
from data import WINDOW
from export import OVERLAP
from model import PII, TAGS

SEPARATORS = set(",:;\"'")
JOINTS = ("", " ")          # what may stand between two words of one span, whatever the B- says


class Graph:
    def __init__(self, folder: pathlib.Path, threads: int = 2):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(folder / "flash-trunk/model.onnx", options)
        self.tokenizer = Tokenizer.from_file(str(folder / "flash-trunk/tokenizer.json"))

    def judge(self, texts: list[str], wanted: list[str]) -> list[list[dict]]:
        """Per text a list of windows: {name: array, "ids", "offsets", "first"} (offsets in the text as given)."""
        todo, result = [], [[] for _ in texts]
        for index, text in enumerate(texts):
            clean, places = data.normalise(text)
            encoding = self.tokenizer.encode(clean, add_special_tokens=False)
            offsets = [(places[a], places[max(a, b - 1)] + 1) for a, b in encoding.offsets]
            for first in starts(len(encoding.ids)):
                window = {"ids": encoding.ids[first:first + WINDOW - 2], "first": first, "count": len(encoding.ids),
                          "offsets": offsets[first:first + WINDOW - 2], "text": text,
                          "pieces": [t.startswith("##") for t in encoding.tokens[first:first + WINDOW - 2]]}
                result[index].append(window)
                todo.append(window)
        todo.sort(key=lambda w: len(w["ids"]))
        for begin in range(0, len(todo), 16):
            part = todo[begin:begin + 16]
            ids = np.zeros((len(part), len(part[-1]["ids"]) + 2), np.int64)
            for row, window in zip(ids, part):
                row[:len(window["ids"]) + 2] = [data.CLS, *window["ids"], data.SEP]
            mask = (ids > 0).astype(np.int64)
            for name, values in zip(wanted, self.session.run(wanted, {"input_ids": ids, "attention_mask": mask})):
                for value, window in zip(values, part):
                    window[name] = value[1:len(window["ids"]) + 1] if name == "pii_logits" else value
        return result


def starts(count: int) -> list[int]:
    """First token of every window: windows of 254 tokens that share 64, the last one flush with the end."""
    size, step = WINDOW - 2, WINDOW - 2 - OVERLAP
    if count <= size:
        return [0]
    return [*range(0, count - size, step), count - size]


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    scaled = logits / temperature
    e = np.exp(scaled - scaled.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def mean_logits(windows: list[dict], name: str) -> np.ndarray:
    return np.average([w[name] for w in windows], axis=0, weights=[len(w["ids"]) + 2 for w in windows])


def spans(windows: list[dict], temperature: float, threshold: float) -> list[tuple[int, int, str]]:
    """Token probabilities, each from the window where the token is furthest from an edge, decoded word by word.

    A word's pieces decide together. A span goes on over words of the same label, unless one begins anew (B- above I-)
    after a gap that is wider than one space; it never starts or ends with a comma, colon, semicolon or quote.
    """
    count = windows[0]["count"]
    probability, offsets, margin = np.zeros((count, len(TAGS))), [(0, 0)] * count, np.full(count, -1)
    pieces, text = [False] * count, windows[0]["text"]
    for window in windows:
        size = len(window["ids"])
        for i, p in enumerate(softmax(window["pii_logits"], temperature)) if size else ():
            if min(i, size - 1 - i) > margin[window["first"] + i]:
                margin[window["first"] + i] = min(i, size - 1 - i)
                probability[window["first"] + i], offsets[window["first"] + i] = p, window["offsets"][i]
                pieces[window["first"] + i] = window["pieces"][i]
    found, last, first = [], None, 0
    while first < count:
        end = first + 1
        while end < count and pieces[end]:
            end += 1
        p = probability[first:end].mean(0)
        either = p[1::2] + p[2::2]
        best = int(either.argmax())
        label = PII[best] if either[best] > p[0] else None
        (start, _), (_, stop) = offsets[first], offsets[end - 1]
        gap = text[last[1]:start] if last else ""
        begins = probability[first, 2 * best + 1] > probability[first, 2 * best + 2] and gap not in JOINTS
        if not (last and label == last[2] and not begins):
            last = None
        if label and text[start:stop] not in SEPARATORS:
            if not last:
                last = [start, stop, label, []]
                found.append(last)
            last[1] = stop
            last[3].append(either[best])
        first = end
    return [(a, b, label) for a, b, label, scores in found if np.mean(scores) >= threshold]
