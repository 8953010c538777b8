"""Trains the flash minds.

    python training/train.py --out DIR                       all tasks, from the base weights
    python training/train.py --out DIR --mind mom-pii-flash --frozen-trunk --start models/onnx/flash-trunk/model.onnx
                                                             one head, everything else as committed

Every step draws one batch per task (brain, guard, pii, similarity), adds up their gradients and steps once. The last
part of the run sees its activations and weights rounded as the int8 graph rounds them. Writes DIR/trunk.pt (the trained
part only) and prints losses and scores on the "select" split.
"""
import argparse
import json
import math
import pathlib
import random
import time

import torch
import torch.nn.functional as F

import data
from model import CATEGORIES, D, LAYERS, PARTS, TAGS, Base, Trunk, load_tokenizer

TASKS = {"mom-brain-flash": "brain", "mom-jailbreak-flash": "guard", "mom-pii-flash": "pii",
         "mom-similarity-flash": "similarity"}
BUDGET = {"brain": 896, "guard": 2560, "pii": 768, "similarity": 384}        # tokens a batch, padding included
HEADS = {"brain": ("sentence", "embedding"), "guard": ("sentence",), "pii": ("pii",), "similarity": ("embedding",)}


def batches(draw, budget: int, width: int, rng: random.Random):
    """Endless batches of examples of like length: `width` batches' worth is drawn, sorted, cut and shuffled.

    `draw` gives one example, or several that must stay together."""
    def drawn() -> list[dict]:
        got = draw()
        return got if isinstance(got, list) else [got]

    longest = lambda group: max(len(e["ids"]) for e in group)
    while True:
        pool = sorted((drawn() for _ in range(width * 24)), key=longest)
        cut = [[]]
        for group in pool:
            if cut[-1] and ((len(cut[-1]) + len(group)) * longest(group) > budget or len(cut[-1]) >= 48):
                cut.append([])
            cut[-1] += group
        rng.shuffle(cut)
        yield from cut


def pad(batch: list[dict], field: str, value) -> torch.Tensor:
    width = max(len(e[field]) for e in batch)
    return torch.tensor([e[field] + [value] * (width - len(e[field])) for e in batch])


def distil(embedding: torch.Tensor, batch: list[dict]) -> torch.Tensor:
    """Distance to the base model's embeddings, each by itself and among each other; 0 where no text has one."""
    known = [i for i, e in enumerate(batch) if e.get("teacher") is not None]
    if not known:
        return embedding.sum() * 0.0
    student, teacher = embedding[known], torch.stack([batch[i]["teacher"].float() for i in known])
    return 8 * (1 - (student * teacher).sum(1)).mean() + 8 * ((student @ student.T - teacher @ teacher.T) ** 2).mean()


def brain_loss(out: dict, batch: list[dict]) -> torch.Tensor:
    category = torch.tensor([e["category"] for e in batch])
    loss = F.cross_entropy(out["category"], category, ignore_index=-100, label_smoothing=0.05)
    target, weight = torch.tensor([e["complexity"] for e in batch]), torch.tensor([e["weight"] for e in batch])
    each = -(target * F.log_softmax(out["complexity"], 1)).sum(1)
    return (loss if (category >= 0).any() else 0.0) + (each * weight).mean() + distil(out["embedding"], batch)


def guard_loss(out: dict, batch: list[dict]) -> torch.Tensor:
    """Attack or not, and apart from that: does the person ask for something harmful (-100: the source does not say)."""
    harm = torch.tensor([e["harm"] for e in batch])
    loss = F.cross_entropy(out["jailbreak"], torch.tensor([e["jailbreak"] for e in batch]), label_smoothing=0.02)
    order = pad(batch, "order", -100)
    each = F.binary_cross_entropy_with_logits(out["evidence"], order.clamp(min=0).float(), reduction="none")
    for side in (0, 1):                       # few tokens of a long window are an attack: both sides weigh the same
        loss = loss + 0.3 * (each * (order == side)).sum() / (order == side).sum().clamp(min=1)
    return loss + (0.3 * F.cross_entropy(out["harm"], harm, ignore_index=-100) if (harm >= 0).any() else 0.0)


