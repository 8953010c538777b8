"""Reads training/data and makes training examples: windows, augmentation, tags.

An example is a dict of `ids` (list of token ids with [CLS] and [SEP]) and its targets. Only rows whose `split` is
"train" are ever augmented; the other splits are judged as they stand.
"""
import base64
import codecs
import gzip
import json
import pathlib
import random
import re
import unicodedata

from model import CATEGORIES, COMPLEXITIES, PII, TAGS
from prepare import SPLITS, TAKEOVER, share

HERE = pathlib.Path(__file__).parent
CLS, SEP, WINDOW = 101, 102, 256
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
# What an unmarked token rules out. "names": wnut17 marks three types only. "chat": text nobody has marked; names, places
# and dates may well be there, card numbers and the like are not. Nationalities are nearly a closed list, so words that
# are not on it (`nationalities`) are none: where nothing says so, the mind takes all kinds of words for them.
ANNOTATED = {"all": set(PII), "names": {"PERSON", "GPE", "ORGANIZATION"}, "posts": {"PERSON", "GPE", "ORGANIZATION", "NRP"},
             "chat": {"CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS", "US_DRIVER_LICENSE", "US_SSN", "EMAIL_ADDRESS",
                      "PHONE_NUMBER", "STREET_ADDRESS", "DOMAIN_NAME", "ZIP_CODE", "NRP"}}
LISTED = [line for line in (HERE / "../src/minds/patterns/nationalities.txt").read_text().splitlines() if line[:1].isalpha()]
NATIONALITY = re.compile(rf"\b(?:{'|'.join(sorted(LISTED, key=len, reverse=True))})s?\b", re.IGNORECASE)


def nationalities(text: str) -> list[list[int]]:
    """Where a listed nationality or religion stands."""
    return [[match.start(), match.end()] for match in NATIONALITY.finditer(text)]


NAMES = ["NOVA", "Max", "Zed", "Echo", "Iris", "LEX", "Orion", "Vex", "Sage", "Kato", "Mira", "AXIS-9", "Bolt", "Juno"]
LEADS = ["Sure, here is", "Absolutely! Step 1:", "Of course, here are the details:", "Okay, I will do that:", "Yes. First,"]
NOISE = ("describing.\\ + similarlyNow write oppositeley.]( Me giving**ONE please? revert with \"\\!--Two == interface Manual "
         "!! --> }; [[ formatted sure )] Introdu textbf {% Hinweis \\u resp ;) utf printf << @@ table >>> == ++ sentence "
         "instruct Two tell ~~ ${ response *** Sure !!!").split()


def normalise(text: str) -> tuple[str, list[int]]:
    """NFKC per character, invisible characters removed; -> text and, per new character, its old place (+ the end)."""
    if text.isascii():
        return text, list(range(len(text) + 1))
    out, places = [], []
    for place, char in enumerate(text):
        if not INVISIBLE.match(char):
            for new in unicodedata.normalize("NFKC", char):
                out.append(new)
                places.append(place)
    return "".join(out), places + [len(text)]


def rows(name: str) -> list[dict]:
    path = HERE / "data" / name
    if not path.exists():
        return []
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def brain_rows() -> list[dict]:
    found = rows("brain.jsonl.gz")
    value = {"simple": 1 / 6, "medium": 3 / 6, "hard": 5 / 6}
    for row in rows("own_prompts.jsonl"):
        found.append({"text": row["text"], "category": row["category"], "difficulty": value[row["complexity"]],
                      "source": "own-prompts", "group": "own", "split": share(row["text"], SPLITS["share_own"])})
    return found


def guard_rows() -> list[dict]:
    found = rows("guard.jsonl.gz") + rows("background.jsonl.gz")
    for row in rows("own_guard.jsonl"):
        made = {"text": row["text"], "label": row["label"], "kind": row.get("kind", "own"), "harm": row.get("harm", 0),
                "source": "own-guard", "split": share(row["text"], SPLITS["share_own"])}
        if row.get("order"):
            place = row["text"].index(row["order"])
            made["attack_span"] = [place, place + len(row["order"])]
        found.append(made)
    for row in brain_rows():
        if row["source"] in ("own-prompts", "clinc150", "banking77") or row["source"].startswith(("mmlu", "gsm8k")):
            found.append({"text": row["text"], "label": "benign", "kind": "question", "source": row["source"],
                          "split": row["split"]})
    return found


