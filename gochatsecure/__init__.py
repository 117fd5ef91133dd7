"""GoChatSecure: a self-hosted secure chat server whose whole stack can be read."""

from .version import __version__ as __version__  # isort: skip - the parts below ask for it
from .chat.model import Identity, Role
from .errors import AddressError, CertificateError, KeyFileError, OperatorError, SettingsError, StoreError
from .limits import Limits
from .live.hooks import Handshake
from .server import ChatServer
from .settings import Settings

__all__ = [
    "AddressError",
    "CertificateError",
    "ChatServer",
    "Handshake",
    "Identity",
    "KeyFileError",
    "Limits",
    "OperatorError",
    "Role",
    "Settings",
    "SettingsError",
    "StoreError",
    "__version__",
]
