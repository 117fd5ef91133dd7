"""The other end: a client that keeps the client's side of the delivery contract."""

from __future__ import annotations

from .client import ChatClient
from .errors import ClientError, ConnectionRefused, HistoryFork, RequestRefused
from .requests import change_password, refresh, register, sign_in, sign_out

__all__ = [
    "ChatClient",
    "ClientError",
    "ConnectionRefused",
    "HistoryFork",
    "RequestRefused",
    "change_password",
    "refresh",
    "register",
    "sign_in",
    "sign_out",
]
