"""What the benchmarks measured: read from their files, kept as results.json, and written down as
figures.md (all of it) and RESULTS.md (what matters, losses first). bench/report.py calls it, and

    bench/results.py RESULTS_JSON

writes bench/RESULTS.md anew from what an earlier run kept.
"""

import dataclasses
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
MOST_LINES = 40  # of RESULTS.md


@dataclasses.dataclass
class Figure:
    """A line of a file of figures, as bench/measure.hpp describes it."""

    name: str
    value: str
    unit: str
    target: str  # "<= 1.5", ">= 25" or ""
    quartiles: str  # "1.38 … 1.44" or ""
    fault: str = ""  # why it is no measurement of what it says, or ""

    def reached(self):
        """Whether a figure with a target is what it should be."""
        relation, limit = self.target.split()
        if relation == ">=":
            return float(self.value) >= float(limit)
        return float(self.value) <= float(limit)

    def measured(self):
        """The value with its unit and its quartiles."""
        text = f"{self.value} {self.unit}".rstrip()
        text = f"{text} ({self.quartiles})" if self.quartiles else text
        return f"{text} **not valid: {self.fault}**" if self.fault else text

    def wanted(self):
        """The target in words."""
        return self.target.replace("<=", "at most").replace(">=", "at least")


@dataclasses.dataclass
class Results:
    """A run of the benchmarks."""

    facts: list  # of what the figures depend on, as [name, text]
    figures: dict  # of each benchmark, as lists of Figure
    outputs: dict  # what each of them printed

    def all(self):
        """The figures of all benchmarks."""
        return [figure for of_one in self.figures.values() for figure in of_one]

    def settings(self):
        """What the programs said of the libraries that they compare with, each once."""
        said = []
        for output in self.outputs.values():
            for text in re.findall(r"^settings: (.*)$", output, re.M):
                if text not in said:
                    said.append(text)
        return said

    def save(self, path):
        """Keeps everything as JSON."""
        figures = {
            name: [dataclasses.asdict(figure) for figure in of_one]
            for name, of_one in self.figures.items()
        }
        everything = {"facts": self.facts, "figures": figures, "outputs": self.outputs}
        path.write_text(json.dumps(everything, ensure_ascii=False, indent=1), encoding="utf-8")


def load(path):
    """The results that save() kept."""
    everything = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    figures = {
        name: [Figure(**each) for each in of_one] for name, of_one in everything["figures"].items()
    }
    return Results(everything["facts"], figures, everything["outputs"])


