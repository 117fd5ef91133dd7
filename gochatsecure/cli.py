"""The command line: flags into Settings, a server, signals, log lines. All that a library must not do is done here."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import NoReturn

from . import admin
from .chat.chain import base64url
from .errors import OperatorError, SettingsError
from .journal import Happening, JSONFormatter, TextFormatter
from .log.verify import verify
from .server import ChatServer
from .settings import Settings, default_of, flag_of, gather
from .version import __version__

_VERIFY = (("verify", "is the store whole? prints every log's head"),)
_RESERVE = 64  # file descriptors for the store, the listening sockets, and connections on their way out

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a server until it is told to end, or do what else is asked. Returns the exit status: 0, or 1 for what an
    operator can mend."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = _COMMANDS.get(words[0]) if words else None
    operands: list[str] = []
    try:
        settings = _settings(words if command is None else words[1:], operands if command is not None else None)
        if settings is None:
            return 0
        if command is not None:
            return command(settings, operands)
        _configure_logging(settings)
        asyncio.run(_serve(settings))
    except OperatorError as error:
        print(f"gochatsecure: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _settings(arguments: Sequence[str], operands: list[str] | None = None) -> Settings | None:
    """What was asked for; None if it was help or the version, which is then printed. Raises SettingsError.

    Where a command takes words that are no flags, `operands` gets them."""
    parser = _Parser(prog="gochatsecure", add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for name in ("help", "version"):
        parser.add_argument(f"-{name}", f"--{name}", *(["-h"] if name == "help" else []), action="store_true")
    parser.add_argument("-config", "--config")
    for item in fields(Settings):
        if item.name != "limits":
            parser.add_argument(f"-{flag_of(item.name)}", f"--{flag_of(item.name)}", dest=item.name)
    if operands is None:
        flags = vars(parser.parse_args(arguments))
    else:
        parser.add_argument("operands", nargs="*")
        flags = vars(parser.parse_intermixed_args(arguments))
        operands += flags.pop("operands", [])
    if "help" in flags:
        print(help_text(), end="")
        return None
    if "version" in flags:
        print(f"gochatsecure {__version__}")
        return None
    config = flags.pop("config", os.environ.get("GOCHATSECURE_CONFIG"))
    return gather(flags, os.environ, Path(config) if config else None)


def _verify(settings: Settings, operands: Sequence[str]) -> int:
    """Look through the store; print its logs' heads, then what is wrong."""
    if operands:
        raise SettingsError(f"verify: what is {operands[0]}?", "name a store with -store sqlite:PATH")
    path = settings.store_path()
    if path is None:
        raise SettingsError("-store: memory: keeps nothing to verify", "name a store with -store sqlite:PATH")
    report = verify(path)
    for stream, position in sorted(report.positions.items()):
        print(f"{stream} epoch={position.epoch} seq={position.floor}-{position.last} head={base64url(position.head)}")
    for fault in report.faults:
        print(f"gochatsecure: {path}: {fault}", file=sys.stderr)
    print(f"{path}: {report.entries} entries in {len(report.positions)} logs: {len(report.faults) or 'no'} faults")
    return 1 if report.faults else 0


_COMMANDS = {"verify": _verify, **admin.COMMANDS}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(message, "gochatsecure -help lists the flags")


def help_text() -> str:
    """Every flag with its default, from the fields of Settings."""
    lines = [
        "usage: gochatsecure [flags]",
        *(f"       gochatsecure {words:<32} {meaning}" for words, meaning in (*_VERIFY, *admin.USAGE)),
        "",
        "These commands work beside a running server, which notices within a second; they take -data, -store and",
        "-secret-file as the server does. Passwords and tokens are asked for, or read from standard input.",
        "",
        "A secure chat server: TLS, signed tokens, rooms and private messages over WebSocket.",
        "",
    ]
    for item in fields(Settings):
        if item.name != "limits":
            value = item.metadata["value"]
            lines.append(f"  -{flag_of(item.name)} {'|'.join(value) if isinstance(value, tuple) else value}")
            lines.append(f"        {item.metadata['help']} (default {default_of(item)})")
    lines += [
        "  -config FILE",
        "        TOML file of settings by these names, and of [limits]; or GOCHATSECURE_CONFIG (default none)",
        "  -version, -help",
        "        say so, and end",
        "",
        "Each flag may be written -flag=x, -flag x, --flag=x or --flag x. A flag beats the environment",
        "(GOCHATSECURE_ADDR, ...), that beats the file, that beats the default.",
    ]
    return "\n".join(lines) + "\n"


def _configure_logging(settings: Settings) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JSONFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("asyncio").setLevel(logging.WARNING)


async def _serve(settings: Settings) -> None:
    ending = asyncio.Event()
    reloads: deque[asyncio.Task[None]] = deque(maxlen=8)  # the loop itself would not keep them
    loop = asyncio.get_running_loop()
    settings = _within_file_limit(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
            loop.add_signal_handler(number, _end, ending)
    async with ChatServer(settings) as server:
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, lambda: reloads.append(loop.create_task(server.reload())))
        gc.collect()
        gc.freeze()  # what is here now stays: no need to look at it again
        gc.set_threshold(10_000, 20, 10)
        with contextlib.suppress(OSError):  # nobody reads it: no reason not to serve
            print(_greeting(server), flush=True)
        await ending.wait()


def _end(ending: asyncio.Event) -> None:
    if ending.is_set():
        os._exit(1)  # asked twice: at once. What is acked is committed all the same
    ending.set()


def _within_file_limit(settings: Settings) -> Settings:
    """A connection needs a file descriptor; many systems give 1024 unless asked. No more are taken than there are."""
    if resource is None:
        return settings
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = (settings.max_connections or 1_000_000) + _RESERVE
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard > 0 else wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return settings
    most = max(1, soft - _RESERVE)
    logging.getLogger("gochatsecure").warning(Happening("few_file_descriptors", max_connections=most))
    return replace(settings, max_connections=most)


def _greeting(server: ChatServer) -> str:
    authority = server.settings.cert.with_name("ca.crt")
    cacert = f"--cacert {authority} " if authority.is_file() else ""
    ca = f"--ca {authority} " if authority.is_file() else ""
    return (
        f"GoChatSecure {__version__} at {server.url}\n"
        f"  sign in   curl {cacert}'{server.url}/auth?username=john'\n"
        f"  talk      npx wscat {ca}-c '{server.url.replace('https', 'wss', 1)}/ws?token=TOKEN&room=general'\n"
        "  end       Ctrl-C"
    )
