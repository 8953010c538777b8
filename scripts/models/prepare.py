"""One base, fetched and built: a folder of graphs, a tokenizer, and base.json, which says what a reader needs to know.

A folder is replaced only by a whole one, and one run at a time works in the cache.
"""
import fcntl
import json
import os
import pathlib
import shutil
import time

import sources

# One more whenever other bytes are built from the same base: what older ones built is then built again.
RECIPE = 2


def cache() -> pathlib.Path:
    if named := os.environ.get("MOM_BASES_DIR"):
        return pathlib.Path(named)
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "mom/bases"


def say(text: str) -> None:
    print(f"models: {text}", flush=True)


def whole(folder: pathlib.Path, base: sources.Base) -> bool:
    """Whether everything is there as it was built, from this base, in this way."""
    try:
        record = json.loads((folder / "base.json").read_text())
        made = record["recipe"], record["sha256"], record["layers"]
        return made == (RECIPE, base.sha256, base.exit) and all(sources.sha256(folder / name) == pinned
                                                                for name, pinned in record["files"].items())
    except (OSError, ValueError, KeyError):
        return False


def prepare(base: sources.Base, into: pathlib.Path, order: tuple[str, ...]) -> None:
    folder, half, began = into / base.name, into / f"{base.name}.part", time.monotonic()
    if whole(folder, base):
        say(f"{folder} is whole")
        return
    if (folder / "base.json").exists():
        say(f"{folder} is damaged or of another make: building it again")
    file = sources.fetch(base, into / "downloads", order, say)
    say(f"building {base.name} (a minute or a few)")
    import decoder                                   # heavy: not before there is something to do
    import tokenizer
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir()
    weights = decoder.Weights(file)
    decoder.build(weights, half / "decide.onnx", last=base.exit)
    decoder.build(weights, half / "speak.onnx", first=base.exit)
    tokenizer.write(weights.reader, half / "tokenizer.json")
    record = {
        "name": base.name, "title": base.title, "licence": base.licence, "sha256": base.sha256, "recipe": RECIPE,
        "layers": base.exit, "speak_layers": [base.exit, weights.layers],
        "kv_heads": weights.kv_heads, "head_width": weights.head_width, "width": weights.width, "vocab": weights.vocabulary,
        "eos": tokenizer.ends(weights.reader),
        "files": {path.name: sources.sha256(path) for path in sorted(half.iterdir())},
    }
    (half / "base.json").write_text(json.dumps(record, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    half.rename(folder)
    file.unlink()
    size = sum(path.stat().st_size for path in folder.iterdir())
    say(f"{folder}: {size >> 20} MB in {time.monotonic() - began:.0f} s")


def alone(into: pathlib.Path):
    """Holds the cache folder against other runs until the returned file is closed."""
    into.mkdir(parents=True, exist_ok=True)
    lock = (into / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"another run is at work in {into}: waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock
