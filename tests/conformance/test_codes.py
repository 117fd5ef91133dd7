"""The tables of codes hold what the code says, and nothing else: both are read and compared."""

from __future__ import annotations

import ast
import typing
import unittest
from collections.abc import Iterator
from pathlib import Path

from gochatsecure.auth import jwt
from gochatsecure.conformance.codes import ERRORS, HTTP_ERRORS, LINES_ONLY
from gochatsecure.conformance.http import EVERYWHERE, ROUTES
from gochatsecure.wire import websocket
from gochatsecure.wire.closing import CLOSE_CODES
from tests.support import ROOT

PACKAGE = ROOT / "gochatsecure"
HANDED_ON = {  # where a code comes from elsewhere
    "live/desk.py",  # `refresh`: those of a TokenError
    "live/routes.py",  # likewise
    "live/sign_in.py",  # `_store`: those of the store and of who hashes
    "chat/table.py",  # `named`: it stands in its call
}


def calls(*names: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a function or class that is called so, with its file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                yield path.relative_to(PACKAGE).as_posix(), node


def constants(path: str) -> dict[str, str]:
    """The texts that a module gives names to."""
    return {
        node.targets[0].id: node.value.value
        for node in ast.parse((PACKAGE / path).read_text("utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }


def codes(place: int, *names: str) -> Iterator[tuple[str, ast.Call]]:
    """The code in each such call, where it is the argument at this place."""
    for path, call in calls(*names):
        if len(call.args) <= place:
            continue
        code = call.args[place]
        if isinstance(code, ast.Constant):
            yield str(code.value), call
        elif isinstance(code, ast.Name) and code.id in constants(path):
            yield constants(path)[code.id], call
        else:
            assert path in HANDED_ON, f"{path}:{call.lineno}: a code that no test can see"


BY_HTTP = {"sign_in_busy"}
"""Temporary ones that no session is told."""
TOKEN_CODES = set(typing.get_args(jwt.Code))


class Errors(unittest.TestCase):
    def test_every_code_of_a_frame_is_in_the_table_and_every_row_occurs(self) -> None:
        said = {code for code, _ in codes(0, "Refusal", "Temporary")} | {code for code, _ in codes(2, "named")}
        self.assertEqual(said - BY_HTTP | TOKEN_CODES, {row.code for row in ERRORS} | LINES_ONLY)

    def test_what_is_temporary_is_so_in_the_table(self) -> None:
        temporary = {code for code, _ in codes(0, "Temporary")} - BY_HTTP
        self.assertEqual(temporary, {row.code for row in ERRORS if row.temporary})

    def test_every_code_of_http_is_in_the_table_with_its_status(self) -> None:
        said = {(ast.literal_eval(call.args[0]), code) for code, call in codes(1, "HTTPError")}
        said |= {(401, code) for code in TOKEN_CODES}
        said |= {(503, code) for code in ("sign_in_busy", "store_unavailable")}  # of Temporary, by `SignIn._store`
        self.assertEqual(said, {(row.status, row.code) for row in HTTP_ERRORS})

    def test_no_code_stands_twice(self) -> None:
        self.assertEqual(len({row.code for row in ERRORS}), len(ERRORS))
        self.assertEqual(len({(row.status, row.code) for row in HTTP_ERRORS}), len(HTTP_ERRORS))

    def test_every_code_of_http_is_some_request_s(self) -> None:
        told = {code for route in ROUTES for code in route.codes} | set(EVERYWHERE)
        self.assertEqual(told - {row.code for row in HTTP_ERRORS}, set())
        self.assertEqual({row.code for row in HTTP_ERRORS} - told, {"token_refused"})  # not without an audience


class Closing(unittest.TestCase):
    def test_every_close_code_is_in_the_table(self) -> None:
        named = {
            value
            for name, value in vars(websocket).items()
            if name.isupper() and isinstance(value, int) and 1000 <= value < 5000 and not name.startswith("_")
        }
        self.assertEqual(named, set(CLOSE_CODES))

    def test_every_code_that_is_closed_with_has_a_name(self) -> None:
        for path in sorted(PACKAGE.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "close":
                    for argument in node.args[:1]:
                        with self.subTest(f"{Path(path).name}:{node.lineno}"):
                            self.assertNotIsInstance(getattr(argument, "value", None), int)
