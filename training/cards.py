"""Fills the metric tables of docs/minds.md from the manifests: python training/cards.py"""
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent


def table(mind: str) -> str:
    metrics = json.loads((ROOT / f"models/onnx/{mind}/manifest.json").read_text())["metrics"]
    lines = ["| what | on | value | 95 % interval | n |", "| --- | --- | --- | --- | --- |"]
    for what, value in metrics.items():
        if isinstance(value, str):
            continue
        for part, result in ([("", value)] if "value" in value else value.items()):
            low, high = result["ci95"]
            lines.append(f"| {what} | {part} | {result['value']:.3f} | {low:.3f} - {high:.3f} | {result['n']} |")
    return "\n".join(lines)


def operating_point(mind: str) -> str:
    manifest = json.loads((ROOT / f"models/onnx/{mind}/manifest.json").read_text())
    named = lambda values: ", ".join(f"{k} {v}" for k, v in values.items()) or "none"
    return f"Temperatures: {named(manifest['temperature'])}. Thresholds: {named(manifest['thresholds'])}."


def main() -> None:
    path = ROOT / "docs/minds.md"
    text = path.read_text()
    for mark, make in (("metrics", table), ("point", operating_point)):
        text = re.sub(rf"(<!-- {mark} (\S+) -->\n).*?(<!-- end -->)",
                      lambda m: f"{m[1]}{make(m[2])}\n{m[3]}", text, flags=re.S)
    path.write_text(text)


if __name__ == "__main__":
    main()
