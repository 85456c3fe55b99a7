"""The project's pictures as SVG, readable in light and dark mode. Pure: data in, text out."""

from collections.abc import Mapping, Sequence
from typing import Final

from tools.recorded import Reread, Run

WIDTH: Final = 960
LEFT: Final = 120
RIGHT: Final = 20
ROW: Final = 24
COLOURS: Final = ("#4e79a7", "#59a14f", "#e15759", "#b07aa1", "#f28e2b", "#499894", "#9c755f")
STYLE: Final = (
    "<style>text{font-family:sans-serif;fill:#1f2328}.line{stroke:#6e7781}.mark{stroke:#cf222e;"
    "fill:#cf222e}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.line{stroke:#8b949e}"
    ".mark{stroke:#ff7b72;fill:#ff7b72}}</style>"
)
_STEPS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
_MOST_TICKS: Final = 12


def syncs(panels: Mapping[str, Run], paths: Mapping[str, str]) -> str:
    """Draws one panel per run, stacked on one time scale: a row per stream, a bar per request.

    paths: table -> the path of its listing.
    """
    end = max(run.seconds for run in panels.values())
    parts: list[str] = []
    top = 24.0
    for title, run in panels.items():
        told = f"{len(run.requests)} requests, {run.rows:,} rows, {run.seconds:.1f} s"
        parts.append(_text(LEFT, top, f"{title}: {told}", size=14))
        drawn, top = _panel(run, paths, top + 14, end)
        parts += [*drawn, *_seconds_axis(top, run.seconds, end)]
        top += 56
    return _svg(top - 20, parts)


def _panel(run: Run, paths: Mapping[str, str], top: float, end: float) -> tuple[list[str], float]:
    """Draws the rows of one run; returns them and where they end."""
    parts = []
    for number, (table, path) in enumerate(paths.items()):
        y = top + number * ROW
        parts.append(_text(LEFT - 8, y + 14, table, anchor="end"))
        spans = sorted((a, b) for asked, a, b in run.requests if asked == path)
        parts += _bars(spans, y, _scale(end), COLOURS[number % len(COLOURS)])
    bottom = top + len(paths) * ROW
    parts.append(_text(LEFT - 8, bottom + 12, "checkpoints", anchor="end"))
    for at in run.checkpoints:
        x = _x(at, end)
        parts.append(f'<circle class="mark" cx="{x:.1f}" cy="{bottom + 8:.1f}" r="3"/>')
    return parts, bottom + 20


def _bars(
    spans: Sequence[tuple[float, float]], top: float, scale: float, colour: str
) -> list[str]:
    """Draws a bar per request; concurrent requests lie side by side."""
    free: list[float] = []
    placed = []
    for began, ended in spans:
        lane = next((n for n, until in enumerate(free) if until <= began), len(free))
        free[lane : lane + 1] = [ended]
        placed.append((lane, began, ended))
    height = (ROW - 6) / max(len(free), 1)
    return [
        f'<rect x="{LEFT + began * scale:.1f}" y="{top + lane * height:.1f}" '
        f'width="{max((ended - began) * scale - 0.6, 0.6):.1f}" '
        f'height="{max(height - 0.5, 0.6):.1f}" fill="{colour}"/>'
        for lane, began, ended in placed
    ]


def rereads(log: Sequence[Reread]) -> str:
    """Draws a dot per sync: when it ran, and how old the oldest message was that it read again.

    The first sync reads everything and is left out. The age scale doubles at each line.
    """
    later = log[1:]
    end_hours = max(reread.at for reread in later)
    ages = [max(reread.at - reread.reached, 0.5) for reread in later]
    levels = _octaves(max(ages))
    top, height = 44.0, 260.0
    parts = [_text(LEFT, 24, "How far back each sync reads messages again", size=14)]
    for level, hours in enumerate(levels):
        y = top + height * (1 - level / max(len(levels) - 1, 1))
        parts += [
            _text(LEFT - 8, y + 4, _age(hours), anchor="end", size=11),
            f'<line class="line" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" '
            'stroke-width="0.4"/>',
        ]
    for reread, age in zip(later, ages, strict=True):
        y = top + height * (1 - _level(age, levels) / max(len(levels) - 1, 1))
        parts.append(
            f'<circle cx="{_x(reread.at, end_hours):.1f}" cy="{y:.1f}" r="2" fill="{COLOURS[0]}"/>'
        )
    for day in range(int(end_hours // 24) + 1):
        parts.append(
            _text(_x(day * 24, end_hours), top + height + 20, str(day), anchor="middle", size=11)
        )
    caption = "days of syncs; age of the oldest message read, doubling from line to line"
    parts.append(_text(LEFT, top + height + 40, caption, size=11))
    return _svg(top + height + 52, parts)


def _octaves(most_hours: float) -> list[float]:
    levels = [0.5]
    while levels[-1] < most_hours:
        levels.append(levels[-1] * 2)
    return levels


def _level(age_hours: float, levels: Sequence[float]) -> float:
    """Returns where an age lies among the levels, each of which doubles the one before."""
    level = next((n for n, hours in enumerate(levels) if hours >= age_hours), len(levels) - 1)
    if level == 0:
        return 0.0
    return level - 1 + (age_hours / levels[level - 1] - 1)


def _age(hours: float) -> str:
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.1f} d"


def _seconds_axis(top: float, seconds: float, end: float) -> list[str]:
    """Draws ticks from 0 to the end of the run; the last one shows the run's duration."""
    step = next((step for step in _STEPS if end / step <= _MOST_TICKS), _STEPS[-1])
    ticks = [n * step for n in range(int(seconds / step) + 1) if seconds - n * step > step / 3]
    axis = (
        f'<line class="line" x1="{LEFT}" y1="{top:.1f}" x2="{_x(seconds, end):.1f}" '
        f'y2="{top:.1f}"/>'
    )
    marks = [
        _text(_x(at, end), top + 14, f"{at:g} s", anchor="middle", size=11)
        for at in (*ticks, round(seconds, 1))
    ]
    return [axis, *marks]


def _scale(end: float) -> float:
    # Room for the last label.
    return (WIDTH - LEFT - RIGHT - 12) / end


def _x(at: float, end: float) -> float:
    return LEFT + at * _scale(end)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{text}</text>'


def _svg(height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}">{STYLE}{"".join(parts)}</svg>\n'
    )
