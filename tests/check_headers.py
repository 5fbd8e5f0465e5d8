#!/usr/bin/env python3
"""Checks that every header includes all that it uses, without a warning.

    tests/check_headers.py <build directory> [-j N]

A header that a .cpp file includes in front of all others was compiled alone by the build; the others
are here. All public headers are compiled in one file with the warnings that their users may have
switched on, and all but core/eigen.hpp bring in no Eigen, by whatever way. The build directory is
needed for its include/ and must be configured. CXX names the compiler. Exit status 1 if a header
fails.
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


def compile_together(paths, options):
    """What the compiler says of a file that includes these headers, and what it read for it."""
    text = "".join(f"#include <chainrule/{path.as_posix()}>\n" for path in paths)
    with tempfile.TemporaryDirectory() as folder:
        deps = os.path.join(folder, "deps")
        run = subprocess.run(
            [*CXX, *options, "-MD", "-MF", deps, "-MT", "x", "-x", "c++", "-"],
            input=text, capture_output=True, text=True)
        if run.returncode:
            return run.stderr.strip() or f"{paths[0]}: the compiler failed", []
        return "", pathlib.Path(deps).read_text().split()


def complaint_about(paths, options):
    return compile_together(paths, options)[0]


def complaint_about_public(paths, options):
    said, read = compile_together(paths, options)
    if any("/Eigen/src/" in name for name in read):
        return "the public headers bring in Eigen, which but for core/eigen.hpp they must not"
    return said


def first_included():
    """The headers that some .cpp file includes in front of all others."""
    for path in TREE.files:
        if path.suffix == ".cpp":
            include = check_includes.INCLUDE.search((TREE.root / path).read_text())
            if include:
                yield include[2].removeprefix("chainrule/")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("-j", type=int, default=2, metavar="N")
    args = parser.parse_args()
    if not (args.build / "include/chainrule").is_dir():
        sys.exit(f"{args.build} is not a configured build directory")

    headers = [path for path in TREE.files
               if path.suffix == ".hpp" and path.parts[0] not in ("tests", "bench")]
    compiled = set(first_included())
    public = [path for path in headers
              if TREE.is_public(path) and path.as_posix() != "core/eigen.hpp"]
    options = flags(args.build)
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        runs = [pool.submit(complaint_about_public, public, options + STRICT)]
        runs += [pool.submit(complaint_about, [path], options) for path in headers
                 if path.as_posix() not in compiled]
        said = [run.result() for run in runs]
    for complaint in filter(None, said):
        print(complaint)
    failed = sum(map(bool, said))
    print(f"{len(headers)} headers, {failed} failed")
    return 1 if failed or not headers else 0


if __name__ == "__main__":
    sys.exit(main())
