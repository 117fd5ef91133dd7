"""The table of HTTP requests is what the server's own routes are."""

from __future__ import annotations

import json

from gochatsecure.conformance.http import PROBLEM, ROUTES
from gochatsecure.conformance.schemas import schema_of
from gochatsecure.conformance.validate import faults
from tests.support import ServerTestCase, request


class TheTable(ServerTestCase):
    async def test_every_path_its_methods_and_parameters(self) -> None:
        server = await self.start()
        assert server._routes is not None
        known = {
            (path, method, tuple(sorted(route.parameters)) if method == "GET" or not route.body else ())
            for path, route in server._routes._table.items()
            for method in route.handlers
        }
        told = {
            (route.path, method, tuple(sorted(item.name for item in route.parameters)))
            for route in ROUTES
            for method in route.methods
        }
        self.assertEqual(told, known)

    async def test_what_is_answered_is_of_its_shape(self) -> None:
        server = await self.start()
        guest = (await request(server, "/auth?username=alice")).json()["token"]
        owner = ""
        asked: dict[tuple[str, str], tuple[str, dict[str, str] | None]] = {
            ("POST", "/register"): ("/register", {"username": "ann", "password": "correct horse, battery"}),
            ("GET", "/auth"): ("/auth?username=alice", None),
            ("POST", "/auth"): ("/auth", {"username": "ann", "password": "correct horse, battery"}),
            ("POST", "/auth/password"): (
                "/auth/password",
                {"password": "correct horse, battery", "new_password": "another horse, battery"},
            ),
        }
        by_place = {(route.methods[0], route.path): route for route in ROUTES}
        for place in dict.fromkeys([*asked, *by_place]):  # in this order: first somebody has to be registered
            route = by_place[place]
            answer = route.answers[0]
            if answer.body is None:
                continue
            path, body = asked.get(place, (route.path, None))
            bearer = owner if route.path == "/auth/password" else guest
            headers = ["Content-Type: application/json"] if body is not None else []
            headers += [f"Authorization: Bearer {bearer}"] if route.bearer == "must" else []
            found = await request(
                server, path, method=place[0], headers=headers, body=b"" if body is None else json.dumps(body).encode()
            )
            with self.subTest(place):
                self.assertEqual(found.status, answer.status)
                self.assertEqual(faults(found.json(), schema_of(answer.body), {}, strict=True), [])
            owner = found.json()["token"] if route.path == "/register" else owner

    async def test_a_problem_is_of_its_shape(self) -> None:
        found = await request(await self.start(), "/nowhere")
        self.assertEqual(faults(found.json(), schema_of(PROBLEM), {}, strict=True), [])