def harm(row: dict) -> int:
    """1 where the person asks for something harmful, -100 where an attack's source does not say."""
    return 1 if row["kind"] == "harmful_plain" else -100 if row["label"] == "jailbreak" else row.get("harm", 0)


def pii_rows() -> list[dict]:
    return rows("pii.jsonl.gz")


def soft_complexity(difficulty: float | None) -> list[float] | None:
    """A difficulty in 0..1 as a distribution over simple (1/6), medium (1/2), hard (5/6), linear between them."""
    if difficulty is None:
        return None
    place = min(max((difficulty - 1 / 6) * 3, 0.0), 2.0)
    return [max(0.0, 1 - abs(place - i)) for i in range(3)]


# Kinds of own_guard.jsonl whose point is that they stand alone.
SHORT = ("short_everyday", "short_override")
# Those that give many different windows.
LONG = ("long_chat", "long_web")


class Examples:
    """Draws training examples for the three tasks; deterministic for a seed."""

    def __init__(self, tokenizer, seed: int):
        self.tokenizer, self.random = tokenizer, random.Random(seed)
        self.brain = self.weighted([r for r in brain_rows() if r["split"] == "train"], {
            "own-prompts": 4, "clinc150": 0.6, "banking77": 0.6, "college_math": 0.4, "arena-hard-v0.1": 2,
            "hendrycks_math/prealgebra (via RouterDC)": 0.4, "gsm8k/train": 0.4, "mbpp": 2})
        self.length_weights()
        guard = [r for r in guard_rows() if r["split"] == "train"]
        self.attacks = self.weighted([r for r in guard if r["label"] == "jailbreak"],
                                     {"own-guard": 2, "cyberseceval/prompt_injection": 2, "bipia/table": 0.4, "bipia/code": 0.4})
        self.benign = self.weighted([r for r in guard if r["label"] == "benign"], {
            "own-guard": 3, "own-prompts": 1.5, "mmlu": 0.15, "mmlu-pro": 0.15, "clinc150": 0.3, "banking77": 0.3,
            "gsm8k/train": 0.2, "self-instruct/seed": 2, "bipia/table": 1.5, "bipia/code": 1.5, "crate-readme": 6,
            "chatterbot-corpus": 1.5})
        # Greetings, one-liners, bare code, whole pages: what other sources lack.
        for found, weights in (self.attacks, self.benign):
            weights[:] = [w * 2 if r["kind"] in SHORT else w * 3 if r["kind"] in LONG else w for r, w in zip(found, weights)]
        documents = [r for r in pii_rows() if r["split"] == "train" and r["source"].startswith("pii-anon")]
        self.filling = [normalise(r["text"])[0] for r in self.benign[0] + documents[:800]]
        self.orders = [r["text"][slice(*r["attack_span"])] for r in self.attacks[0] if r.get("attack_span")]
        self.injections = [r["text"] for r in self.attacks[0] if len(r["text"]) < 300 and not r.get("attack_span")]
        self.payloads = [(r["text"], harm(r)) for r in guard if r["kind"] == "harmful_plain" or r["source"] == "own-prompts"]
        self.carriers = [r["text"] for r in self.attacks[0] if 200 < len(r["text"]) < 900 and not r.get("attack_span")]
        lines = [line for line in (HERE / "guard_templates.txt").read_text().splitlines() if line[:2] in ("+ ", "- ")]
        self.frames = {mark: [line[2:].replace("\\n", "\n") for line in lines if line[0] == mark] for mark in "+-"}
        self.harmless = [(r["text"], 0) for r in guard if r["source"] in ("own-prompts", "clinc150", "gsm8k/train")]
        self.documents = [r["text"] for r in guard if r["kind"] in ("document", "manual", *LONG) and r["label"] == "benign"]
        self.documents += [r["text"] for r in documents[:600]]
        pii = [r for r in pii_rows() if r["split"] == "train"]
        for row in pii:
            if row["annotated"] == "names":
                row |= {"annotated": "posts", "ignored": row["ignored"] + nationalities(row["text"])}
        chat = [r for r in self.brain[0]
                if r["source"] in ("own-prompts", "clinc150", "banking77", "arena-hard-v0.1", "mmlu", "mmlu-pro", "gsm8k/train")]
        chat += [r for r in self.benign[0] if r["source"] in ("awesome-chatgpt-prompts", "own-guard", "cyberseceval/mitre_frr")]
        pii += [{"text": r["text"], "spans": [], "ignored": nationalities(r["text"]), "annotated": "chat", "source": "chat"}
                for r in chat]
        self.pairs = [r for r in rows("similarity.jsonl.gz") if r["split"] == "train"]
        self.sentences = [{"text": t} for r in self.pairs for t in (r["a"], r["b"])]
        self.pii = self.weighted(pii, {"pii-anon/format_variations": 0.8, "pii-anon/test_clinical": 0.8,
                                       "pii-anon/test_technology": 1.0, "presidio": 1.5, "wnut17/train": 1.0,
                                       "own-templates": 0.6,
                                       "chat": 0.3})

    def weighted(self, found: list[dict], weights: dict[str, float]) -> tuple[list[dict], list[float]]:
        return found, [weights.get(row["source"], 1.0) for row in found]

    def length_weights(self) -> None:
        """Weighs the complexity targets so that length says nothing: equal class mass in every length band."""
        mass = {}
        for row, weight in zip(*self.brain):
            row["band"] = min(len(row["text"]).bit_length() * 2 + (len(row["text"]) >> (len(row["text"]).bit_length() - 2) & 1), 22)
            for place, share_ in enumerate(soft_complexity(row["difficulty"]) or []):
                mass[row["band"], place] = mass.get((row["band"], place), 0.0) + share_ * weight
        for row in self.brain[0]:
            soft = soft_complexity(row["difficulty"])
            if soft:
                total = sum(mass.get((row["band"], i), 0.0) for i in range(3))
                row["weight"] = sum(s * total / (3 * mass[row["band"], i]) for i, s in enumerate(soft) if s)
                row["weight"] = min(row["weight"], 4.0) * {"own-prompts": 1.0, "mmlu-pro": 0.5}.get(row["source"], 0.35)

    def tokens(self, text: str, limit: int) -> list[int]:
        return [CLS] + self.tokenizer.encode(text, add_special_tokens=False).ids[:limit - 2] + [SEP]

    def draw(self, pool):
        return self.random.choices(pool[0], cum_weights=self.cumulative(pool))[0]

    def cumulative(self, pool):
        if len(pool[1]) and not hasattr(self, "_sums"):
            self._sums = {}
        sums = self._sums.get(id(pool))
        if sums is None:
            total, sums = 0.0, []
            for weight in pool[1]:
                total += weight
                sums.append(total)
            self._sums[id(pool)] = sums
        return sums

    # --- brain ---

    def brain_example(self) -> dict:
        row = self.draw(self.brain)
        text = normalise(row["text"])[0]
        if self.random.random() < 0.15:
            text = self.typo(text)
        if self.random.random() < 0.2:
            text = text.rstrip("?.! ")
        soft = soft_complexity(row["difficulty"])
        return {"ids": self.tokens(text, 128), "category": CATEGORIES.index(row["category"]) if row["category"] else -100,
                "complexity": soft or [0.0] * 3, "weight": row.get("weight", 0.0) if soft else 0.0,
                "teacher": row.get("teacher")}

    # --- similarity ---

    def similarity_example(self) -> list[dict]:
        """Both sentences of a scored pair."""
        place = self.random.randrange(len(self.pairs))
        pair, both = self.pairs[place], self.sentences[2 * place:2 * place + 2]
        number = self.random.getrandbits(60)                     # the same pair may come twice in a batch
        return [{"ids": self.tokens(normalise(side["text"])[0], 96), "pair": number, "score": pair["score"] / 5,
                 "teacher": side.get("teacher")} for side in both]

    # --- guard ---

    def guard_example(self) -> dict:
        """`order` says of each token whether it is part of an attack (-100: not known)."""
        attack = self.random.random() < 0.5
        limit = self.random.choices([32, 64, 112, 176, WINDOW - 2], [2, 3, 3, 2, 5])[0]
        text, mark = self.attack(limit * 4) if attack else (self.plain(limit * 4), None)
        if mark is None and self.random.random() < 0.1:
            text = self.typo(text)
        ids, inside = self.window(text, mark, limit)
        # All of a long text is rarely the attack itself.
        known = not attack or 0 < sum(inside) < 96
        order = [int(i) for i in inside] if known else [-100] * len(ids)
        return {"ids": [CLS] + ids + [SEP], "order": [-100] + order + [-100], "jailbreak": int(attack), "harm": self.harm}

    def window(self, text: str, mark: tuple[int, int] | None, limit: int) -> tuple[list[int], list[bool]]:
        """At most `limit` tokens, and which of them are marked; when the text is longer, a random stretch that holds the
        marked characters (as far as they fit)."""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        inside = [bool(mark) and a < mark[1] and mark[0] < b for a, b in encoding.offsets]
        count, places = len(inside), [i for i, marked in enumerate(inside) if marked] or [0]
        low, high = 0, max(0, count - limit)
        if mark:
            low, high = max(0, min(places[-1] + 1, places[0] + limit) - limit), min(places[0], high)
        elif self.random.random() < 0.5:
            high = 0
        first = self.random.randint(low, max(low, high))
        return encoding.ids[first:first + limit], inside[first:first + limit]

    def crop(self, text: str, size: int) -> str:
        """At most about `size` characters of the text, at word borders."""
        if len(text) <= size:
            return text
        low = self.random.choice([0, self.random.randint(0, len(text) - size)])
        piece = text[low:low + size]
        return piece.split(" ", 1)[-1].rsplit(" ", 1)[0] if low else piece.rsplit(" ", 1)[0]

    def attack(self, size: int) -> tuple[str, tuple[int, int] | None]:
        """-> text, and the stretch that makes it an attack where that is known."""
        kind, self.harm = self.random.random(), -100
        if kind < 0.18:                                          # an order planted in a document it does not belong to
            order = self.random.choice(self.orders if self.random.random() < 0.4 else self.injections)
            lines = self.crop(self.random.choice(self.documents), size).split("\n")
            place = self.random.randint(0, len(lines))
            start = sum(len(line) + 1 for line in lines[:place])
            return "\n".join(lines[:place] + [order] + lines[place:]), (start, start + len(order))
        if kind < 0.27:                                          # a wrapper with a payload, harmful or not
            carrier, (payload, self.harm) = self.random.choice(self.carriers), self.random.choice(self.payloads)
            return f"{carrier}{self.random.choice([' ', chr(10), chr(10) * 2])}{payload}", (0, len(carrier))
        if kind < 0.44:
            return self.surround(self.frame("+", self.payloads), size, 0.4)
        row = self.draw(self.attacks)
        text = normalise(row["text"])[0]
        if row.get("attack_span"):
            return text, tuple(row["attack_span"])
        if len(text) > size:
            found = [m.start() for m in TAKEOVER.finditer(text)]
            first = max(0, self.random.choice(found) - self.random.randint(0, size // 2)) if found else 0
            text = text[first:first + size]
            return text, (0, len(text))
        alone = row["kind"] in SHORT
        return self.surround(self.typo(text) if self.random.random() < 0.1 else text, size, 0.2 if alone else 0.5)

    def plain(self, size: int) -> str:
        kind, self.harm = self.random.random(), 0
        if kind < 0.08:
            return self.crop(self.random.choice(self.documents), size)
        if kind < 0.2:
            return self.surround(self.frame("-", self.harmless), size, 0.5)[0]
        row = self.draw(self.benign)
        chance, self.harm = 0.2 if row["kind"] in SHORT else 0.8, harm(row)
        return self.surround(self.crop(normalise(row["text"])[0], size), size, chance)[0]

    def frame(self, mark: str, asks: list[tuple[str, int]]) -> str:
        """One of guard_templates.txt's frames, filled."""
        ask, self.harm = self.random.choice(asks)
        ask = ask[:400]
        if mark == "+" and self.random.random() < 0.5:
            ask = ask[0].lower() + ask[1:]
        half = len(ask) // 2
        noise = [self.random.choice(NOISE) for _ in range(self.random.randint(8, 24))]
        slots = {"ask": ask, "name": self.random.choice(NAMES), "lead": self.random.choice(LEADS),
                 "b64": base64.b64encode(ask.encode()).decode()[:160], "reverse": ask[::-1],
                 "rot13": codecs.encode(ask, "rot13"), "half1": ask[:half], "half2": ask[half:],
                 "gibberish": " ".join(noise) if mark == "+" else hex(self.random.getrandbits(40))[2:]}
        return re.sub(r"\{(\w+)\}", lambda m: slots[m[1]], self.random.choice(self.frames[mark]))

    def surround(self, text: str, size: int, chance: float) -> tuple[str, tuple[int, int]]:
        """Puts benign text before or after, up to about `size` characters; -> text, and where the old text now stands.

        Benign rows are shorter than attacks, so they get it more often: length must say nothing."""
        before, after = "", ""
        if len(text) < size * 0.7 and self.random.random() < chance:
            for _ in range(self.random.randint(1, 3)):
                room = size - len(text) - len(before) - len(after)
                if room < 20:
                    break
                more = self.crop(self.random.choice(self.random.choice([self.filling, self.documents])),
                                 self.random.choice([room, self.random.randint(20, max(21, room))]))
                joint = self.random.choice([" ", "\n", "\n\n", " "])
                if self.random.random() < 0.5:
                    before += more + joint
                else:
                    after += joint + more
        return before + text + after, (len(before), len(before) + len(text))

    def typo(self, text: str) -> str:
        letters = list(text)
        for _ in range(max(1, len(letters) // 40)):
            i = self.random.randrange(len(letters)) if letters else 0
            if letters and letters[i].isalpha():
                letters[i] = self.random.choice(["", letters[i] * 2, letters[i] + self.random.choice("aeiont "),
                                                 {"o": "0", "i": "1", "e": "3", "a": "@", "s": "$"}.get(letters[i], letters[i])])
        return "".join(letters)

    # --- pii ---

    def pii_example(self) -> dict:
        row = self.draw(self.pii)
        if "tokens" not in row:
            row["tokens"] = tagged(self.tokenizer, row)
        ids, tags = row["tokens"]
        size = 126
        low = self.random.randint(0, len(ids) - size) if len(ids) > size else 0
        return {"ids": [CLS] + ids[low:low + size] + [SEP], "tags": [-100] + tags[low:low + size] + [-100],
                "free": [tag == "O" or tag[2:] not in ANNOTATED[row["annotated"]] for tag in TAGS]}


def tagged(tokenizer, row: dict) -> tuple[list[int], list[int]]:
    """-> token ids and tag indices of a whole row (no special tokens); -100 where the row says nothing."""
    text, places = normalise(row["text"])
    encoding = tokenizer.encode(text, add_special_tokens=False)
    tags, last = [], None
    for piece, (start, end) in zip(encoding.tokens, encoding.offsets):
        start, end = places[start], places[max(start, end - 1)] + 1
        tag = 0
        if any(a < end and start < b for a, b in row["ignored"]):
            tag = -100
        for a, b, label in row["spans"]:
            if a < end and start < b:
                first = a != last and not piece.startswith("##")
                tag = TAGS.index(("B-" if first else "I-") + label)
                last = a
        tags.append(tag)
        if tag <= 0:
            last = None
    return encoding.ids, tags


assert len(COMPLEXITIES) == 3