def similarity_loss(out: dict, batch: list[dict]) -> torch.Tensor:
    """CoSENT over the pairs of a batch (two examples in a row): pairs a person scored higher must be nearer. The
    teacher keeps the rest of the space as published."""
    pairs = {}
    for i, e in enumerate(batch):
        pairs.setdefault(e["pair"], []).append(i)
    whole = [(i, batch[i[0]]["score"]) for i in pairs.values() if len(i) == 2]
    loss = distil(out["embedding"], batch)
    if len(whole) > 1:
        left, right = (out["embedding"][[i[side] for i, _ in whole]] for side in (0, 1))
        near, score = (left * right).sum(1) * 20, torch.tensor([s for _, s in whole])
        gaps = (near[None, :] - near[:, None])[score[:, None] > score[None, :]]      # want: near[i] > near[j]
        loss = loss + 0.25 * torch.cat([gaps.new_zeros(1), gaps]).logsumexp(0)
    return loss


def pii_loss(out: dict, batch: list[dict]) -> torch.Tensor:
    """Cross-entropy per token; an unmarked token may be O or any label its source does not mark."""
    tags = pad(batch, "tags", -100)
    free = torch.tensor([e["free"] for e in batch])                                     # [B,35]
    log = F.log_softmax(out["pii"], -1)                                                 # [B,T,35]
    outside = log.masked_fill(~free[:, None, :], -1e4).logsumexp(-1)
    inside = log.gather(-1, tags.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    each = -torch.where(tags == 0, outside, inside)
    return (each * (tags >= 0)).sum() / (tags >= 0).sum()


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LOSSES = {"brain": brain_loss, "guard": guard_loss, "pii": pii_loss, "similarity": similarity_loss}
WEIGHT = {"brain": 1.0, "guard": 1.0, "pii": 2.0, "similarity": 1.0}


def encode(tokenizer, text: str, limit: int) -> list[int]:
    return [data.CLS] + tokenizer.encode(data.normalise(text)[0], add_special_tokens=False).ids[:limit - 2] + [data.SEP]


@torch.no_grad()
def in_batches(model, tokenizer, texts: list[str], limit: int = 128) -> list:
    """model(ids, mask) of every text, in order; texts of like length together."""
    ids, result = [encode(tokenizer, t, limit) for t in texts], [None] * len(texts)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    for start in range(0, len(order), 32):
        part = order[start:start + 32]
        width = max(len(ids[i]) for i in part)
        tokens = torch.tensor([ids[i] + [0] * (width - len(ids[i])) for i in part])
        for i, value in zip(part, model(tokens, (tokens > 0).long())):
            result[i] = value
    return result


def teach(examples: data.Examples, tokenizer, path: pathlib.Path) -> None:
    """Gives every row that has an embedding to learn its teacher's; kept in `path`, since the base never changes."""
    rows = [*examples.brain[0], *examples.sentences]
    known = torch.load(path, map_location=DEVICE) if path.exists() else {}
    new = sorted({r["text"] for r in rows} - known.keys())
    if new:
        print("teacher:", len(new), "texts", flush=True)
        known |= {text: value.half() for text, value in zip(new, in_batches(Base().to(DEVICE), tokenizer, new))}
        torch.save(known, path)
    for row in rows:
        row["teacher"] = known[row["text"]]


@torch.no_grad()
def fit_embedding(trunk: Trunk, tokenizer, rows: list[dict]) -> None:
    """Starts the embedding head at the least-squares map from the trunk's features to the teacher's embedding."""
    def features(ids, mask):
        middle, x = trunk.hidden(ids, mask)
        weight = mask.unsqueeze(-1).float()
        return torch.cat([(v * weight).sum(1) / weight.sum(1) for v in (x, middle)], 1)
    trunk.eval()
    x = torch.stack(in_batches(features, tokenizer, [r["text"] for r in rows]))
    x, y = torch.cat([x, torch.ones(len(x), 1)], 1), torch.stack([r["teacher"].float() for r in rows])
    solved = torch.linalg.solve(x.T @ x + 0.001 * len(x) * torch.eye(x.shape[1]), x.T @ y) * D ** 0.5
    trunk.embed.weight.copy_(solved[:-1].T)
    trunk.embed.bias.copy_(solved[-1])


@torch.no_grad()
def select_scores(trunk: Trunk, tokenizer, tasks: list[str]) -> dict[str, float]:
    """Quick scores on the select split, fp32, first window only; the real evaluation is evaluate.py."""
    from sklearn.metrics import roc_auc_score
    trunk.eval()
    scores = {}

    def run(texts, key, limit=128):
        heads = {"pii": ("pii",), "embedding": ("embedding",)}.get(key, ("sentence",))
        values = in_batches(lambda ids, mask: trunk(ids, mask, heads)[key], tokenizer, texts, limit)
        return values if key == "embedding" else [v.softmax(-1) for v in values]

    if "brain" in tasks:
        rows = [r for r in data.brain_rows() if r["split"] == "select"]
        for source in ("own-prompts", "mmlu-pro", "mmlu"):
            part = [r for r in rows if r["source"] == source and r["category"]][:150]
            if part:
                best = [CATEGORIES[int(p.argmax())] for p in run([r["text"] for r in part], "category")]
                scores[f"category {source}"] = sum(a == r["category"] for a, r in zip(best, part)) / len(part)
        part = [r for r in rows if r["source"] == "own-prompts"]
        if part:
            got = run([r["text"] for r in part], "complexity")
            want = [round((r["difficulty"] - 1 / 6) * 3) for r in part]
            scores["complexity own"] = sum(int(p.argmax()) == w for p, w in zip(got, want)) / len(part)
            ends = [(float(p[2] - p[0]), w == 2) for p, w in zip(got, want) if w != 1]
            scores["easy/hard auc own"] = roc_auc_score([w for _, w in ends], [s for s, _ in ends])
    if "guard" in tasks:
        rows = [r for r in data.guard_rows() if r["split"] == "select"]
        rows = [r for r in rows if r["label"] == "jailbreak"][:80] + [r for r in rows if r["label"] == "benign"][::3][:200]
        got = [float(p[1]) for p in run([r["text"] for r in rows], "jailbreak", 256)]
        scores["guard auc"] = roc_auc_score([r["label"] == "jailbreak" for r in rows], got)
        negative = sorted((s for s, r in zip(got, rows) if r["label"] == "benign"), reverse=True)
        limit = negative[len(negative) // 50]
        scores["guard recall at 2%"] = (sum(s > limit and r["label"] == "jailbreak" for s, r in zip(got, rows))
                                        / sum(r["label"] == "jailbreak" for r in rows))
    if "pii" in tasks:
        rows = [r for r in data.pii_rows() if r["split"] == "select" and r["annotated"] == "all"][:100]
        hit = found = wanted = 0
        for row in rows:
            ids, tags = data.tagged(tokenizer, row)
            tokens = torch.tensor([[data.CLS] + ids[:254] + [data.SEP]])
            best = trunk(tokens, torch.ones_like(tokens), ("pii",))["pii"][0, 1:-1].argmax(-1).tolist()
            for a, b in zip(best, tags):
                if b >= 0:
                    hit, found, wanted = hit + (a == b > 0), found + (a > 0), wanted + (b > 0)
        scores["pii token f1"] = 2 * hit / max(found + wanted, 1)
    if "similarity" in tasks:
        from scipy.stats import spearmanr
        rows = [r for r in data.rows("similarity.jsonl.gz") if r["split"] == "select"]
        got = run([t for r in rows for t in (r["a"], r["b"])], "embedding")
        near = [float(a @ b) for a, b in zip(got[::2], got[1::2])]
        scores["similarity"] = spearmanr(near, [r["score"] for r in rows]).statistic
    trunk.train()
    return {name: round(value, 4) for name, value in scores.items()}


def parameters(trunk: Trunk, tasks: list[str], frozen_trunk: bool, fixed: int, rate: float) -> list[dict]:
    """Parameter groups; with a frozen trunk only the chosen task's rows of the heads may move."""
    for layer in trunk.layers[:LAYERS if frozen_trunk else fixed]:
        layer.requires_grad_(False)
    if frozen_trunk:
        trunk.token.requires_grad_("pii" in tasks)
        trunk.evidence.requires_grad_("guard" in tasks)
        trunk.words_say.requires_grad_("brain" in tasks)
        trunk.embed.requires_grad_("similarity" in tasks)
        ours = {"category": "brain", "complexity": "brain", "jailbreak": "guard", "harm": "guard"}
        keep = torch.cat([torch.full((size, 1), float(ours[part] in tasks)) for part, size in PARTS.items()])
        trunk.sentence.weight.register_hook(lambda g: g * keep)
        trunk.sentence.bias.register_hook(lambda g: g * keep[:, 0])
    heads = [*trunk.sentence.parameters(), *trunk.token.parameters(), *trunk.evidence.parameters()]
    return [{"params": [p for p in trunk.layers.parameters() if p.requires_grad], "lr": rate, "weight_decay": 0.01},
            {"params": heads, "lr": rate * 8, "weight_decay": 0.0},
            {"params": list(trunk.embed.parameters()), "lr": rate * 2, "weight_decay": 0.0},
            {"params": list(trunk.words_say.parameters()), "lr": rate * 100, "weight_decay": 0.03}]


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", type=pathlib.Path, required=True)
    args.add_argument("--mind", choices=list(TASKS), action="append", help="default: all three")
    args.add_argument("--frozen-trunk", action="store_true")
    args.add_argument("--start", type=pathlib.Path, help="trunk.pt or an exported model.onnx to start from")
    args.add_argument("--steps", type=int, default=1600)
    args.add_argument("--minutes", type=float, default=math.inf, help="finish the schedule by then, with fewer steps")
    args.add_argument("--rate", type=float, default=2e-4)
    args.add_argument("--fixed", type=int, default=2, help="first layers that stay as they are")
    args.add_argument("--rounded", type=float, default=0.25, help="share of the run that sees int8 rounding")
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--threads", type=int, default=2)
    args = args.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    torch.set_default_device(DEVICE)
    tasks = [TASKS[m] for m in args.mind] if args.mind else list(LOSSES)
    args.out.mkdir(parents=True, exist_ok=True)
    trunk, tokenizer = Trunk().to(DEVICE), load_tokenizer()
    examples, rng = data.Examples(tokenizer, args.seed), random.Random(args.seed)
    teach(examples, tokenizer, args.out.parent / "teacher.pt")
    if args.start and args.start.suffix == ".onnx":
        from export import load_exported
        load_exported(trunk, args.start)
    elif args.start:
        trunk.load_state_dict(torch.load(args.start, map_location=DEVICE), strict=False)
    if not (args.start and args.frozen_trunk):
        fit_embedding(trunk, tokenizer, rng.sample(examples.brain[0], 4000))
        print("start: select", select_scores(trunk, tokenizer, ["similarity"]), flush=True)
    trunk.train()
    draw = {task: batches(getattr(examples, f"{task}_example"), BUDGET[task], 16, rng) for task in tasks}
    fixed = LAYERS if args.frozen_trunk else args.fixed
    optimiser = torch.optim.AdamW(parameters(trunk, tasks, args.frozen_trunk, fixed, args.rate), betas=(0.9, 0.98))
    warm = max(1, args.steps // 20)
    mean, began, step, done = {}, time.time(), 0, 0.0
    rates = [group["lr"] for group in optimiser.param_groups]
    while done < 1:
        for group, rate in zip(optimiser.param_groups, rates):
            group["lr"] = rate * min(1, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * done))
        for quantiser in trunk.quantisers():
            # Ranges are learnt just before they are used; a frozen trunk keeps those it came with.
            quantiser.watch = not args.frozen_trunk and 0.9 - args.rounded <= done < 1 - args.rounded / 2
            quantiser.on = args.frozen_trunk or done >= 1 - args.rounded
        for task in tasks:
            batch = next(draw[task])
            ids = pad(batch, "ids", 0)
            loss = LOSSES[task](trunk(ids, (ids > 0).long(), HEADS[task], fixed), batch) * WEIGHT[task]
            loss.backward()
            mean[task] = 0.98 * mean.get(task, loss.item()) + 0.02 * loss.item()
        torch.nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
        done = max(step / args.steps, (time.time() - began) / 60 / args.minutes)
        if step % 25 == 0:
            print(step, f"{(time.time() - began) / step:.2f} s/step", {t: round(m, 4) for t, m in mean.items()}, flush=True)
        if step % 400 == 0:
            print("   select", select_scores(trunk, tokenizer, tasks), flush=True)
        if step % 100 == 0 or done >= 1:
            trained = {n: v.cpu() for n, v in trunk.state_dict().items() if n.startswith(("layers", "sentence", "token", "evidence", "embed", "words_say"))}
            torch.save(trained, args.out / "trunk.part")
            (args.out / "trunk.part").replace(args.out / "trunk.pt")
    before = args.start.with_name("run.json") if args.start else None
    runs = json.loads(before.read_text()) if before and before.exists() else []
    runs.append({"steps": step, "seed": args.seed, "rate": args.rate, "start": args.start.name if args.start else "base"})
    (args.out / "run.json").write_text(json.dumps(runs))
    print("steps", step, "select", select_scores(trunk, tokenizer, tasks), flush=True)


if __name__ == "__main__":
    main()
