"""The house stands as docs/architecture.md draws it: who may import whom, and what stays pure."""

from __future__ import annotations

import ast
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path

from tests.support import ROOT

PACKAGE = ROOT / "gochatsecure"
GROUND = {"errors", "journal", "limits", "private", "version", "worker"}
MAY_IMPORT: dict[str, set[str]] = {
    **{module: {"errors"} for module in GROUND},
    "chat": set(),
    "wire": {"chat", "limits"},
    "auth": {"chat", "errors", "limits", "private"},
    "log": {"chat", "errors", "limits", "private", "worker"},
    "live": {"chat", "wire", "auth", "log", *GROUND},
    "client": {"chat", "wire", *GROUND},
    "conformance": {"chat", "wire", "client", *GROUND},
    "settings": {"errors", "limits"},
    "server": {"chat", "wire", "auth", "log", "live", "settings", *GROUND},
    "admin": {"chat", "auth", "log", "settings", *GROUND},
    "cli": {"admin", "chat", "log", "server", "settings", *GROUND},
    "__init__": {"chat", "live", "server", "settings", *GROUND},
    "__main__": {"cli"},
}
HOME: dict[str, set[str]] = {  # what only these rooms may import
    "h11": {"wire/http1.py"},
    "wsproto": {"wire/websocket.py", "wire/websocket_client.py"},
    "ssl": {"wire/tls.py", "live/certificates.py", "client/client.py", "client/requests.py", "conformance/__main__.py"},
    "sqlite3": {
        f"log/{module}.py" for module in ("account_table", "migrations", "reader", "rows", "sqlite", "verify", "writer")
    },
    "hmac": {"auth/jwt.py"},
}
IMPURE = {"asyncio", "socket", "time", "threading", "concurrent", "select", "os", "random", "secrets", "logging"}


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE), ast.parse(path.read_text("utf-8"))


def room_of(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def imports(path: Path, tree: ast.Module) -> Iterator[str]:
    """Absolute names of what a module imports when it runs."""
    for node in tree.body:
        yield from _imports(path, node)


def _imports(path: Path, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        if not node.level:
            assert node.module is not None
            yield node.module
            return
        base = ["gochatsecure", *path.parts[:-1]][: len(path.parts) - node.level + 1]
        if node.module is not None:
            yield ".".join([*base, node.module])
        else:
            yield from (".".join([*base, alias.name]) for alias in node.names)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _imports(path, child)


class Floors(unittest.TestCase):
    def test_arrows_run_downwards_only(self) -> None:
        for path, tree in modules():
            room = room_of(path)
            for name in imports(path, tree):
                if name.startswith("gochatsecure."):
                    other = name.split(".")[1]
                    with self.subTest(f"{path} imports {name}"):
                        self.assertTrue(other == room or other in MAY_IMPORT[room])

    def test_every_room_is_on_the_plan(self) -> None:
        self.assertEqual({room_of(path) for path, _ in modules()}, set(MAY_IMPORT))

    def test_nothing_but_the_standard_library_h11_and_wsproto_is_imported(self) -> None:
        for path, tree in modules():
            for name in imports(path, tree):
                top = name.partition(".")[0]
                with self.subTest(f"{path} imports {name}"):
                    self.assertTrue(top in sys.stdlib_module_names or top in ("gochatsecure", "h11", "wsproto"))

    def test_what_has_one_home_is_imported_nowhere_else(self) -> None:
        for path, tree in modules():
            for name in imports(path, tree):
                homes = HOME.get(name.partition(".")[0])
                with self.subTest(f"{path} imports {name}"):
                    self.assertTrue(homes is None or path.as_posix() in homes)

    def test_the_pure_rooms_neither_wait_nor_know_the_time(self) -> None:
        for path, tree in modules():
            if room_of(path) not in ("chat", "wire"):
                continue
            waits = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
            impure = {name.partition(".")[0] for name in imports(path, tree)} & IMPURE
            with self.subTest(path):
                self.assertEqual((waits, impure), ([], set()))

    def test_modules_open_with_their_law(self) -> None:
        for path, tree in modules():
            if path.name not in ("version.py",):
                with self.subTest(path):
                    self.assertTrue(ast.get_docstring(tree))

    def test_no_module_outgrows_an_afternoon(self) -> None:
        for path, _ in modules():
            with self.subTest(path):
                self.assertLessEqual(len((PACKAGE / path).read_text("utf-8").splitlines()), 420)


class TheLibrarysManners(unittest.TestCase):
    """It never touches signals, logging configuration, the working directory or the process: the command line does."""

    FORBIDDEN = frozenset({"signal", "basicConfig", "chdir", "exit", "_exit", "add_signal_handler", "print", "freeze"})

    def test_what_a_library_must_not_do_stands_in_the_command_line_alone(self) -> None:
        for path, tree in modules():
            if room_of(path) in ("admin", "cli") or path.stem == "__main__":
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                    with self.subTest(f"{path}:{node.lineno}"):
                        self.assertNotIn(called, self.FORBIDDEN)

    def test_macs_are_compared_in_one_place(self) -> None:
        places = [
            path.as_posix()
            for path, tree in modules()
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr == "compare_digest"
        ]
        self.assertEqual(places, ["auth/jwt.py"])


class TheTests(unittest.TestCase):
    def test_they_mirror_the_house(self) -> None:
        """Each room has its tests in the folder, or the file, of its name."""
        for room in ("chat", "client", "conformance", "wire", "auth", "log", "live"):
            self.assertTrue(list((ROOT / "tests" / room).glob("test_*.py")), room)
        for module in ("admin", "cli", "journal", "private", "server", "settings", "worker"):
            self.assertTrue((ROOT / "tests" / f"test_{module}.py").is_file(), module)
