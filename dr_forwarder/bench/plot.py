"""Plot: what was found as one drawing (SVG): bars for comparisons, lines for curves. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from .model import SUBJECT, Comparison, Curve, Findings, Machine, spread

_WIDTH, _MARGIN = 760, 20
_NAME, _FIGURE = 130, 90
_BAR, _GAP, _HEAD = 18, 8, 40
_CURVE_HEIGHT = 240
_COLOURS = ("#b2182b", "#2166ac", "#4d9221", "#8073ac", "#e08214", "#5f5f5f", "#35978f")
"""The first is the director's, or what all others are compared with."""


@dataclass(frozen=True, slots=True)
class _Panel:
    height: int
    lines: tuple[str, ...]
    """Of SVG, from its own upper left corner."""


def drawing(machine: Machine, sections: Mapping[str, tuple[str, Findings]]) -> str:
    """A whole SVG file."""
    panels = [
        panel
        for _, findings in sections.values()
        for panel in (
            *(_bars(comparison) for comparison in findings.comparisons),
            *(_lines(curve) for curve in findings.curves),
        )
    ]
    height = _HEAD + sum(panel.height + _MARGIN for panel in panels)
    said = f"{machine.processor}, Linux {machine.kernel}, {machine.date}"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        _text(_MARGIN, 24, said, size=13),
    ]
    top = _HEAD
    for panel in panels:
        out += [f'<g transform="translate(0,{top})">', *panel.lines, "</g>"]
        top += panel.height + _MARGIN
    return "\n".join([*out, "</svg>"]) + "\n"


def _text(x: float, y: float, said: str, *, size: int = 12, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}">'
        f"{escape(said)}</text>"
    )


# ---- Bars ----


def _bars(comparison: Comparison) -> _Panel:
    """The median as a bar, least and most as a line over its end."""
    found = {name: numbers for name in comparison.values if (numbers := comparison.numbers(name))}
    most = max((max(numbers) for numbers in found.values()), default=1.0)
    better = "less is better" if comparison.less_is_better else "more is better"
    room = _WIDTH - 2 * _MARGIN - _NAME - _FIGURE
    lines = [_text(_MARGIN, 12, f"{comparison.title}, {comparison.unit} ({better})", size=13)]
    y = 24
    for name in comparison.values:
        lines.append(_text(_MARGIN + _NAME - 8, y + 13, name, anchor="end"))
        if name in found:
            colour = _COLOURS[0 if name == (comparison.base or SUBJECT) else 1]
            lines += _bar(colour, found[name], y, room / most)
        else:
            lines.append(_text(_MARGIN + _NAME, y + 13, "refused"))
        y += _BAR + _GAP
    return _Panel(y, tuple(lines))


def _bar(colour: str, numbers: Sequence[float], y: int, scale: float) -> Iterator[str]:
    all_ = spread(numbers)
    left = _MARGIN + _NAME
    yield (
        f'<rect x="{left}" y="{y}" width="{all_.median * scale:.1f}" height="{_BAR}"'
        f' fill="{colour}" fill-opacity="0.8"/>'
    )
    ends = (left + all_.least * scale, left + all_.greatest * scale)
    middle = y + _BAR / 2
    yield (
        f'<path d="M{ends[0]:.1f} {middle}H{ends[1]:.1f}M{ends[0]:.1f} {y + 4}v{_BAR - 8}'
        f'M{ends[1]:.1f} {y + 4}v{_BAR - 8}" stroke="black" fill="none"/>'
    )
    yield _text(ends[1] + 6, y + 13, f"{all_.median:,.0f}")


# ---- Lines ----


def _lines(curve: Curve) -> _Panel:
    """Both axes from zero, but for a logarithmic one."""
    points = [point for line in curve.lines.values() for point in line]
    lines = [_text(_MARGIN, 12, f"{curve.title} ({curve.y} by {curve.x})", size=13)]
    if not points:
        return _Panel(40, (*lines, _text(_MARGIN, 32, "refused")))
    left, right = _MARGIN + 50, _WIDTH - _MARGIN - 110
    top, bottom = 28, _CURVE_HEIGHT - 24
    high = _round_up(max(y for _, y in points))
    low_x, high_x = _range([x for x, _ in points], logarithmic=curve.logarithmic)

    def place(x: float, y: float) -> tuple[float, float]:
        along = math.log10(x) if curve.logarithmic else x
        share = (along - low_x) / (high_x - low_x)
        return left + share * (right - left), bottom - y / high * (bottom - top)

    lines.append(f'<path d="M{left} {top}V{bottom}H{right}" stroke="black" fill="none"/>')
    for share in (0, 0.5, 1):
        x, y = left + share * (right - left), bottom - share * (bottom - top)
        along = low_x + share * (high_x - low_x)
        shown = 10**along if curve.logarithmic else along
        lines.append(_text(left - 6, y + 4, f"{high * share:,.0f}", anchor="end"))
        lines.append(_text(x, bottom + 16, f"{shown:,.0f}", anchor="middle"))
    for number, (name, line) in enumerate(curve.lines.items()):
        lines += _line(name, [place(x, y) for x, y in line], number, right + 12)
    return _Panel(_CURVE_HEIGHT, tuple(lines))


def _range(xs: Sequence[float], *, logarithmic: bool) -> tuple[float, float]:
    low, high = (math.log10(min(xs)), math.log10(max(xs))) if logarithmic else (0.0, max(xs))
    return low, high if high > low else low + 1


def _round_up(value: float) -> float:
    """To one, two or five and zeros."""
    power: float = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value)


def _line(
    name: str, points: Sequence[tuple[float, float]], number: int, legend: float
) -> Iterator[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{way}" stroke="{colour}" stroke-width="2" fill="none"/>'
    for x, y in points:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
    yield f'<rect x="{legend}" y="{28 + 18 * number}" width="12" height="12" fill="{colour}"/>'
    yield _text(legend + 18, 38 + 18 * number, name)
