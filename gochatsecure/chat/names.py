"""One name, one string: sign-in, routing, history and bans compare canonical names only (NAME-1).

canonical(canonical(x)) == canonical(x). A name is NFC, case-folded, in one writing system, and holds no sign
that a command, log or terminal gives a meaning to (RFC 8265 UsernameCaseMapped, UTS 39 "highly restrictive").
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


RESERVED = _words("admin administrator root system server moderator support everyone all here gochatsecure")


class InvalidName(ValueError):
    """str() is one sentence for the person who typed the name: cause and mend, never the name itself."""


def canonical_user(name: str) -> str:
    """The one form of a user's name, 1 to 32 characters; raises InvalidName."""
    return _canonical(name, 32, _RESERVED_LOOKS)


def canonical_room(name: str) -> str:
    """The one form of a room's name, 1 to 64 characters; raises InvalidName."""
    return _canonical(name, 64, frozenset())


@lru_cache(maxsize=4096)  # asked several times for each session
def skeleton(name: str) -> str:
    """Equal for two canonical names that look alike; for comparison only, no name itself."""
    bare = unicodedata.normalize("NFD", name).translate(_LOOKS)
    # i and j draw their own dot over U+0307, and an l under it reads as an i: the hidden dot of UTS 39.
    bare = re.sub("([ij][\u0316-\u0333]*)\u0307", r"\1", bare).replace("l\u0307", "i")
    return unicodedata.normalize("NFD", bare)


# UTS 39 confusables.txt, the part that accepted names reach: what it looks like, then the code points that do
# (glyphs mislead the reader, too). Also look-alikes of capitals, and the small capitals к м т, which that
# file keeps apart from k m t. Diacritics stay: é is not e.
_CONFUSABLE: Final = """
- 30fc 3127 4e00 | . 660 6f0 | 3 437 | 4 13ce | 6 431 13ee | 8 223 9ea a6a | 9 9ed a67 b68 d6d
a 251 3b1 430 13aa a4ee | b 185 44c 13cf 13f4 a4d0 | c 441 13df 2ca5 a4da | d 501 13a0 13e7 a4d2 a4d3
e 435 4bd 13ac a4f0 | f 584 1e9d a4dd | g 18d 261 581 13c0 13f3 a4d6 | h 4bb 570 13bb 13c2 a4e7
i 131 269 3b9 456 13a5 a4f2 a647 | j 237 3f3 458 13ab a4d9 | k 138 3ba 43a 13e6 2c95 a4d7
l 31 4cf 661 6f1 13de 4e28 a4e1 | n 578 57c a4e0
o 30 3bf 3c3 43e 585 665 6f5 966 9e6 a66 ae6 b66 be6 c66 ce6 d66 e50 ed0 101d 1040 10ff 2c9f a4f3
p 1bf 3c1 440 13e2 2ca3 a4d1 | q 51b 563 566 | r 433 13a1 13d2 2c85 a4e3 | rn 6d 43c 13b7 a4df
s 1bd 455 13d5 13da a4e2 | t 3c4 442 13a2 a4d4 | u 28b 3c5 57d a4f4 | v 3bd 475 13d9 a4e6
vv 77 26f 461 51d 561 13b3 13d4 a4ea | x 445 a4eb | y 263 3b3 443 4af 10e7 13a9 13bd 1eff a4ec
z 13c3 a4dc
\xe6 4d5 | \u0259 1dd 4d9 | \u025b 3b5 454 511 | \u0275 473 4e9 | \u0292 21d 4e1 | \u0306 30c | \u0327 326
\u0647 6be 6c1 6d5 | \u0649 64a 6cc | \u06a9 643 | \u0e40\u0e40 e41 | \u0e4d\u0e32 e33 | \u0ec0\u0ec0 ec1
\u0ecd\u0eb2 eb3 | \u30a8 5de5 | \u30ab 529b | \u30bf 5915 | \u30c8 535c | \u30cb 4e8c | \u30cf 516b
\u30d8 3078 | \u30ed 53e3 56d7
"""
_LOOKS: Final[dict[int, str]] = {0x6F0 + digit: chr(0x660 + digit) for digit in range(10)}  # of Persian
for _entry in re.split(r"[|\n]", _CONFUSABLE.strip()):
    _look, *_points = _entry.split()
    _LOOKS.update((int(point, 16), _look) for point in _points)
_RESERVED_LOOKS: Final = frozenset(map(skeleton, RESERVED))

_PLAIN: Final = re.compile(r"[a-z0-9](?:[a-z0-9_.-]*[a-z0-9_-])?")
_KINDS: Final = _words("Ll Lu Lo Lm Nd Mn Mc")  # Lu: Cherokee folds to its capitals
_SPARED: Final = "\u0587\u0e33\u0eb3"  # compatibility characters of everyday Armenian, Thai and Lao
_ODD: Final = re.compile(  # what draws nothing, stretches or strikes out a word, or is a phonetic sign
    "[\u01c0-\u01c3\u0262\u026a\u0274\u0280\u028f\u0294-\u02ff\u0334-\u0338\u034f\u0640\u07fa\u1100-\u11ff\u17b4"
    "\u17b5\u180b-\u180f\u1d00-\u1dbf\u20d0-\u20ff\u302e\u302f\ua700-\ua7ff\ua960-\ua97f\uab30-\uab6f"
    "\ud7b0-\ud7ff\ufe00-\ufe0f\U000e0000-\U000e0fff]"
)

