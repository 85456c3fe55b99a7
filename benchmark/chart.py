"""A measurement as an SVG: a bar a figure, from nothing to its median, and its curves."""

from html import escape
from typing import Final

from benchmark.figures import Figure, Result

_WIDTH: Final = 960
_LINE: Final = 22
_LABEL: Final = 400
_BARS: Final = 400
_PLOT_HEIGHT: Final = 220
_COLOURS: Final = ("#3366cc", "#cc5500", "#2e8b57", "#8844aa", "#b8860b", "#aa3355")


def svg(result: Result, machine: str) -> str:
    """One kind of figure after another, each with a scale of its own, and the curves below."""
    parts: list[str] = []
    top = 64
    for what in dict.fromkeys(figure.what for figure in result.figures):
        figures = [figure for figure in result.figures if figure.what == what]
        parts.append(_text(20, top, what, weight="bold"))
        parts += _bars(figures, top + 8)
        top += 8 + _LINE * len(figures) + 28
    if result.curves:
        parts += _curves(result, top)
        top += _PLOT_HEIGHT + 60 + 16 * len(result.curves)
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top}" '
        f'viewBox="0 0 {_WIDTH} {top}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{top}" fill="white"/>',
        _text(20, 24, result.title, size=16, weight="bold"),
        _text(20, 42, machine, colour="#666"),
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def _bars(figures: list[Figure], top: int) -> list[str]:
    scale = _BARS / (max(figure.high for figure in figures) or 1.0)
    parts = []
    for number, figure in enumerate(figures):
        y = top + number * _LINE
        low, middle, high = (_LABEL + v * scale for v in (figure.low, figure.middle, figure.high))
        colour = "#cc3333" if figure.is_met is False else _COLOURS[0]
        goal = f" (goal {figure.goal})" if figure.goal else ""
        parts += [
            _text(_LABEL - 8, y + 14, figure.case, anchor="end"),
            f'<rect x="{_LABEL}" y="{y + 3}" width="{max(middle - _LABEL, 1):.1f}" height="15" '
            f'fill="{colour}"/>',
            f'<path d="M{low:.1f} {y + 10.5}H{high:.1f}M{low:.1f} {y + 6}v9M{high:.1f} {y + 6}v9" '
            'stroke="black" fill="none"/>',
            _text(int(high) + 6, y + 14, f"{figure.middle:.3g}{goal}"),
        ]
    return parts


def _curves(result: Result, top: int) -> list[str]:
    across, up = result.axes
    points = [point for curve in result.curves.values() for point in curve]
    most_x, most_y = max(x for x, _ in points) or 1.0, max(y for _, y in points) or 1.0
    left, width, bottom = 60, _WIDTH - 120, top + 20 + _PLOT_HEIGHT
    parts = [
        f'<path d="M{left} {top + 20}V{bottom}H{left + width}" stroke="black" fill="none"/>',
        _text(left, top + 10, f"{up} (up to {most_y:g})"),
        _text(left + width, bottom + 16, f"{across} (up to {most_x:.3g})", anchor="end"),
    ]
    for number, (name, curve) in enumerate(result.curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        line = " ".join(
            f"{left + width * x / most_x:.1f},{bottom - _PLOT_HEIGHT * y / most_y:.1f}"
            for x, y in curve
        )
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}"/>')
        parts.append(_text(left, bottom + 32 + 16 * number, name, colour=colour))
    return parts


def _text(
    x: int,
    y: int,
    text: str,
    *,
    size: int = 13,
    weight: str = "normal",
    anchor: str = "start",
    colour: str = "black",
) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
    )
