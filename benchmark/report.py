"""Results as a table on the console, as JSON, and as charts."""

import json
from pathlib import Path
from typing import Any

from benchmark import chart
from benchmark.figures import Result, machine


def table(result: Result) -> str:
    """A row a figure: the least, the middle and the most of its repetitions."""
    lines = ["", f"{result.title} ({machine()})", result.note, ""]
    wide = max([len(figure.case) for figure in result.figures], default=4)
    long = max([len(figure.what) for figure in result.figures], default=4)
    heading = f"{'case':<{wide}}  {'figure':<{long}} {'min':>9} {'median':>9} {'max':>9}  goal"
    lines += [heading, "-" * len(heading)]
    for figure in result.figures:
        met = {True: " met", False: " NOT MET", None: ""}[figure.is_met]
        lines.append(
            f"{figure.case:<{wide}}  {figure.what:<{long}} {figure.low:>9.3f} "
            f"{figure.middle:>9.3f} {figure.high:>9.3f}  {figure.goal}{met}"
        )
    return "\n".join(lines)


def as_json(results: list[Result]) -> dict[str, Any]:
    """{"machine", "measurements": {name: {"title", "note", "figures": [...], "curves"}}}."""
    return {
        "machine": machine(),
        "measurements": {
            result.name: {
                "title": result.title,
                "note": result.note,
                "figures": [
                    {
                        "case": figure.case,
                        "figure": figure.what,
                        "min": figure.low,
                        "median": figure.middle,
                        "max": figure.high,
                        "values": figure.values,
                        "goal": figure.goal,
                        "met": figure.is_met,
                    }
                    for figure in result.figures
                ],
                "curves": result.curves,
            }
            for result in results
        },
    }


def write(results: list[Result], folder: Path) -> None:
    """A JSON file and a chart a measurement."""
    folder.mkdir(parents=True, exist_ok=True)
    for result in results:
        each = json.dumps(as_json([result]), indent=1)
        (folder / f"{result.name}.json").write_text(each + "\n")
        (folder / f"{result.name}.svg").write_text(chart.svg(result, machine()))