# The stdlib lacks the Script property, but a character's name begins with its script. A name is in a writing
# system if all of its characters are; Japanese, Korean and Chinese write several scripts (UTS 39, 5.1).
_SYSTEMS: Final = {
    script: _words(systems)
    for scripts, systems in (
        ("ARABIC-INDIC EXTENDED", "ARABIC"),  # the two rows of digits
        ("BOPOMOFO", "CHINESE"),
        ("CJK IDEOGRAPHIC", "CHINESE JAPANESE KOREAN"),
        ("COMBINING", "CHINESE CYRILLIC GREEK JAPANESE KOREAN LATIN"),  # marks that follow what they stand on
        ("HANGUL", "KOREAN"),
        ("HENTAIGANA HIRAGANA KATAKANA KATAKANA-HIRAGANA", "JAPANESE"),
        ("LATIN", "CHINESE JAPANESE KOREAN LATIN"),
        ("MODIFIER VERTICAL", ""),  # signs, not letters
    )
    for script in scripts.split()
}
_TWO_WORDS: Final = _words("INSCRIPTIONAL LINEAR NEW OLD TAI")  # OLD ITALIC is not OLD PERSIAN
# These spell with up to four marks on a letter; elsewhere more than two are zalgo.
_STACKING: Final = _words("BALINESE BENGALI DEVANAGARI GURMUKHI HEBREW JAVANESE KHMER MYANMAR TIBETAN")


def _systems(char: str) -> frozenset[str]:
    first, _, rest = unicodedata.name(char, "").partition(" ")
    if first in _TWO_WORDS:
        first += " " + rest.partition(" ")[0]
    return _SYSTEMS.get(first, frozenset({first}))


@lru_cache(maxsize=4096)  # on the path of every command
def _canonical(name: str, limit: int, reserved: frozenset[str]) -> str:
    # No work on endless names; no canonical form is more than four times shorter than what was typed.
    folded = name if len(name) > 4 * limit else name.lower() if name.isascii() else _fold(name)
    if not 1 <= len(folded) <= limit:
        raise InvalidName(f"A name has 1 to {limit} characters; choose another one.")
    if not _PLAIN.fullmatch(folded):
        _check(folded)
    if skeleton(folded) in reserved:
        raise InvalidName("This name belongs to the server or looks as if it did; choose another one.")
    return folded


def _fold(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    folded = unicodedata.normalize("NFC", composed.casefold())
    for char in {*composed, *folded}.difference(_SPARED):
        if unicodedata.category(char) in _KINDS and unicodedata.normalize("NFKC", char) != char:
            raise InvalidName("The name has a full-width or styled letter; write it with plain letters.")
    return folded


def _check(name: str) -> None:
    kinds = [unicodedata.category(char) for char in name]
    if not all(kind in _KINDS or char in "_-." for kind, char in zip(kinds, name, strict=True)):
        raise InvalidName("A name is made of letters, digits and '_', '-', '.'; leave all other signs out.")
    if _ODD.search(name):
        raise InvalidName("The name has an invisible or phonetic sign; write it with plain letters.")
    if kinds[0][0] not in "LN" or name[-1] == ".":
        raise InvalidName("A name begins with a letter or digit and ends in no dot; change that end.")
    systems = None
    for char in name:
        if char.isalpha() or not char.isascii():
            systems = _systems(char) if systems is None else systems & _systems(char)
    if systems is not None and not systems:
        raise InvalidName("The name mixes scripts, whose letters look alike; write it in one script.")
    if len({ord(char) - unicodedata.decimal(char) for char in name if char.isdecimal()}) > 1:
        raise InvalidName("The name mixes digits of two systems; write all of them in one.")
    marks = 4 if systems and systems & _STACKING else 2
    shape = "".join(kind[0] for kind in kinds)
    twice = any(a == b and kind == "Mn" for a, b, kind in zip(name, name[1:], kinds, strict=False))
    if twice or not re.fullmatch(rf"(?:LM{{0,{marks}}}|N|P)+", shape):
        raise InvalidName("The name has a mark without a letter or too many on one; leave it out.")
    drift = [unicodedata.bidirectional(char) for char in name]
    if {"R", "AL", "AN"} & {*drift}:  # the Bidi Rule, RFC 5893: else the name reorders the text around it
        last = next(way for way in reversed(drift) if way != "NSM")
        if drift[0] not in ("R", "AL") or last not in ("R", "AL", "AN", "EN"):
            raise InvalidName("A right-to-left name begins with a letter, ends in no '_' or '-'; change it.")
