"""Judges the exported int8 graph the way the gateway does, fits temperatures and thresholds, writes the manifests.

    python training/evaluate.py --trunk DIR/trunk.pt --write models/onnx [--shared DIR]    export, fit, measure, write
    python training/evaluate.py --check models/onnx [--shared DIR]                         measure what is committed

Everything is measured after int8, through ONNX Runtime, on rows that training never saw. Temperatures and thresholds
come from the "threshold" split only. Intervals: 95 %, bootstrap over rows, 1,000 resamples, seed 0. `--shared` adds sets
that are for evaluation only (medical question pairs; chats and long web pages for false alarms) and so are not in
training/data. `--plots DIR` draws reliability, ROC and confusion.
"""
import argparse
import collections
import json
import pathlib

import data
from measure.brain import brain
from measure.graph import Graph
from measure.guard import guard
from measure.pii import pii
from measure.similarity import similarity

HERE = pathlib.Path(__file__).parent


def sources(rows: list[dict]) -> list[dict]:
    """The rows of training/data a mind saw or is judged on, by source and split, with their licences."""
    licences = json.loads((HERE / "data/licences.json").read_text())
    counts = collections.Counter((r["source"], r["split"]) for r in rows)
    return [{"source": source, "licence": licences[source], "rows": count, "split": split}
            for (source, split), count in sorted(counts.items())]


def measured(folder: pathlib.Path, shared: pathlib.Path | None, fitted: dict | None, kept: dict,
            plots: pathlib.Path | None) -> dict:
    graph = Graph(folder)
    pick = lambda mind: (fitted[mind]["temperature"], fitted[mind]["thresholds"]) if fitted else None
    if plots:
        plots.mkdir(parents=True, exist_ok=True)
    facts = {"mom-similarity-flash": similarity(graph, pick("mom-similarity-flash"), shared, kept.get("mom-similarity-flash", {})),
             "mom-brain-flash": brain(graph, fitted and fitted["mom-brain-flash"]["temperature"], plots),
             "mom-jailbreak-flash": guard(graph, pick("mom-jailbreak-flash"), shared, plots),
             "mom-pii-flash": pii(graph, pick("mom-pii-flash"))}
    for mind, rows in (("mom-brain-flash", data.brain_rows()), ("mom-jailbreak-flash", data.guard_rows()),
                       ("mom-pii-flash", data.pii_rows()), ("mom-similarity-flash", data.rows("similarity.jsonl.gz"))):
        facts[mind]["training"] = {"data": sources(rows), "splits": "training/splits.json",
                                   "command": f"make -C training {mind}"}
        facts[mind]["metrics"]["printed by"] = "python training/evaluate.py --check models/onnx"
    return facts


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--trunk", type=pathlib.Path, help="a trained trunk.pt")
    args.add_argument("--start", type=pathlib.Path, help="an exported model.onnx to take the trained part from")
    args.add_argument("--write", type=pathlib.Path, help="folder to write graph, tokenizer and manifests into")
    args.add_argument("--check", type=pathlib.Path, help="folder to measure as it is")
    args.add_argument("--shared", type=pathlib.Path)
    args.add_argument("--plots", type=pathlib.Path)
    args = args.parse_args()
    kept = {path.parent.name: json.loads(path.read_text())
            for path in (args.check or args.write).glob("mom-*-flash/manifest.json")}
    if args.check:
        facts = measured(args.check, args.shared, kept, kept, args.plots)
    else:
        import tempfile

        import torch

        import export
        from model import Trunk
        trunk = Trunk().eval()
        if args.start:
            export.load_exported(trunk, args.start)
        else:
            trunk.load_state_dict(torch.load(args.trunk), strict=False)
        with tempfile.TemporaryDirectory() as folder:
            empty = {"temperature": {}, "thresholds": {}, "training": {}, "metrics": {}}
            export.write(trunk, pathlib.Path(folder), {mind: empty for mind in export.MINDS})
            facts = measured(pathlib.Path(folder), args.shared, None, kept, args.plots)
        runs = (args.start or args.trunk).with_name("run.json")
        for mind, fact in facts.items():
            if runs.exists():
                fact["training"]["runs"] = json.loads(runs.read_text())
        export.write(trunk, args.write, facts)
    for mind, fact in facts.items():
        print(mind, "temperature", fact["temperature"], "thresholds", fact["thresholds"])
        for name, value in fact["metrics"].items():
            for part, result in (value.items() if isinstance(value, dict) and "value" not in value else [("", value)]):
                print(f"  {name:34} {part:56}", *(result.values() if isinstance(result, dict) else [result]))


if __name__ == "__main__":
    main()
