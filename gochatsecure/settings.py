"""Every setting of a server, once: flags, environment variables, TOML keys, help and docs come from these fields."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from .errors import SettingsError
from .limits import Limits

_HOST = re.compile(r"(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.%a-z]+\])?")
_UNNAMED = {"host": "any name", "origin": "our own address", "metrics": "nobody"}  # what an empty list means
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)


def _setting(default: Any, value: str | tuple[str, ...], help: str) -> Any:
    """A field that is a setting: what its value is called, or which values there are, and what it is for."""
    return field(default=default, metadata={"value": value, "help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one server is set up. Values are checked on construction: SettingsError says what to mend."""

    addr: str = _setting("localhost:8080", "HOST:PORT", "where to listen; :PORT is all interfaces, port 0 any free one")
    cert: Path = _setting("server.crt", "FILE", "certificate, PEM, with its chain")
    key: Path = _setting("server.key", "FILE", "the certificate's private key, PEM, mode 600")
    data: Path = _setting("data", "DIR", "folder of the signing key and the database")
    store: str = _setting("sqlite:DATA/chat.db", "URL", "where messages go: sqlite:PATH, or memory: to forget them")
    secret_file: Path = _setting("DATA/signing.key", "FILE", "signing keys, a line each; this one is made if missing")
    history: int = _setting(20, "N", "messages shown on joining a room")
    sign_in: str = _setting(
        "open", ("open", "accounts", "external"), "guests and registered names; these alone; tokens made elsewhere"
    )
    register: str = _setting("open", ("open", "closed"), "who registers names: anybody, or the operator alone")
    host: tuple[str, ...] = _setting((), "NAME,...", "names that may be asked for, as chat.example.org; others get 421")
    origin: tuple[str, ...] = _setting((), "ORIGIN,...", "pages that may connect, as https://chat.example.org")
    durability: str = _setting("power", ("power", "process"), "what a sent message survives the loss of")
    message_rate: float = _setting(10.0, "N", "commands a second and identity, bursts of five times that; 0: no limit")
    sign_in_rate: float = _setting(60.0, "N", "sign-ins a minute and address; 0: no limit")
    max_connections: int = _setting(10_000, "N", "connections at a time; 0: no limit")
    max_connections_per_address: int = _setting(
        200, "N", "connections at a time from one address; 0: no limit, nor one on how fast they come"
    )
    metrics: tuple[str, ...] = _setting((), "NETWORK,...", "who may read /metrics, as 127.0.0.1,10.0.0.0/8,::1")
    log_format: str = _setting("text", ("text", "json"), "how log lines are written")
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for item in fields(self):
            if item.name != "limits":
                object.__setattr__(self, item.name, _checked(item, getattr(self, item.name), f"-{flag_of(item.name)}"))
        self.host_and_port()
        self.store_path()

    def host_and_port(self) -> tuple[str, int]:
        """`addr` in parts; the host is "" for all interfaces. Raises SettingsError."""
        host, colon, port = self.addr.rpartition(":")
        if not colon or not _HOST.fullmatch(host) or not (port.isascii() and port.isdigit()) or int(port) > 65535:
            raise SettingsError("-addr: not HOST:PORT", "write it as localhost:8080, 0.0.0.0:8443, [::1]:8443 or :8443")
        return host.strip("[]"), int(port)

    def store_path(self) -> Path | None:
        """The database file; None for a server that forgets. Raises SettingsError."""
        if self.store == "memory:":
            return None
        kind, _, path = self.store.partition(":")
        if kind != "sqlite" or not path:
            raise SettingsError("-store: not a store", "use sqlite:PATH or memory:")
        return self._in_data(Path(path))

    def key_path(self) -> tuple[Path, bool]:
        """The file of signing keys, and whether it is the default one, which is made if missing."""
        default = self.secret_file == Path("DATA/signing.key")
        return self._in_data(self.secret_file), default

    def _in_data(self, path: Path) -> Path:
        return self.data / Path(*path.parts[1:]) if path.parts[:1] == ("DATA",) else path


def flag_of(name: str) -> str:
    return name.replace("_", "-")