def read_figures(path):
    """The figures of a file that a benchmark wrote."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Figure(*line.split("\t")) for line in lines]


# ---- all of it -----------------------------------------------------------------------------------

ABOUT = """\
Times are processor time of the measuring thread (those of two threads and of the three-line program
are on the wall), medians of repeated samples; comparisons are made in one process, in turn
(A B A B …), by the median of the ratios of neighbours, with their quartiles, after both sides were
found to compute the same. Inputs are random and change from step to step. The floor is the same
computation written by hand, with no framework, with the faster of two libraries for its products. It
keeps its gradients as a framework must; SGD by hand with "dW never stored" adds them to the weights as
they are computed, and is no floor but the time of a program that never looks at them. A ratio to the
floor below 1 says that there are faster products than those of the two libraries at this size, or
fewer passes. Gradients of large networks with relu agree but for single units that are zero up to
rounding. What processors libtorch used is the processor time of the whole program in a second of
those times; where that is not what it was given, its figures are marked as not valid."""


def table(figures):
    """Rows for them, with targets if the first has one."""
    targets = bool(figures and figures[0].target)
    lines = ["| figure | measured (quartiles) |" + (" target | reached |" if targets else "")]
    lines.append("|---|---|" + ("---|---|" if targets else ""))
    for figure in figures:
        row = f"| {figure.name} | {figure.measured()} |"
        if targets:
            row += f" {figure.wanted()} | {'yes' if figure.reached() else '**no**'} |"
        lines.append(row)
    return [*lines, ""]


def section(benchmark, figures, output):
    """What one benchmark measured without a target, and what else it printed."""
    names = tuple(figure.name for figure in figures)
    printed = [
        line
        for line in output.splitlines()
        if line.strip() and not line.startswith((*names, "settings: "))
    ]
    figures = [figure for figure in figures if not figure.target]
    text = ["```", *printed, "```", ""] if printed else []
    return [f"## {benchmark}", "", *(table(figures) if figures else []), *text]


def write_all(results, path):
    """Every figure as a page."""
    lines = ["# All figures of a run of `bench/run`", "", ABOUT, "", "| | |", "|---|---|"]
    facts = [*results.facts, *(["compared with", text] for text in results.settings())]
    lines += [*(f"| {name} | {text} |" for name, text in facts), "", "## Figures with a target", ""]
    lines += table([figure for figure in results.all() if figure.target])
    for benchmark, figures in results.figures.items():
        lines += section(benchmark, figures, results.outputs.get(benchmark, ""))
    path.write_text("\n".join(lines), encoding="utf-8")


# ---- what matters --------------------------------------------------------------------------------

# Comparisons with others, and whether a ratio above 1 says that the other one is faster.
RIVALS = [
    ("libtorch", r"^(.*): libtorch / chainrule$", False),
    ("code by hand", r"^(.*): (?:nn|tensor operations|chainrule) / (?:floor.*|by hand)$", True),
]

TRAINING = r"^(\S+ \w+ \w+), batch (\d+)"
STEPS = [
    TRAINING + r": libtorch / chainrule$",
    TRAINING + r": nn / floor",
    TRAINING + r", two threads: libtorch / chainrule$",
]

# Lines of figures that are shown in any case.
SHOWN = [
    ("4×4 chain", "4x4 chain, one thread: recorded", "4x4 chain, one thread: forward + backward"),
    (
        "chain of scalars, forward + backward + freeing",
        "scalar chain, by a constant: forward + backward + freeing",
        "scalar chain, by a constant: peak, allocator",
    ),
    ("peak of a core", "peak of a core, f32", "peak of a core, f64"),
    (
        "products of 256×256, share of it, f32 and f64",
        "products, f32, a.b, 256x256: share of the peak",
        "products, f64, a.b, 256x256: share of the peak",
    ),
    (
        "three-line program, compile and link, start to end",
        "three lines: compiling and linking, -O2",
        "three lines: from start to end",
    ),
]


def losses(figures):
    """A line for each rival: how often it is faster, and where most."""
    lines = []
    for rival, pattern, above in RIVALS:
        ratios = []
        for figure in figures:
            match = re.match(pattern, figure.name)
            if match and not figure.fault:
                value = float(figure.value)
                ratios.append((value if above else 1 / max(value, 1e-9), match[1]))
        if not ratios:
            lines.append(f"- {rival}: was not compared with.")
            continue
        lost = sorted((each for each in ratios if each[0] > 1), reverse=True)
        text = f"- {rival}: in {len(lost)} of {len(ratios)} comparisons"
        worst = "; ".join(f"{name}: {ratio:.2f}" for ratio, name in lost[:5])
        if worst:
            text += f". Times as long as it, where that is most: {worst}"
        lines.append(text + ".")
    return lines


def training(figures):
    """The table of training steps: a row for each network, a column for each size of the batch."""
    cells = {}
    for kind, pattern in enumerate(STEPS):
        for figure in figures:
            match = re.match(pattern, figure.name)
            if match and not figure.fault:
                cells.setdefault(match[1], {}).setdefault(int(match[2]), {})[kind] = figure.value
    if not cells:
        return []
    batches = sorted({batch for row in cells.values() for batch in row})
    lines = [
        "| training step, batch | " + " | ".join(str(batch) for batch in batches) + " |",
        "|---" * (len(batches) + 1) + "|",
    ]
    for network, row in cells.items():
        texts = [
            " · ".join(row.get(batch, {}).get(kind, "–") for kind in range(len(STEPS)))
            for batch in batches
        ]
        lines.append(f"| {network} | " + " | ".join(texts) + " |")
    return lines


def shown(figures):
    """The figures that are shown in any case, as one line."""
    by_name = {figure.name: figure for figure in figures}
    parts = []
    for label, *names in SHOWN:
        found = [by_name[name] for name in names if name in by_name]
        if found:
            parts.append(f"{label}: " + ", ".join(figure.measured() for figure in found))
    return ["", *(f"- {part}" for part in parts)] if parts else []


def grouped(missed):
    """A line for each kind of figure that missed its target."""
    kinds = {}
    for figure in missed:
        case, _, kind = figure.name.rpartition(": ")
        kinds.setdefault(kind, []).append(f"{case}: {figure.measured()}, {figure.wanted()}")
    return [f"- {kind}: " + "; ".join(cases) for kind, cases in kinds.items()]


def write_short(results, path):
    """RESULTS.md: at most MOST_LINES lines, with what was missed and lost on top."""
    figures = results.all()
    wanted = [figure for figure in figures if figure.target]
    missed = [figure for figure in wanted if not figure.reached()]
    faulty = [figure for figure in figures if figure.fault]
    top = [
        "# What the benchmarks measured",
        "",
        "Written by `bench/run`, which leaves every figure in `build/bench/figures.md` and",
        "`results.json`, with quartiles and with what else the programs say.",
        "",
    ]
    bottom = [
        "",
        "## Where others are faster",
        "",
        *losses(figures),
        "",
        "## Training steps",
        "",
        "How many times faster than libtorch · in multiples of the time by hand, both on one thread · how"
        " many times faster than libtorch, both on two threads.",
        "",
        *training(figures),
        *shown(figures),
        "",
        "; ".join(f"{name}: {text}" for name, text in results.facts) + ".",
        "Compared with " + "; ".join(results.settings()) + ".",
    ]
    bad = [f"- not valid: {f.name}: {f.fault}" for f in faulty] + grouped(missed)
    heading = f"## Missed: {len(missed)} of {len(wanted)} targets"
    if faulty:
        heading += f"; {len(faulty)} figures are not valid"
    room = MOST_LINES - len(top) - len(bottom) - 2
    if len(bad) > room:  # nothing is left out
        bad = [*bad[: room - 1], "- " + " • ".join(line[2:] for line in bad[room - 1 :])]
    lines = [*top, heading, "", *(bad or ["None."]), *bottom]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    write_short(load(sys.argv[1]), HERE / "RESULTS.md")
