"""The table of HTTP requests is what the server's own routes are."""

from __future__ import annotations

from gochatsecure.conformance.http import PROBLEM, ROUTES
from gochatsecure.conformance.schemas import schema_of
from gochatsecure.conformance.validate import faults
from tests.support import ServerTestCase, request


class TheTable(ServerTestCase):
    async def test_every_path_its_methods_and_parameters(self) -> None:
        server = await self.start()
        assert server._routes is not None
        known = {
            (path, method, tuple(sorted(route.parameters)))
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
        token = (await request(server, "/auth?username=alice")).json()["token"]
        for route in ROUTES:
            for answer in route.answers[:1]:
                if answer.body is None:
                    continue
                query = "?username=alice" if route.path == "/auth" else ""
                found = await request(
                    server, route.path + query, method=route.methods[0], headers=[f"Authorization: Bearer {token}"]
                )
                with self.subTest(route.path):
                    self.assertEqual(found.status, answer.status)
                    self.assertEqual(faults(found.json(), schema_of(answer.body), {}, strict=True), [])

    async def test_a_problem_is_of_its_shape(self) -> None:
        found = await request(await self.start(), "/nowhere")
        self.assertEqual(faults(found.json(), schema_of(PROBLEM), {}, strict=True), [])
