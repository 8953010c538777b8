"""What mom-quality-flash is worth on prompts it was not fitted on: python training/measure_quality.py [--mom PATH] [--shared DIR]

Fits it again without some of its prompts, in a models folder of its own, and asks `mom eval routing` about those:
whole fields (mathematics, science). The mind as it is shipped is asked about questions that were held out and, with --shared,
about benchmarks that nothing here was fitted on.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

from prepare import read

HERE = pathlib.Path(__file__).parent
MMLU, PRO = HERE / "data/outcomes_mmlu.jsonl.gz", HERE / "data/outcomes_mmlu_pro.jsonl.gz"
PAIRS = {MMLU: ("mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"), PRO: ("llama-3.1-8b-instruct", "llama-3.1-70b-instruct")}
MATHS = ("elementary_mathematics", "high_school_mathematics", "college_mathematics", "abstract_algebra", "high_school_statistics",
         "theoremQA-Math", "scibench-calculus", "scibench-diff", "scibench-stat")
SCIENCE = ("astronomy", "anatomy", "virology", "medic", "clinical", "genetics", "physics", "chemistry", "biology", "stemez", "scibench",
           "nutrition", "human_aging")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mom", default=str(HERE.parent / "target/release/mom"))
    parser.add_argument("--shared", type=pathlib.Path)
    parser.add_argument("--fields", nargs="*", default=["science", "mathematics"])
    args = parser.parse_args()
    files = {path: read(path) for path in (PRO, MMLU)}
    about = lambda row, names: any(name in row["group"] for name in names)
    fields = {"science": SCIENCE, "mathematics": MATHS}
    left_out = {f"{name} unseen": lambda row, names=fields[name]: about(row, names) for name in args.fields}
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        models = folder / "models"
        models.mkdir()
        for mind in (HERE.parent / "models/onnx").iterdir():
            if mind.name != "mom-quality-flash":
                (models / mind.name).symlink_to(mind.resolve())
        config = folder / "config.toml"
        config.write_text(f'models_dir = "{models}"\n[backends.a]\nbase_url = "http://127.0.0.1:1/v1"\n'
                          '[[routes]]\nname = "all"\ncandidates = ["a"]\n')

        def mom(*command: str) -> dict:
            run = subprocess.run([args.mom, *command, "--config", str(config)], capture_output=True, text=True, cwd=HERE.parent)
            if not run.stdout:
                raise SystemExit(run.stderr)
            return json.loads(run.stdout)

        def ask(rows: list[dict], weak: str, strong: str) -> dict:
            held = folder / "held.jsonl"
            held.write_text("".join(json.dumps(row) + "\n" for row in rows))
            said = mom("eval", "routing", "--data", str(held), "--weak", weak, "--strong", strong)
            keys = ("n", "near", "known_models", "apgr", "apgr_ci95", "cpt50", "length_apgr", "apgr_minus_length",
                    "apgr_minus_length_ci95", "oracle_apgr")
            return {key: said[key] for key in keys}

        (models / "mom-quality-flash").symlink_to((HERE.parent / "models/onnx/mom-quality-flash").resolve())
        for path in files:
            held = path.with_name(path.name.replace(".jsonl", "_held_out.jsonl"))
            out[held.name] = ask(read(held), *PAIRS[path])
            print(held.name, json.dumps(out[held.name]), flush=True)
        if args.shared:
            for name in ("routerbench_mbpp.jsonl", "routerbench_winogrande.jsonl.gz"):
                pair = ("mistralai/mixtral-8x7b-chat=mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview")
                out[name] = ask(read(args.shared / "routing" / name), *pair)
                print(name, json.dumps(out[name]), flush=True)
        (models / "mom-quality-flash").unlink()
        for name, without in left_out.items():
            parts = []
            for path, rows in files.items():
                part = folder / path.name.removesuffix(".gz")
                part.write_text("".join(json.dumps(row) + "\n" for row in rows if not without(row)))
                parts.append(str(part))
            mom("calibrate", "train", "--data", *parts, "--as", "mom-quality-flash", "--force", "--json")
            for path, rows in files.items():
                held = [row for row in rows if without(row)]
                out[f"{name}: {path.name}"] = ask(held, *PAIRS[path])
                print(name, path.name, json.dumps(out[f"{name}: {path.name}"]), flush=True)
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
