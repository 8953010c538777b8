"""tokenizer.json out of a GGUF file's vocabulary and merges."""
import pathlib

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

CONTROL = 3
# Control tokens after which an answer is over, whichever of them a file calls its end.
ENDS = ("<|im_end|>", "<|endoftext|>")
# How each family cuts text into words before the merges, by the name GGUF gives it.
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CUTS = {
    "qwen2": [pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)],
    "smollm": [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)],
}


def ends(reader: gguf.GGUFReader) -> list[int]:
    """Ids of the tokens that end an answer."""
    field = lambda name: reader.fields[f"tokenizer.ggml.{name}"].contents()
    named = {i for i, (token, kind) in enumerate(zip(field("tokens"), field("token_type"))) if kind == CONTROL and token in ENDS}
    return sorted(named | {int(field("eos_token_id"))})


def write(reader: gguf.GGUFReader, path: pathlib.Path) -> None:
    field = lambda name: reader.fields[f"tokenizer.ggml.{name}"].contents()
    if field("model") != "gpt2" or field("pre") not in CUTS:
        raise ValueError(f"a tokenizer of the kind {field('model')}/{field('pre')}; known are {', '.join(CUTS)}")
    tokens = field("tokens")
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)},
                                     [tuple(merge.split(" ")) for merge in field("merges")]))
    if field("pre") == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(CUTS[field("pre")])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)
                                  for token, kind in zip(tokens, field("token_type")) if kind == CONTROL])
    tokenizer.save(str(path), pretty=False)
