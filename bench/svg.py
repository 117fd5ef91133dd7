"""Small plots as SVG, in colours that can be read on white and on black. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH = 640
_INK, _FAINT = "#808080", "#80808040"
_COLOURS = ("#2f81f7", "#d29922", "#3fb950", "#a371f7", "#f85149")


def bars(title: str, values: Sequence[tuple[str, float, str]], strong: str) -> str:
    """One bar for each `(name, value, words)`; those whose name begins with `strong` stand out."""
    most = max(value for _, value, _ in values)
    height = 40 + 24 * len(values)
    parts = []
    for row, (name, value, words) in enumerate(values):
        y = 36 + 24 * row
        long = max(1.0, 340 * value / most)
        colour = _COLOURS[0] if name.startswith(strong) else _INK
        parts.append(_text(168, y + 13, name, "end"))
        parts.append(f'<rect x="176" y="{y}" width="{long:.1f}" height="17" fill="{colour}"/>')
        parts.append(_text(182 + long, y + 13, words))
    return _svg(title, height, parts)


def curves(title: str, across: str, up: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """One line for each name through its points, which grow by factors in both directions."""
    points = [point for line in lines.values() for point in line]
    left, right = (math.log10(x) for x in (min(points)[0], max(points)[0]))
    low = math.floor(math.log10(min(y for _, y in points)))
    high = math.ceil(math.log10(max(y for _, y in points)) + 1e-9)
    height = 300

    def place(x: float, y: float) -> tuple[float, float]:
        return 70 + 400 * (math.log10(x) - left) / (right - left), 250 - 200 * (math.log10(y) - low) / (high - low)

    parts = []
    for power in range(low, high + 1):
        y = place(10**left, 10**power)[1]
        parts.append(f'<line x1="70" x2="470" y1="{y:.1f}" y2="{y:.1f}" stroke="{_FAINT}"/>')
        parts.append(_text(62, y + 4, f"{10.0**power:g}", "end"))
    powers = range(math.ceil(left - 1e-9), math.floor(right + 1e-9) + 1)
    parts += [_text(place(10**power, 10**low)[0], 270, f"{10**power:,}", "middle") for power in powers]
    parts.append(_text(270, 290, across, "middle"))
    parts.append(_text(70, 40, up))
    for number, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for point in drawn.split():
            parts.append('<circle cx="{}" cy="{}" r="3" fill="{}"/>'.format(*point.split(","), colour))
        parts.append(f'<rect x="486" y="{60 + 22 * number}" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(504, 71 + 22 * number, name))
    return _svg(title, height, parts)


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n"
        f'<g font-family="sans-serif" font-size="12" fill="{_INK}">\n'
        f'<text x="8" y="18" font-size="13" font-weight="bold">{escape(title)}</text>\n'
    )
    return head + "\n".join(parts) + "\n</g>\n</svg>\n"
