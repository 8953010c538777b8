"""Trains a decoder mind: heads on what its base makes of texts, frozen. Writes its folder.

    python decoder/train.py NAME [--data FILE] [--base BASE] [--bases DIR] [--out DIR]

NAME is one of minds.toml, or any mom-expert-FIELD-SIZE with --data: JSONL rows of `text` and, where known, `domain` (a part
of the field), `difficulty` (0..1: the share of models that fail), `outcomes` {model: 0..1}, `source`. No PyTorch.
"""
import argparse
import hashlib
import importlib
import importlib.metadata
import json
import os
import pathlib
import sys
import tomllib

import onnx

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from cache import Cache                                                                                        # noqa: E402
from features import Base                                                                                      # noqa: E402

# Tokens of a question that are read.
MOST = 200
DECODERS = {"flash": "qwen2.5-coder-0.5b", "pro": "qwen2.5-coder-1.5b"}


def bases_folder() -> pathlib.Path:
    if named := os.environ.get("MOM_BASES_DIR"):
        return pathlib.Path(named)
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "mom/bases"


def entry(name: str, base: str | None) -> dict:
    known = tomllib.loads((HERE / "minds.toml").read_text())
    found = known.get(name)
    if found is None:
        size = name.rsplit("-", 1)[-1]
        if not name.startswith("mom-expert-") or size not in DECODERS:
            sys.exit(f"{name}: not in minds.toml, and no mom-expert-FIELD-flash or -pro")
        found = {"base": DECODERS[size], "task": "expert"}
    return found | {"prompt": known["prompt"], "reason": known["reason"]} | ({"base": base} if base else {})


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("name")
    args.add_argument("--data", type=pathlib.Path)
    args.add_argument("--base")
    args.add_argument("--bases", type=pathlib.Path, default=bases_folder())
    args.add_argument("--models", type=pathlib.Path, default=HERE.parents[1] / "models/onnx", help="where the other minds are")
    args.add_argument("--out", type=pathlib.Path, help="default: the same folder")
    args.add_argument("--features", type=pathlib.Path, default=HERE.parent / "work/features")
    args = args.parse_args()
    spec = entry(args.name, args.base)
    folder = args.bases / spec["base"]
    if not (folder / "base.json").exists():
        sys.exit(f"{folder} is not there: run `make models`")

    def read(texts: list[str], base: str = spec["base"]):
        """What a base makes of texts, this mind's own unless told otherwise."""
        cache = Cache(args.features / f"{base}.npz")
        return cache.features(texts, lambda: Base(args.bases / base, **spec["prompt"]), MOST)

    made = importlib.import_module(spec["task"]).train(args.name, spec, args.data, read, args.models)
    out = (args.out or args.models) / args.name
    out.mkdir(parents=True, exist_ok=True)
    onnx.save(made.pop("graph"), out / "head.onnx")
    write_manifest(args.name, spec, folder, out, made)
    print(json.dumps(made["metrics"], indent=1))


def write_manifest(name: str, spec: dict, folder: pathlib.Path, out: pathlib.Path, made: dict) -> None:
    base = json.loads((folder / "base.json").read_text())
    used = ("decide.onnx", "decide.onnx.data", "speak.onnx", "speak.onnx.data", "tokenizer.json")
    inherited = steering(base, out)
    manifest = {
        "name": name, "kind": "decoder", "task": spec["task"], **made["manifest"],
        "decoder": {"base": spec["base"], "files": {file: base["files"][file] for file in used},
                    "prompt": spec["prompt"], "reason": spec["reason"]},
        "max_tokens": MOST, "batch_invariant": True, "scripts": ["Latin", "Greek"], "max_unknown_share": 0.3,
        "files": {"head.onnx": hashlib.sha256((out / "head.onnx").read_bytes()).hexdigest()} | inherited.pop("files", {}),
        "training": made["training"], "metrics": made["metrics"],
        "base": {"name": base["title"], "licence": base["licence"], "sha256": base["sha256"]},
        "tools": {tool: importlib.metadata.version(tool) for tool in ("onnx", "onnxruntime", "numpy", "scipy")},
    } | inherited
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def steering(base: dict, out: pathlib.Path) -> dict:
    """How a mind that is there finds sentences that steer, if it stands on the same base: the prompt is one for all."""
    for path in sorted((HERE.parents[1] / "models/onnx").glob("*/manifest.json")):
        manifest = json.loads(path.read_text())
        if "steering" in manifest and manifest["decoder"]["files"]["decide.onnx"] == base["files"]["decide.onnx"]:
            file = manifest["steering"]["file"]
            (out / file).write_bytes((path.parent / file).read_bytes())
            return {"steering": manifest["steering"], "files": {file: manifest["files"][file]}}
    return {}


if __name__ == "__main__":
    main()
