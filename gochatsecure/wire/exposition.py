"""Numbers as Prometheus reads them: the text exposition format 0.0.4. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]
"""Names and values. Values MUST come from a bounded set: each is kept for good by whoever scrapes it."""


class Family(NamedTuple):
    """Samples of one name, which ends with its unit, and with `_total` if it is a counter."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Mapping[Labels, float]


def exposition(families: Iterable[Family]) -> str:
    """One text of them all, a line for each sample. A family without samples is left out."""
    lines: list[str] = []
    for name, kind, about, samples in families:
        if samples:
            lines += [f"# HELP {name} {_escaped(about)}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{_labelled(labels)} {value!r}" for labels, value in samples.items()]
    return "".join(f"{line}\n" for line in lines)


def _labelled(labels: Labels) -> str:
    pairs = ",".join(f'{name}="{_escaped(value, quote=True)}"' for name, value in labels)
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str, *, quote: bool = False) -> str:
    """A quote is escaped in a label's value alone."""
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quote else text
