"""What a reviewer asks first: what can strangers reach, which controls stand where, what is it made of, how much is it?

`make audit` prints all of it; `python -m tools.audit -sbom FILE` writes the bill of materials (CycloneDX 1.5, JSON).

A line of code is one that holds something besides blanks, comments and docstrings.
"""

from __future__ import annotations

import ast
import io
import json
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from gochatsecure.version import __version__
from tools.controls import ROOT, Control, boundaries, controls, lines_of, listed, place

PACKAGE = ROOT / "gochatsecure"
LOCK = ROOT / "requirements.txt"
_SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


class Locked(NamedTuple):
    """One distribution that runs with us: the exact version, and the hashes of its files."""

    name: str
    version: str
    hashes: tuple[str, ...]


@cache
def code_lines(file: str) -> frozenset[int]:
    """The numbers of a module's lines of code; `file` is relative to the root."""
    text = (ROOT / file).read_text("utf-8")
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _SILENT:
            found.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return frozenset(found)


def surface() -> Mapping[str, int]:
    """The functions that are reached before a sign-in, as `MODULE:QUALNAME`: their lines of code."""
    counts: dict[str, int] = {}
    for module, names in listed()["surface"].items():
        for name in names.split():
            file, first, last = place(f"{module}:{name}")
            counts[f"{module}:{name}"] = sum(first <= line <= last for line in code_lines(file))
    return counts


def surface_by_module() -> Mapping[str, tuple[int, int]]:
    """By module: how many lines of it are reached before a sign-in, and how many it has."""
    reached: Counter[str] = Counter()
    for symbol, count in surface().items():
        reached[symbol.partition(":")[0]] += count
    return {module: (count, len(code_lines(place(module)[0]))) for module, count in reached.items()}


def ceiling(name: str) -> int:
    """The most lines that the list allows: of the `surface`, of the `program`."""
    most: int = listed()["ceilings"][name]
    return most


BESIDE = ("client", "conformance")
"""Rooms that no server needs: a library for those who write clients, and a kit for those who write either."""


def budget() -> Mapping[str, int]:
    """Lines of code by room of the house."""
    counts: Counter[str] = Counter()
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        counts[room if path.parent != PACKAGE else "the ground and the top"] += len(
            code_lines(path.relative_to(ROOT).as_posix())
        )
    return counts


def program() -> int:
    """Lines of code of the server: what has to be read to know what it does."""
    return sum(count for room, count in budget().items() if room not in BESIDE)


def locked() -> Sequence[Locked]:
    """What requirements.txt locks. Raises ValueError for a line that locks nothing."""
    found = []
    for line in LOCK.read_text("utf-8").replace("\\\n", " ").splitlines():
        line = line.partition("#")[0].strip()
        if line:
            name, _, version = line.split()[0].partition("==")
            hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
            if not version or not hashes:
                raise ValueError(f"locks nothing: {line}")
            found.append(Locked(name, version, hashes))
    return found


def bill_of_materials() -> Mapping[str, Any]:
    """What is needed to run us, as installed here. Raises metadata.PackageNotFoundError."""
    components, dependencies = [], []
    for name in sorted(one.name for one in locked()):
        found = metadata.distribution(name)
        reference = f"pkg:pypi/{name}@{found.version}"
        hashes = [one.hashes for one in locked() if (one.name, one.version) == (name, found.version)]
        component: dict[str, Any] = {"type": "library", "bom-ref": reference, "name": name, "version": found.version}
        component["purl"] = reference
        terms = next((found.metadata[key] for key in ("License-Expression", "License") if key in found.metadata), "")
        if 0 < len(terms) < 100:
            component["licenses"] = [{"license": {"name": terms}}]
        if hashes:
            urls = [f"https://pypi.org/project/{name}/{found.version}/"] * len(hashes[0])
            component["externalReferences"] = [
                {"type": "distribution", "url": url, "hashes": [{"alg": "SHA-256", "content": content}]}
                for url, content in zip(urls, hashes[0], strict=True)
            ]
        components.append(component)
        dependencies.append({"ref": reference, "dependsOn": [f"pkg:pypi/{needed}" for needed in _needed(found)]})
    versions = {component["name"]: component["bom-ref"] for component in components}
    for dependency in dependencies:
        wanted = [one.removeprefix("pkg:pypi/") for one in dependency["dependsOn"]]
        dependency["dependsOn"] = [versions[one] for one in wanted if one in versions]
    us = f"pkg:pypi/gochatsecure@{__version__}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": us,
                "name": "gochatsecure",
                "version": __version__,
                "purl": us,
                "licenses": [{"license": {"id": "MIT"}}],
            }
        },
        "components": components,
        "dependencies": [{"ref": us, "dependsOn": sorted(versions.values())}, *dependencies],
    }


def _needed(found: metadata.Distribution) -> list[str]:
    """The names of what it needs wherever it runs."""
    return [re.split(r"[ ;<>=!~\[(]", need)[0].lower() for need in found.requires or () if "extra ==" not in need]


def held(control: Control) -> str:
    """By how much a control is held, in few words."""
    if control.state:
        return control.state
    ways = f"off in {len(control.off)} ways" if len(control.off) > 1 else "off in 1 way" if control.off else "always on"
    tests = f"{len(control.tests)} tests" if len(control.tests) > 1 else "1 test"
    return f"{tests}, {ways}{', an attack' if control.neg else ''}"


def report() -> str:
    """All of it, for who reads it at a terminal."""
    counts, rooms = surface(), budget()
    text = [f"Reached before a sign-in: {sum(counts.values())} lines of code, {ceiling('surface')} allowed"]
    for module, (reached, whole) in surface_by_module().items():
        text.append(f"  {reached:5}  of {whole:4}  {module}")
        for symbol, count in counts.items():
            if symbol.startswith(f"{module}:"):
                text.append(f"  {count:19}  {symbol.partition(':')[2]}")
    text += ["", "Controls"]
    for key, boundary in boundaries().items():
        text += ["", f"  {boundary}"]
        for control in controls().values():
            if control.boundary == key:
                where = "{}:{}".format(*place(control.code[0])) if control.code else ""
                text.append(f"    {control.id:10} {where:44} {held(control)}")
    text += ["", "Dependencies at run time, locked in requirements.txt"]
    for one in locked():
        text += [f"  {one.name} {one.version}", *(f"    sha256:{content}" for content in one.hashes)]
    text += ["", f"Lines of code of the server: {program()}, {ceiling('program')} allowed"]
    text += [f"  {count:5}  {room}" for room, count in rooms.items() if room not in BESIDE]
    text += ["", "Lines of code beside it, which no server needs"]
    text += [f"  {rooms[room]:5}  {room}" for room in BESIDE]
    text += ["", "Bill of materials (CycloneDX)", json.dumps(bill_of_materials(), indent=2)]
    return "\n".join(text)


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["-sbom"] and len(arguments) == 2:
        Path(arguments[1]).write_text(json.dumps(bill_of_materials(), indent=2) + "\n", "utf-8")
        return 0
    if arguments:
        print("usage: python -m tools.audit [-sbom FILE]", file=sys.stderr)
        return 2
    for control in controls().values():
        for off in control.off:
            for edit in off.edits:
                lines_of(edit)
    print(report())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
