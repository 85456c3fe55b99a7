"""Runs mutmut (settings in setup.cfg), then prints the score by file and the surviving mutants.

Exits 1 if fewer than 90 % of the mutants were killed.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path

MUTMUT = str(Path(sys.executable).with_name("mutmut"))
LEAST_KILLED = 0.9
# A test that times out or crashes the process has detected the mutant too.
KILLED = frozenset({"killed", "timeout", "segfault"})


def results() -> dict[str, str]:
    """Returns each mutant's outcome by name, such as "killed" or "survived"."""
    command = [MUTMUT, "results", "--all", "true"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    pairs = (line.strip().rpartition(": ") for line in lines.splitlines())
    return {name: outcome for name, _, outcome in pairs if name}


def main() -> int:
    # Only two at a time, because some tests measure time.
    subprocess.run([MUTMUT, "run", "--max-children", "2"], check=True)
    outcomes = results()
    counts: dict[str, Counter[str]] = {}
    for name, outcome in outcomes.items():
        counts.setdefault("/".join(name.split(".")[1:3]) + ".py", Counter())[outcome] += 1
    counts["all"] = sum(counts.values(), Counter())
    print(f"\n{'file':<22}{'mutants':>9}{'killed':>9}{'timeouts':>10}{'survived':>10}{'score':>9}")
    for name, count in counts.items():
        killed = sum(count[outcome] for outcome in KILLED)
        total = count.total()
        print(
            f"{name:<22}{total:>9,}{count['killed']:>9,}{count['timeout']:>10,}"
            f"{total - killed:>10,}{killed / total:>9.1%}"
        )
    print(
        "\nNot killed (`.venv-mutants/bin/mutmut show NAME`; why they may survive: "
        "docs/mutants.md):"
    )
    for name, outcome in outcomes.items():
        if outcome not in KILLED:
            print(f"  {name}" + ("" if outcome == "survived" else f" ({outcome})"))
    return 0 if killed >= LEAST_KILLED * total else 1


if __name__ == "__main__":
    sys.exit(main())
