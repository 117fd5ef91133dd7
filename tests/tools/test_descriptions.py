"""The descriptions for other people's tools are what their standards say; `test_pages` holds them up to date."""

from __future__ import annotations

import json
import unittest
from importlib.util import find_spec
from typing import Any

from gochatsecure.chat.table import BY_OP
from gochatsecure.conformance.shapes import EVENTS
from tools import descriptions


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


class Descriptions(unittest.TestCase):
    def test_every_reference_leads_somewhere(self) -> None:
        for make in (descriptions.schemas, descriptions.asyncapi, descriptions.openapi):
            document = json.loads(make())
            found = references(document)
            self.assertTrue(found)
            for reference in found:
                with self.subTest(make.__name__, reference=reference):
                    place = document
                    for step in reference.removeprefix("#/").split("/"):
                        place = place[step]

    def test_every_request_and_event_is_described(self) -> None:
        asyncapi = json.loads(descriptions.asyncapi())
        self.assertEqual(set(asyncapi["operations"]), {*BY_OP, "events"})
        told = {name.removeprefix("event.") for name in asyncapi["channels"]["session"]["messages"] if "event." in name}
        self.assertEqual(told, set(EVENTS))

    @unittest.skipUnless(find_spec("jsonschema"), "this test needs the jsonschema library: pip install jsonschema")
    def test_the_schemas_are_schemas(self) -> None:
        import jsonschema

        jsonschema.Draft202012Validator.check_schema(json.loads(descriptions.schemas()))

    @unittest.skipUnless(
        find_spec("openapi_spec_validator"), "this test needs a library: pip install openapi-spec-validator"
    )
    def test_openapi_is_openapi(self) -> None:
        import openapi_spec_validator

        openapi_spec_validator.validate(json.loads(descriptions.openapi()))
