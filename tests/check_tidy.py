#!/usr/bin/env python3
"""Runs clang-tidy over the library's .cpp files, and over the headers as they include them.

    tests/check_tidy.py <build directory> [-j N]

The checks are in .clang-tidy, the flags in the build directory's compile_commands.json. A file that
passed is not looked at again until it changes, or a header of the project that it includes, or its
flags or the checks; what passed is noted in the build directory's clang-tidy/. CLANG_TIDY names the
program. Exit status 1 if it has anything to say.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import check_includes

TREE = check_includes.Tree()
PROGRAM = os.environ.get("CLANG_TIDY") or "clang-tidy-19"
# The flags are GCC's: some warnings are unknown to Clang. What GCC's library uses of itself counts as
# deprecated.
EXTRA = ["-Wno-unknown-warning-option", "-Wno-deprecated-declarations"]
# What Clang has another flag for, which clang-tidy does not need.
UNKNOWN = " -femit-class-debug-always"


def read(path):
    return (TREE.root / path).read_bytes()


def included(path):
    """The file and all of the project that it includes, directly or not."""
    found, left = set(), [path]
    while left:
        path = left.pop()
        if path in found or not (TREE.root / path).is_file():
            continue
        found.add(path)
        left += [pathlib.PurePath(match[2].removeprefix("chainrule/"))
                 for match in check_includes.INCLUDE.finditer(read(path).decode())
                 if match[2].startswith("chainrule/")]
    return sorted(found)


def commands(build):
    """The build's compile_commands.json without what is unknown to Clang."""
    return json.loads((build / "compile_commands.json").read_text().replace(UNKNOWN, ""))


def library(build):
    """Pairs of a library's .cpp file, relative to the root, and its command."""
    for entry in commands(build):
        path = pathlib.Path(entry["directory"], entry["file"]).resolve()
        if path.is_relative_to(TREE.root):
            path = path.relative_to(TREE.root)
            if path.parts[0] in check_includes.LIBRARY:
                yield path, entry["command"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("-j", type=int, default=2, metavar="N")
    args = parser.parse_args()
    passed = args.build / "clang-tidy"
    passed.mkdir(exist_ok=True)
    (passed / "compile_commands.json").write_text(json.dumps(commands(args.build)))
    version = subprocess.run([PROGRAM, "--version"], check=True, capture_output=True).stdout
    common = [version, read(".clang-tidy"), " ".join(EXTRA).encode()]

    def check(item):
        """What clang-tidy says of the file; None if it is as it was when it passed."""
        path, command = item
        state = hashlib.sha256(b"\0".join([*common, command.encode(), *map(read, included(path))]))
        mark = passed / path.as_posix().replace("/", "_")
        if mark.exists() and mark.read_text() == state.hexdigest():
            return None
        run = subprocess.run([PROGRAM, "--quiet", "-p", passed,
                              *(f"--extra-arg={flag}" for flag in EXTRA), TREE.root / path],
                             capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if run.returncode == 0 and not run.stdout.strip():
            mark.write_text(state.hexdigest())
            return ""
        return run.stdout.strip() or run.stderr.strip() or f"{path}: status {run.returncode}"

    files = list(library(args.build))
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        said = list(pool.map(check, files))
    for text in filter(None, said):
        print(text)
    failed = sum(map(bool, said))
    print(f"{len(files)} files, {said.count(None)} of them as before, {failed} failed")
    return 1 if failed or not files else 0


if __name__ == "__main__":
    sys.exit(main())
