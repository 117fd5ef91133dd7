"""docs/security/controls.toml, read and held against the code: where each control stands, and what we say of it.

`code` is `MODULE:QUALNAME` within gochatsecure, or the path of a file that is not Python.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from gochatsecure.limits import Limits
from gochatsecure.settings import Settings

ROOT = Path(__file__).parent.parent
LIST = ROOT / "docs" / "security" / "controls.toml"


class Edit(NamedTuple):
    """In this file, this text, which is there once, becomes another."""

    file: str
    line: str
    becomes: str


class Off(NamedTuple):
    """One way to switch a control off. `attack`: then one of its tests shows an attack that succeeds."""

    edits: tuple[Edit, ...]
    attack: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One row of the list. `state` is "" for what stands, "coming" for what is on its way.

    `limits`: by name, of Limits or Settings or as `MODULE:NAME`, what the row says is their default.
    """

    id: str
    boundary: str
    threat: str
    requirement: str
    sources: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    limits: Mapping[str, Any]
    neg: bool = False
    state: str = ""
    off: tuple[Off, ...] = ()
    always: str = ""
    """Why it cannot be switched off, where it has no `off`."""


@cache
def listed() -> Mapping[str, Any]:
    return tomllib.loads(LIST.read_text("utf-8"))


@cache
def boundaries() -> Mapping[str, str]:
    """By key: what the boundary is."""
    found: dict[str, str] = listed()["boundaries"]
    return found


@cache
def controls() -> Mapping[str, Control]:
    """By id, in the order of the list. Raises TypeError, KeyError, ValueError for what is no such list."""
    found: dict[str, Control] = {}
    for row in listed()["control"]:
        values: dict[str, Any] = {"limits": {}}
        values |= {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        values["off"] = tuple(map(_off, row.get("off", ())))
        control = Control(**values)
        if control.id in found:
            raise ValueError(f"{control.id} is there twice")
        found[control.id] = control
    return found


def _off(row: Mapping[str, Any]) -> Off:
    edits = row.get("edits", (row,))
    return Off(tuple(Edit(edit["file"], edit["line"], edit["becomes"]) for edit in edits), row.get("attack", False))


def place(symbol: str) -> tuple[str, int, int]:
    """The file, first and last line of a symbol of the list. Raises KeyError when there is no such."""
    if (ROOT / symbol).is_file():
        return symbol, 1, len((ROOT / symbol).read_text("utf-8").splitlines())
    module, _, name = symbol.partition(":")
    file = f"gochatsecure/{module.replace('.', '/')}.py"
    if not (ROOT / file).is_file():
        raise KeyError(symbol)
    if not name:
        return file, 1, len((ROOT / file).read_text("utf-8").splitlines())
    return file, *_definitions(file)[name]


@cache
def _definitions(file: str) -> Mapping[str, tuple[int, int]]:
    """By qualified name: first and last line of every function, class and assigned name of a module or class."""
    found: dict[str, tuple[int, int]] = {}

    def walk(body: list[ast.stmt], above: str) -> None:
        for node in body:
            last = node.end_lineno or node.lineno
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                found[above + node.name] = first, last
                if isinstance(node, ast.ClassDef):
                    walk(node.body, f"{above}{node.name}.")
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        found[above + target.id] = node.lineno, last
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[above + node.target.id] = node.lineno, last

    walk(ast.parse((ROOT / file).read_text("utf-8")).body, "")
    return found


def default(name: str) -> Any:
    """What the code says: the default of a limit, of a setting, or a module's constant. Raises KeyError."""
    module, colon, constant = name.partition(":")
    if colon:
        values = vars(import_module(f"gochatsecure.{module}"))
        return values[constant]
    for kind in (Limits, Settings):
        for item in fields(kind):
            if item.name == name:
                return str(item.default) if isinstance(item.default, Path) else item.default
    raise KeyError(name)


def lines_of(edit: Edit) -> tuple[int, int]:
    """First and last line of what is edited. Raises ValueError unless it is there once."""
    text = (ROOT / edit.file).read_text("utf-8")
    if text.count(edit.line) != 1:
        raise ValueError(f"{edit.file}: there {text.count(edit.line)} times: {edit.line}")
    first = text[: text.index(edit.line)].count("\n") + 1
    return first, first + edit.line.rstrip("\n").count("\n")


def told(control: Control) -> str:
    """A control with its place, for who reads it at a terminal."""
    text = [f"{control.id}  {control.requirement}", f"  threat   {control.threat}"]
    text += [f"  source   {'; '.join(control.sources)}"] if control.sources else []
    for symbol in control.code:
        file, first, _ = place(symbol)
        text.append(f"  code     {file}:{first}  {symbol}")
    for off in control.off:
        for edit in (edit for edit in off.edits if not edit.file.startswith("tests/")):
            first, _ = lines_of(edit)
            text.append(f"  line     {edit.file}:{first}  {edit.line.strip().splitlines()[0]}")
    text += [f"  limit    {name} = {value}" for name, value in control.limits.items()]
    text += [f"  test     {name}" for name in control.tests]
    text += [f"  state    {control.state}"] if control.state else []
    text += [f"  always   {control.always}"] if control.always else []
    return "\n".join(text)
