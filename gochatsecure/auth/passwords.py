"""What proves that a registered name is one's own: a password, kept as its scrypt hash (RFC 7914). Slow by intent.

A record is `scrypt$N$R$P$SALT$HASH`, N as a power of two, salt and hash in hexadecimal digits. It carries its
parameters, so that they can be raised: who signs in with a record of others gets a new one.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from ..chat.names import skeleton
from .jwt import same

MIN_LENGTH = 8  # characters (ID-5): NIST SP 800-63B 5.1.1.2
MAX_LENGTH = 1024  # bytes (ID-5): more is no password, and would cost time
SALT = 16  # bytes (ID-1): NIST SP 800-132 5.1
_HASH = 32  # bytes
_MAX_MEMORY = 64 * 1024 * 1024  # bytes (ID-1): these parameters take 32 MiB, OpenSSL's default bound


class Parameters(NamedTuple):
    """What one hash costs: memory 128 x 2^n x r bytes, time that times p."""

    n: int
    r: int
    p: int


PARAMETERS = Parameters(15, 8, 3)  # ID-1: OWASP Password Storage Cheat Sheet, one of its equal choices: 32 MiB


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


COMMON = _words(
    """
    00000000 01234567 0123456789 0987654321 10203040 11111111 111111111 1111111111 11223344 12121212 123123123
    12341234 123454321 12345678 123456789 1234567890 123456789a 12345678910 1234567a 1234abcd 123qweasd 12qwaszx
    147258369 159753456 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx 1qazxsw2 22222222 55555555 66666666 77777777
    87654321 88888888 987654321 9876543210 99999999 a1234567 a12345678 a123456789 aa123456 aa12345678 abc12345
    abcd1234 abcdefgh abcdefghi access14 adminadmin administrator alexander arsenal1 asdf1234 asdfasdf asdfghjk
    asdfghjkl barcelona baseball baseball1 basketball batman123 benjamin bigdaddy blink182 butterfly california
    caroline changeme changeme1 charlie1 charlotte chatserver chelsea1 chocolate christian computer computer1
    consumer corvette counter1 danielle dearbook december dragon123 einstein elephant elizabeth estrella fernando
    football football1 fortnite fuckyou1 garfield gateway1 ghbdtn123 godzilla google123 hello123 helloworld
    hunter123 iloveyou iloveyou1 iloveyou2 india123 infinity internet jennifer jessica1 johnjohn jonathan jordan23
    juventus klaster1 letmein1 letmein123 liverpool liverpool1 lovelove lovely123 marlboro master123 maverick
    mercedes metallica michael1 michelle midnight minecraft monkey123 mustang1 mypassword myspace1 naruto123
    newcastle nicholas november p@ssw0rd p@ssword pa55word pakistan pass1234 passw0rd password password! password1
    password1! password12 password123 password1234 patricia peterpan pokemon1 pokemon123 porsche1 princess
    princess1 q1w2e3r4 q1w2e3r4t5 qazwsxedc qazxswedc qq123456 qwaszx12 qwer1234 qwerasdf qwerqwer qwert123
    qwerty12 qwerty123 qwerty1234 qwerty12345 qwertyui qwertyuiop rangers1 rockstar sample123 samantha samsung1
    scorpion security september services shadow123 slipknot snickers snowball softball spiderman starwars
    starwars1 steelers stephanie sterling student1 summer2024 summer2025 sunflower sunshine sunshine1 superman
    superman1 superstar target123 test1234 testtest thailand tinkerbell trustno1 unknown1 valentina vanessa1
    veronica victoria w1985198 welcome1 welcome123 westside whatever william1 willow123 winter2024 winter2025
    wolverine xbox360x yamaha12 zaq12wsx zaq1zaq1 zxcvbnm1 zxcvbnm123 zxcvbnmm
    """
)  # ID-5: the most used of 8 characters and more, of the lists of leaked ones


_PADDING = "0123456789!?.-_"


class WeakPassword(ValueError):
    """str() is one sentence for who chose it: cause and mend, never the password itself."""


def check(password: str, name: str) -> None:
    """Whether this can be the password of that name. Raises WeakPassword. What it is made of is nobody's business."""
    if len(password) < MIN_LENGTH:
        raise WeakPassword(f"a password has at least {MIN_LENGTH} characters; take a few words")
    if not is_possible(password):
        raise WeakPassword(f"a password is text of at most {MAX_LENGTH} bytes; take a shorter one")
    bare = password.casefold()
    if bare in COMMON or len(set(bare)) < 3:
        raise WeakPassword("everybody would guess this password first; take a few words")
    word = skeleton(bare.strip(_PADDING) or bare)
    if word in (skeleton(name), skeleton(name.strip(_PADDING) or name)):
        raise WeakPassword("the password is the name itself; take a few words")


def is_possible(password: str) -> bool:
    """Whether anybody's password could be this one."""
    try:
        return len(password) <= MAX_LENGTH and len(password.encode()) <= MAX_LENGTH
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def record_of(password: str, salt: bytes) -> str:
    """What is kept of it. Takes a third of a second: MUST NOT be called on an event loop."""
    return _record(PARAMETERS, salt, _hash(password, salt, PARAMETERS))


def stand_in(salt: bytes, unknown: bytes) -> str:
    """A record that no password fits: for a name that nobody has, so that it is refused in the same time (ID-3)."""
    return _record(PARAMETERS, salt, hashlib.sha256(unknown).digest())


def fits(password: str, record: str) -> bool:
    """Whether the record is of this password. As slow as `record_of`. ValueError for what is no record."""
    parameters, salt, wanted = _parse(record)
    return same(_hash(password, salt, parameters), wanted)


def is_outdated(record: str) -> bool:
    return _parse(record)[0] != PARAMETERS


def _record(parameters: Parameters, salt: bytes, digest: bytes) -> str:
    return "$".join(["scrypt", *map(str, parameters), salt.hex(), digest.hex()])


def _parse(record: str) -> tuple[Parameters, bytes, bytes]:
    kind, n, r, p, salt, digest = record.split("$")
    if kind != "scrypt":
        raise ValueError("not a password record of ours")
    return Parameters(int(n), int(r), int(p)), bytes.fromhex(salt), bytes.fromhex(digest)


def _hash(password: str, salt: bytes, parameters: Parameters) -> bytes:
    n, r, p = parameters
    return hashlib.scrypt(password.encode(), salt=salt, n=1 << n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=_HASH)
