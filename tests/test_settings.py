"""Settings: a flag beats the environment, that a file, that a default; what cannot be is said in one line."""

from __future__ import annotations

import dataclasses
import unittest
from pathlib import Path
from typing import Any

from gochatsecure import Limits, Settings, SettingsError
from gochatsecure.settings import gather
from tests.support import temporary_folder


def config(text: str) -> Path:
    path = temporary_folder() / "chat.toml"
    path.write_text(text)
    return path


class Defaults(unittest.TestCase):
    def test_the_originals_defaults_are_kept(self) -> None:
        settings = Settings()
        self.assertEqual((settings.addr, settings.cert, settings.key),
                         ("localhost:8080", Path("server.crt"), Path("server.key")))  # fmt: skip

    def test_the_database_and_the_key_live_in_the_data_folder(self) -> None:
        self.assertEqual(Settings().store_path(), Path("data/chat.db"))
        self.assertEqual(Settings(data=Path("/var/lib/chat")).store_path(), Path("/var/lib/chat/chat.db"))
        self.assertEqual(Settings(data=Path("/var/lib/chat")).key_path(), (Path("/var/lib/chat/signing.key"), True))

    def test_a_store_of_its_own_is_not_in_the_data_folder(self) -> None:
        self.assertEqual(Settings(store="sqlite:other.db").store_path(), Path("other.db"))
        self.assertIsNone(Settings(store="memory:").store_path())
        self.assertEqual(Settings(secret_file=Path("my.key")).key_path(), (Path("my.key"), False))

    def test_settings_cannot_be_changed(self) -> None:
        with self.assertRaises(dataclasses.FrozenInstanceError):
            Settings().addr = "elsewhere:1"  # type: ignore[misc]


class Precedence(unittest.TestCase):
    def test_flag_beats_environment_beats_file_beats_default(self) -> None:
        file = config('history = 1\nmessage-rate = 1.5\nmax-connections = 1\nlog-format = "json"\n')
        environment = {"GOCHATSECURE_HISTORY": "2", "GOCHATSECURE_MESSAGE_RATE": "2", "HISTORY": "9"}
        settings = gather({"history": "3"}, environment, file)
        self.assertEqual(
            (settings.history, settings.message_rate, settings.max_connections, settings.sign_in_rate),
            (3, 2.0, 1, Settings().sign_in_rate),
        )

    def test_a_file_may_write_names_in_both_ways(self) -> None:
        self.assertEqual(gather({}, {}, config("max_connections = 7")).max_connections, 7)
        self.assertEqual(gather({}, {}, config("max-connections = 7")).max_connections, 7)

    def test_origins_come_as_a_list_or_with_commas(self) -> None:
        wanted = ("https://a.example", "https://b.example:8443")
        self.assertEqual(gather({"origin": "https://A.example, https://b.example:8443"}, {}, None).origin, wanted)
        self.assertEqual(gather({}, {}, config(f"origin = {list(wanted)}")).origin, wanted)

    def test_host_names_come_as_a_list_and_in_lower_case(self) -> None:
        self.assertEqual(
            gather({"host": "A.example, [::1],10.0.0.1"}, {}, None).host, ("a.example", "[::1]", "10.0.0.1")
        )

    def test_networks_come_as_a_list_and_each_in_its_one_form(self) -> None:
        wanted = ("127.0.0.1/32", "10.0.0.0/8", "::1/128")
        self.assertEqual(gather({"metrics": "127.0.0.1, 10.0.0.0/8,0:0::1"}, {}, None).metrics, wanted)
        self.assertEqual(gather({}, {}, config(f"metrics = {list(wanted)}")).metrics, wanted)
        self.assertEqual(gather({}, {"GOCHATSECURE_METRICS": ""}, None).metrics, ())

    def test_limits_come_from_the_file(self) -> None:
        settings = gather({}, {}, config("[limits]\ntext = 100\nping_s = 5"))
        self.assertEqual(settings.limits, Limits(text=100, ping_s=5))


