#!/usr/bin/env python3
"""Compiles every header alone: it must include all that it uses, without a warning.

    tests/check_headers.py <build directory> [-j N]

The build directory is needed for its include/ and must be configured. Public headers are compiled
with the warnings that their users may have switched on. Also checks that no public header but
core/eigen.hpp brings Eigen in, by whatever way, and that the umbrella does not either. CXX names
the compiler. Exit status 1 if a header fails.
"""

import argparse
import concurrent.futures
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

import check_includes

TREE = check_includes.Tree()
CXX = shlex.split(os.environ.get("CXX") or "c++")
# What users of the library compile with, beyond what it is compiled with itself.
STRICT = ["-Wshadow", "-Wconversion", "-Wold-style-cast"]


def flags(build):
    def pkg_config(*args):
        out = subprocess.run(["pkg-config", *args], check=True, capture_output=True, text=True)
        return shlex.split(out.stdout)

    libraries = pkg_config("--cflags", "eigen3", "fmt", "zlib", "CLI11")
    return [
        "-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only",
        "-I", str(build / "include"),
    ] + [flag.replace("-I", "-isystem", 1) if flag.startswith("-I") else flag
         for flag in libraries]


def compile_alone(path, options):
    """Returns the list of complaints about the header `path`."""
    name = "chainrule/" + path.as_posix()
    if TREE.is_public(path):
        options = [*options, *STRICT]
    with tempfile.TemporaryDirectory() as folder:
        deps = os.path.join(folder, "deps")
        run = subprocess.run(
            [*CXX, *options, "-MD", "-MF", deps, "-MT", "x", "-x", "c++", "-"],
            input=f"#include <{name}>\n", capture_output=True, text=True)
        if run.returncode:
            return [run.stderr.strip() or f"{path}: the compiler failed"]
        if TREE.is_public(path) and path.as_posix() != "core/eigen.hpp":
            read = pathlib.Path(deps).read_text().split()
            if any("/Eigen/src/" in name for name in read):
                return [f"{path}: brings in Eigen, which public headers must not"]
    return []


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("-j", type=int, default=2, metavar="N")
    args = parser.parse_args()
    if not (args.build / "include/chainrule").is_dir():
        sys.exit(f"{args.build} is not a configured build directory")

    headers = [path for path in TREE.files
               if path.suffix == ".hpp" and path.parts[0] not in ("tests", "bench")]
    options = flags(args.build)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        for complaints in pool.map(lambda path: compile_alone(path, options), headers):
            failed += bool(complaints)
            for complaint in complaints:
                print(complaint)
    print(f"{len(headers)} headers, {failed} failed")
    return 1 if failed or not headers else 0


if __name__ == "__main__":
    sys.exit(main())
