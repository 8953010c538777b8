"""`make models` builds what it says, the same each time, and what it builds thinks as the base does."""
import dataclasses
import json
import pathlib

import gguf
import numpy as np
import pytest
from tokenizers import pre_tokenizers

import prepare
import sources
from conftest import SMALL
from graphs import Base, models

# What the small base must come out as, on every machine. Where a change is meant: one more for RECIPE in prepare.py.
BUILT = {
    "decide.onnx": "017c5c19e147ef2bcad90c397d2d45bd37b447059400375732fde049389dfde0",
    "decide.onnx.data": "cb001b622c1d7ab3e35995296470897a069d62babcae9661e9494f159d3b34dd",
    "speak.onnx": "106cf40f8ffdcb0e031d56caa4baa1c067ed05165ee1044ab514a3a7d10107a3",
    "speak.onnx.data": "8b5513fa1ae0fcbbd292d4ce592a6649b525a198ec64b03320f5060b0149a8c4",
    "tokenizer.json": "2225e8fb36485529d3c826106f8bec359b719a6bcc3f5d6314a834c7be153905",
}
WIDTH, HEADS, KV_HEADS, LAYERS, INNER = 64, 4, 2, 3, 96


def tiny(path: pathlib.Path, kind: str) -> sources.Base:
    """A base of random weights in a GGUF file, of either family."""
    draw = np.random.default_rng(7)
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet()) + ["he", "<|im_start|>", "<|im_end|>"]
    writer = gguf.GGUFWriter(path, kind)
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre({"qwen2": "qwen2", "llama": "smollm"}[kind])
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 257 + [3, 3])
    writer.add_token_merges(["h e"])
    writer.add_eos_token_id(258)
    key = WIDTH // HEADS * KV_HEADS
    shapes = {"token_embd.weight": (len(tokens), WIDTH), "output_norm.weight": (WIDTH,), "output.weight": (len(tokens), WIDTH)}
    for layer in range(LAYERS):
        block = {"attn_norm.weight": (WIDTH,), "ffn_norm.weight": (WIDTH,), "attn_q.weight": (WIDTH, WIDTH),
                 "attn_k.weight": (key, WIDTH), "attn_v.weight": (key, WIDTH), "attn_output.weight": (WIDTH, WIDTH),
                 "ffn_gate.weight": (INNER, WIDTH), "ffn_up.weight": (INNER, WIDTH), "ffn_down.weight": (WIDTH, INNER)}
        if kind == "qwen2":
            block |= {"attn_q.bias": (WIDTH,), "attn_k.bias": (key,), "attn_v.bias": (key,)}
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in block.items()}
    for name, shape in shapes.items():
        writer.add_tensor(name, draw.normal(0, 0.2, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sources.Base(f"tiny-{kind}", "Tiny", "CC0-1.0", path.stat().st_size, sources.sha256(path), exit=2)


@pytest.fixture(params=["qwen2", "llama"])
def base(request, tmp_path) -> sources.Base:
    (tmp_path / "files").mkdir()
    return tiny(tmp_path / "files/any.gguf", request.param)


def build(base, tmp_path, cache="cache") -> pathlib.Path:
    (tmp_path / cache).mkdir(exist_ok=True)
    prepare.prepare(base, tmp_path / cache, (str(tmp_path / "files"),))
    return tmp_path / cache / base.name


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_built_is_the_same_each_time_and_says_what_it_is(base, tmp_path):
    folder = build(base, tmp_path)
    assert contents(folder) == contents(build(base, tmp_path, "elsewhere"))
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["downloads", base.name]
    record = json.loads((folder / "base.json").read_text())
    assert sorted(record["files"]) == ["decide.onnx", "decide.onnx.data", "speak.onnx", "speak.onnx.data", "tokenizer.json"]
    shape = {name: record[name] for name in ("layers", "speak_layers", "kv_heads", "head_width", "width", "vocab", "eos")}
    assert shape == {"layers": 2, "speak_layers": [2, 3], "kv_heads": 2, "head_width": 16, "width": 64, "vocab": 259, "eos": [258]}


def test_what_is_whole_is_left_alone_and_needs_no_source(base, tmp_path, capsys):
    folder = build(base, tmp_path)
    made = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    (tmp_path / "files/any.gguf").unlink()
    assert build(base, tmp_path) == folder
    assert made == {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert capsys.readouterr().out.splitlines()[-1] == f"models: {folder} is whole"


@pytest.mark.parametrize("name", ["decide.onnx", "speak.onnx.data", "tokenizer.json", "base.json"])
def test_what_is_damaged_is_built_again(base, tmp_path, name):
    folder = build(base, tmp_path)
    whole = contents(folder)
    spoilt = bytearray(whole[name])
    spoilt[len(spoilt) // 2] ^= 1
    (folder / name).write_bytes(spoilt)
    assert contents(build(base, tmp_path)) == whole
    (folder / name).unlink()
    assert contents(build(base, tmp_path)) == whole


def test_another_exit_layer_or_recipe_is_built_anew(base, tmp_path, monkeypatch):
    folder = build(base, tmp_path)
    earlier = dataclasses.replace(base, exit=1)
    assert not prepare.whole(folder, earlier)
    assert json.loads((build(earlier, tmp_path) / "base.json").read_text())["speak_layers"] == [1, 3]
    monkeypatch.setattr(prepare, "RECIPE", prepare.RECIPE + 1)
    assert not prepare.whole(folder, earlier)


def test_the_layer_at_which_the_graphs_part_changes_no_answer(base, tmp_path):
    text = np.arange(9)[None] * 7
    _, logits, _ = Base(build(base, tmp_path)).read(text)
    _, again, _ = Base(build(dataclasses.replace(base, exit=1), tmp_path)).read(text)
    assert np.abs(logits - again).max() <= 1e-4 * np.abs(logits).max()


def test_another_file_under_the_name_is_refused_in_one_line(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files/smol.gguf").write_bytes(b"GGUF" + bytes(1000))
    result = models(SMALL, "--from", tmp_path / "files", "--cache", tmp_path / "cache")
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert "no *.gguf there has the pinned size and sha256" in result.stderr
    assert not (tmp_path / "cache" / SMALL).exists()


def test_a_base_nobody_knows_is_refused_in_one_line(tmp_path):
    result = models("smollm3", "--cache", tmp_path / "cache")
    assert result.returncode == 1
    assert result.stderr.startswith("models: there is no base called smollm3; there are qwen2.5-coder-0.5b, ")


def test_the_small_base_is_the_same_on_every_machine(small_folder):
    assert json.loads((small_folder / "base.json").read_text())["files"] == BUILT


def test_the_small_base_knows_the_capital_of_france(small):
    said = small.write("<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n", most=20)
    assert "Paris" in said


# Right-hand rounding of a float sum may move an int8 activation by one step; nothing else may differ.
SAME = 1e-3
TEXTS = ["Hello!", "Why do leaves turn red in autumn, and why do some trees keep theirs?", "Factor x^2 - 5x - 36."]


def apart(one, other) -> float:
    return float((np.linalg.norm(one - other, axis=-1) / np.linalg.norm(other, axis=-1)).max())


def test_a_row_reads_the_same_beside_longer_ones(small):
    rows = [small.tokenizer.encode(text).ids for text in TEXTS]
    longest = max(map(len, rows))
    batch = [ids + [0] * (longest - len(ids)) for ids in rows]
    hidden, logits, _ = small.read(batch, lengths=list(map(len, rows)))
    for row, ids in enumerate(rows):
        alone, alone_logits, _ = small.read([ids])
        assert apart(hidden[row, :len(ids)], alone[0]) <= SAME
        assert apart(logits[row], alone_logits[0]) <= SAME


def test_kept_instructions_read_as_if_they_stood_before_the_text(small):
    before = small.tokenizer.encode("<|im_start|>system\nSay which field a question is from.<|im_end|>\n").ids
    _, _, kept = small.read([before])
    rows = [small.tokenizer.encode(text).ids for text in TEXTS]
    longest = max(map(len, rows))
    hidden, logits, _ = small.read([ids + [0] * (longest - len(ids)) for ids in rows], kept, list(map(len, rows)))
    for row, ids in enumerate(rows):
        whole, whole_logits, _ = small.read([before + ids])
        assert apart(hidden[row, :len(ids)], whole[0, len(before):]) <= SAME
        assert apart(logits[row], whole_logits[0]) <= SAME
