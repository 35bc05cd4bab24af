#!/usr/bin/env python3
"""Copy the front-end files named in static/vendor.json out of npm tarballs into static/vendor, with a lock file.

`bin/vendor.py` downloads (`npm pack`, no scripts run) and compares with the lock; `--update` writes the lock anew
after a change of versions; `--check` only compares the files with the lock, offline. Icons become one SVG sprite.
"""

import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

STATIC = Path(__file__).resolve().parent.parent / "static"
OUT, LIST, LOCK = STATIC / "vendor", STATIC / "vendor.json", STATIC / "vendor.lock.json"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pack(name: str, version: str, folder: str) -> tuple[tarfile.TarFile, dict[str, Any]]:
    """The package's tarball and npm's facts about it."""
    command = ["npm", "pack", "--json", "--ignore-scripts", f"{name}@{version}"]
    answer = json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout)
    facts = answer[0] if isinstance(answer, list) else next(iter(answer.values()))
    return tarfile.open(Path(folder) / Path(facts["filename"]).name), facts


def member(tar: tarfile.TarFile, path: str) -> bytes:
    file = tar.extractfile(f"package/{path}")
    if file is None:
        raise SystemExit(f"{path} is not a file of the package")
    return file.read()


def sprite(tar: tarfile.TarFile, names: list[str]) -> bytes:
    """One SVG of symbols; an icon is then `<use href="icons.svg#name">`."""
    symbols = []
    for name in names:
        body = re.search(r"<svg[^>]*>(.*)</svg>", member(tar, f"icons/{name}.svg").decode(), re.DOTALL)
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{" ".join(body[1].split()) if body else ""}</symbol>')
    return f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>\n'.encode()


def fetch(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Write one package's files; returns its entry of the lock."""
    with tempfile.TemporaryDirectory() as folder:
        tar, facts = pack(name, spec["version"], folder)
        with tar:
            files = {target: member(tar, source) for source, target in spec["files"].items()}
            if "sprite" in spec:
                files["icons.svg"] = sprite(tar, spec["sprite"])
            licence = json.loads(member(tar, "package.json")).get("license")
    for target, content in files.items():
        (OUT / target).write_bytes(content)
    hashes = {target: digest(content) for target, content in files.items()}
    return {"version": spec["version"], "license": licence, "integrity": facts["integrity"], "sha256": hashes}


def changed_files() -> list[str]:
    lock = json.loads(LOCK.read_text())
    return [
        file
        for entry in lock.values()
        for file, known in entry["sha256"].items()
        if not (OUT / file).is_file() or digest((OUT / file).read_bytes()) != known
    ]


def main() -> None:
    if "--check" not in sys.argv:
        OUT.mkdir(exist_ok=True)
        lock = {name: fetch(name, spec) for name, spec in json.loads(LIST.read_text()).items()}
        if "--update" in sys.argv or not LOCK.exists():
            LOCK.write_text(json.dumps(lock, indent=1) + "\n")
    if changed := changed_files():
        raise SystemExit(f"not as recorded in {LOCK.name}: {', '.join(changed)}")
    print("front-end files are as recorded")


if __name__ == "__main__":
    main()
