#!/usr/bin/env python3
"""How long a three-line program takes to compile with -O2 against the built library, and to run.

    bench/three_lines.py BUILD_DIRECTORY [FIGURES]

Times are on the wall: the median of 5 times compiling and linking, and of 20 runs from the start of
the process to its end. CXX chooses another compiler than g++. FIGURES receives the figures as
bench/measure.hpp writes them.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent


def timed(command):
    """Runs a command, and returns the seconds on the wall and those on processors."""
    before = os.times()
    start = time.perf_counter()
    subprocess.run(command, check=True)
    wall = time.perf_counter() - start
    after = os.times()
    children = (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )
    return wall, children


def library_flags(build):
    """The flags with which a user compiles and links against the library in `build`."""
    environment = dict(os.environ, PKG_CONFIG_PATH=str(build / "meson-uninstalled"))
    command = ["pkg-config", "--cflags", "--libs", "chainrule"]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return output.stdout.split()


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1]).resolve()
    compiler = os.environ.get("CXX", "g++").split()
    source = HERE / "three_lines.cpp"
    # The flags of libraries stand behind the source.
    flags = library_flags(build)
    with tempfile.TemporaryDirectory() as scratch:
        program = str(pathlib.Path(scratch) / "three_lines")
        compile_and_link = [*compiler, "-std=c++20", "-O2", str(source), "-o", program, *flags]
        timed(compile_and_link)  # once for the disk
        compiling = [timed(compile_and_link) for _ in range(5)]
        timed([program])
        running = [timed([program]) for _ in range(20)]
        size = os.path.getsize(program)

    figures = [
        ("three lines: compiling and linking, -O2", compiling, 0, 1, "s", 2),
        ("three lines: compiling and linking, processor time", compiling, 1, 1, "s", None),
        ("three lines: from start to end", running, 0, 1e3, "ms", 20),
    ]
    lines = []
    for name, times, which, scale, unit, target in figures:
        value = statistics.median(each[which] for each in times) * scale
        lines.append((name, f"{value:.2f}", unit, target))
    lines.append(("three lines: the program", f"{size / 2**20:.2f}", "MiB", None))
    for name, value, unit, target in lines:
        limit = "" if target is None else f" target {target}"
        missed = "  MISSED" if target is not None and float(value) > target else ""
        print(f"{name:<58} {value:>10} {unit:<10}{limit}{missed}")
    if len(sys.argv) == 3:
        with open(sys.argv[2], "w", encoding="utf-8") as file:
            for name, value, unit, target in lines:
                limit = "" if target is None else f"<= {target}"
                file.write(f"{name}\t{value}\t{unit}\t{limit}\t\n")


if __name__ == "__main__":
    main()