class Addresses(unittest.TestCase):
    def test_all_forms(self) -> None:
        for addr, parts in (
            ("localhost:8080", ("localhost", 8080)),
            (":8443", ("", 8443)),
            ("0.0.0.0:0", ("0.0.0.0", 0)),
            ("[::1]:8443", ("::1", 8443)),
        ):
            with self.subTest(addr):
                self.assertEqual(Settings(addr=addr).host_and_port(), parts)

    def test_what_is_no_address_is_refused(self) -> None:
        for addr in ("localhost", "8080", "localhost:", "localhost:http", "localhost:65536", "::1:80", "a:-1", "a:²"):
            with self.subTest(addr), self.assertRaisesRegex(SettingsError, "HOST:PORT"):
                Settings(addr=addr)


class Refusals(unittest.TestCase):
    def assertRefused(self, wanted: str, flags: dict[str, str] | None = None, file: str | None = None) -> None:
        with self.assertRaisesRegex(SettingsError, wanted) as caught:
            gather(flags or {}, {}, None if file is None else config(file))
        self.assertNotIn("\n", str(caught.exception))

    def test_each_says_where_and_what(self) -> None:
        self.assertRefused("^-history: not a whole number from 0 on; the default is 20", {"history": "many"})
        self.assertRefused("^-history: ", {"history": "-1"})
        self.assertRefused("^-history: ", {"history": "1.5"})
        self.assertRefused("^-message-rate: not a number", {"message_rate": "nan"})
        self.assertRefused("^-message-rate: ", {"message_rate": "inf"})
        self.assertRefused("^-sign-in: .*open or accounts or external", {"sign_in": "maybe"})
        self.assertRefused("^-durability: .*power or process", {"durability": "none"})
        self.assertRefused("^-store: .*sqlite:PATH or memory:", {"store": "postgres://x"})
        self.assertRefused("^-store: ", {"store": "sqlite:"})
        self.assertRefused("^-origin: not an origin", {"origin": "https://a.example/path"})
        self.assertRefused("^-origin: not an origin", {"origin": "*"})
        self.assertRefused("^-host: not a host name", {"host": "chat.example.org:8443"})
        self.assertRefused("^-host: not a host name", {"host": "*.example.org"})
        self.assertRefused("^-metrics: not an address or a network; write it as 127", {"metrics": "localhost"})
        self.assertRefused("^-metrics: not an address or a network", {"metrics": "10.0.0.0/33"})
        self.assertRefused("^-metrics: .*for all of that network write 10.0.0.0/8", {"metrics": "::1,10.1.2.3/8"})
        self.assertRefused("chat.toml: metrics: not a list", file="metrics = 127")
        self.assertRefused("^-cert: ", {"cert": ""})
        self.assertRefused("chat.toml: nosuch: there is no such setting", file="nosuch = 1")
        self.assertRefused("chat.toml: history: ", file='history = "x"')
        self.assertRefused("chat.toml: history: ", file="history = true")
        self.assertRefused("chat.toml: addr: ", file="addr = 8080")
        self.assertRefused("chat.toml: cannot be read", file="history = ")
        self.assertRefused("limits.nosuch: there is no such limit", file="[limits]\nnosuch = 1")
        self.assertRefused("limits.text: not ", file="[limits]\ntext = 0")
        self.assertRefused("limits.text: not ", file="[limits]\ntext = 1.5")

    def test_a_missing_file_is_named(self) -> None:
        with self.assertRaisesRegex(SettingsError, "nosuch.toml: cannot be read"):
            gather({}, {}, Path("nosuch.toml"))

    def test_the_environment_is_named(self) -> None:
        with self.assertRaisesRegex(SettingsError, "^GOCHATSECURE_HISTORY: "):
            gather({}, {"GOCHATSECURE_HISTORY": "x"}, None)

    def test_an_embedder_gets_the_same_checks(self) -> None:
        for fields in ({"history": -1}, {"history": "x"}, {"sign_in": "x"}, {"store": 5}, {"message_rate": None}):
            wrong: dict[str, Any] = dict(fields)
            with self.subTest(wrong), self.assertRaises(SettingsError):
                Settings(**wrong)