def default_of(item: dataclasses.Field[Any]) -> str:
    """A setting's default, as people are told it."""
    if isinstance(item.default, float):
        return f"{item.default:g}"
    return str(item.default or _UNNAMED[item.name])


def gather(flags: Mapping[str, str], environment: Mapping[str, str], config: Path | None) -> Settings:
    """Settings from texts: a flag beats the environment, that beats the TOML file, that the default.

    `flags` is keyed by field name. Raises SettingsError.
    """
    known = {item.name: item for item in fields(Settings) if item.name != "limits"}
    values: dict[str, Any] = _from_toml(config, known) if config is not None else {}
    for name, item in known.items():
        variable = "GOCHATSECURE_" + name.upper()
        if variable in environment:
            values[name] = _checked(item, environment[variable], variable)
        if name in flags:
            values[name] = _checked(item, flags[name], f"-{flag_of(name)}")
    return Settings(**values)


def _from_toml(path: Path, known: Mapping[str, dataclasses.Field[Any]]) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}", "mend the file, or name another with -config") from None
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name == "limits":
            values[name] = _limits(path, value)
        elif name in values:
            raise SettingsError(f"{path}: {key}: is set twice", "leave one of the two out")
        elif name in known:
            values[name] = _checked(known[name], value, f"{path}: {key}")
        else:
            raise SettingsError(f"{path}: {key}: there is no such setting", "gochatsecure -help lists them")
    return values


def _limits(path: Path, table: Any) -> Limits:
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: limits: not a table", "write [limits] and below it NAME = NUMBER")
    known = {item.name: item for item in fields(Limits)}
    numbers: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise SettingsError(f"{path}: limits.{name}: there is no such limit", "gochatsecure/limits.py has them all")
        numbers[name] = _number(known[name], value, f"{path}: limits.{name}")
        if numbers[name] == 0:
            raise SettingsError(f"{path}: limits.{name}: not above 0", f"the default is {known[name].default:g}")
    return Limits(**numbers)


def _checked(item: dataclasses.Field[Any], value: Any, where: str) -> Any:
    """The value in the field's own type, from a text or from that type. Raises SettingsError naming `where`."""
    choices = item.metadata["value"]
    if item.type == "tuple[str, ...]":
        listed = value.split(",") if isinstance(value, str) else value
        check = {"host": _host_name, "origin": _origin, "metrics": _network}[item.name]
        if not isinstance(listed, list | tuple):
            raise SettingsError(f"{where}: not a list", "write it as A,B or, in a file, as ['A', 'B']")
        return tuple(check(str(one).strip(), where) for one in listed if str(one).strip())
    if item.type in ("int", "float"):
        return _number(item, value, where)
    if not isinstance(value, str | Path) or not str(value):
        raise SettingsError(f"{where}: not a text", f"the default is {item.default}")
    if isinstance(choices, tuple) and value not in choices:
        raise SettingsError(f"{where}: there is no such choice", f"use {' or '.join(choices)}")
    return Path(value) if item.type == "Path" else str(value)


def _number(item: dataclasses.Field[Any], value: Any, where: str) -> float:
    number = math.nan
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = int(value) if item.type == "int" and not isinstance(value, float) else float(value)
        except ValueError:
            pass
    if not 0 <= number < 1e9 or (item.type == "int" and not isinstance(number, int)):
        whole = "a whole number" if item.type == "int" else "a number"
        raise SettingsError(f"{where}: not {whole} from 0 on", f"the default is {item.default:g}")
    return number


def _host_name(text: str, where: str) -> str:
    if not _HOST.fullmatch(text) or not text:
        raise SettingsError(f"{where}: not a host name", "write the name alone, without a port, as chat.example.org")
    return text.lower()


def _origin(text: str, where: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise SettingsError(f"{where}: not an origin", "write scheme, host and port alone, as https://chat.example.org")
    return text.lower()


def _network(text: str, where: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        mend = "write it as 127.0.0.1, 10.0.0.0/8 or ::1"
        if str(error).endswith("has host bits set"):
            mend = f"for all of that network write {ip_network(text, strict=False)}"
        raise SettingsError(f"{where}: not an address or a network", mend) from None
