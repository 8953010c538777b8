"""Are the files around the code consistent with each other and with the code's metrics?

Prints one line per fault and exits 1 when there is any. Needs PyYAML (requirements.txt).
"""

import json
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
SERIES = re.compile(r"\bmom_[a-z_]+")
faults = []


def main():
    compose()
    dockerfile()
    metrics()
    links()
    for path in sorted(ROOT.glob("deploy/**/*.yml")):
        load_yaml(path)
    for fault in faults:
        print("house: " + fault)
    print("house: %s" % ("%d faults" % len(faults) if faults else "ok"))
    return 1 if faults else 0


def compose():
    """Images are pinned, ports are published on loopback, mounted files exist."""
    services = load_yaml(ROOT / "docker-compose.yml")["services"]
    for name, service in services.items():
        image = service["image"]
        if "build" not in service and not re.search(r":v?\d+\.\d+\.\d+$", image):
            fault("docker-compose.yml", "%s: image %s is not pinned to a version" % (name, image))
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                fault("docker-compose.yml", "%s: port %s is published beyond loopback" % (name, port))
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith(".") and not (ROOT / source).exists():
                fault("docker-compose.yml", "%s: mounts %s, which does not exist" % (name, source))
        for needed in service.get("depends_on", []):
            if needed not in services:
                fault("docker-compose.yml", "%s: depends on %s, which is no service" % (name, needed))


def dockerfile():
    """What it copies from the checkout exists, and so do the make targets it runs."""
    text = (ROOT / "Dockerfile").read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for source in re.findall(r"^COPY (?!--)(\S+) ", text, re.M):
        if not (ROOT / source).exists():
            fault("Dockerfile", "copies %s, which does not exist" % source)
    for target in re.findall(r"^\s*(?:RUN )?make ([a-z]+)", text.replace("RUN make", "\nmake"), re.M):
        if target not in targets:
            fault("Dockerfile", "runs make %s, which the Makefile lacks" % target)


def metrics():
    """The dashboard and the operations page name series that the code registers, and all of them are documented."""
    documented = set(re.findall(r"^\| `(mom_[a-z_]+)", (ROOT / "docs/operations.md").read_text(), re.M))
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/mom-gateway.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            for series in SERIES.findall(target["expr"]):
                if re.sub(r"_(bucket|sum|count)$", "", series) not in documented:
                    fault("dashboard", "panel '%s' asks for %s, which docs/operations.md does not list" % (panel["title"], series))
    code = "".join(path.read_text() for path in sorted(ROOT.glob("src/telemetry/*.rs")))
    registered = {"mom_" + name for name in re.findall(r"\bregister\(\s*\"([a-z_]+)\"", code)}
    # The metrics library adds `_total` to counters itself.
    listed = {series.removesuffix("_total") for series in documented}
    for series in sorted(listed - registered):
        fault("docs/operations.md", "lists %s, which src/telemetry does not register" % series)
    for series in sorted(registered - listed):
        fault("docs/operations.md", "does not list %s, which src/telemetry registers" % series)


def links():
    """Relative links in the documentation lead somewhere."""
    for page in [page for folder in (".", "docs", "training") for page in sorted((ROOT / folder).glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                fault(str(page.relative_to(ROOT)), "links to %s, which does not exist" % target)


def load_yaml(path):
    try:
        return yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        fault(str(path.relative_to(ROOT)), " ".join(str(error).split()))
        return {"services": {}}


def fault(where, what):
    faults.append("%s: %s" % (where, what))


if __name__ == "__main__":
    sys.exit(main())
