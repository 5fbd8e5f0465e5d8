#!/usr/bin/env python3
"""Holds the source tree to the rules on who may include whom.

- core <- ops <- graph <- nn <- examples: nothing includes what stands to its right; tests and
  bench include what they like, and nobody includes them.
- Project includes are written <chainrule/...>, name a file that exists, and contain no "..".
- Of the public headers only core/eigen.hpp includes Eigen, and none includes a header that is not
  installed. (Those in folders named kernels, detail, derivation,
  emission or picture are not public; they may be installed.)
- Every header says #pragma once.
- Every source file stands in the list of its folder's meson.build (a test that is not in the list
  never runs), and every public header too (it would not be installed).

Files of more than 500 lines get a warning. Exit status 1 if a rule is broken.
"""

import functools
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBRARY = ["core", "ops", "graph", "nn"]
RANK = {name: i for i, name in enumerate(LIBRARY + ["examples"])}
RANK.update(bench=5, tests=6)
INTERNAL = {"kernels", "detail", "derivation", "emission", "picture"}
# What users see of folders that are internal otherwise.
ENTRANCES = {"graph/derivation/check_derivation.hpp", "graph/derivation/derive.hpp",
             "graph/emission/emit.hpp", "graph/picture/dot.hpp", "graph/picture/picture.hpp"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
LONG = 500


def is_public(path):
    """Whether users may include this header (its path relative to the root)."""
    if path == pathlib.PurePath("chainrule.hpp"):
        return True
    return (path.suffix == ".hpp" and path.parts[0] in LIBRARY
            and (not INTERNAL & set(path.parts) or path.as_posix() in ENTRANCES))


def sources():
    """All C++ files of the project, relative to the root."""
    found = [path for path in ROOT.glob("*.[ch]pp")]
    for folder in RANK:
        found += (ROOT / folder).rglob("*.[ch]pp")
    return sorted(path.relative_to(ROOT) for path in found)


@functools.cache
def build_file(folder):
    return (ROOT / folder / "meson.build").read_text(encoding="utf-8")


def is_listed(path):
    """Whether the meson.build of the file's folder names it, or that of the one it is in."""
    own = path.parent / "meson.build"
    if (ROOT / own).exists() and f"'{path.name}'" in build_file(path.parent):
        return True
    folder = path.parts[0]
    name = path.relative_to(folder).as_posix()
    if f"'{name}'" in build_file(folder):
        return True
    return folder == "bench" and f"'{name.removesuffix('.cpp')}'" in build_file(folder)


def check_include(path, target, quoted):
    """What is wrong with the include of `target` in the file `path`: a message or None."""
    if ".." in pathlib.PurePath(target).parts:
        return f"'{target}' climbs with '..'"
    if quoted:
        return f"\"{target}\" is to be written <chainrule/...>"
    if re.match(r"Eigen/|unsupported/Eigen", target):
        if is_public(path) and path.as_posix() != "core/eigen.hpp":
            return f"<{target}> in a public header: only core/eigen.hpp may include Eigen"
        return None
    if not target.startswith("chainrule/"):
        if pathlib.PurePath(target).parts[0] in RANK and (ROOT / target).exists():
            return f"<{target}> is to be written <chainrule/{target}>"
        return None
    inner = pathlib.PurePath(target).relative_to("chainrule")
    if not (ROOT / inner).is_file():
        return f"<{target}> does not exist"
    folder = path.parts[0] if len(path.parts) > 1 else "nn"  # the umbrella sees the whole library
    if len(inner.parts) == 1:
        if folder in LIBRARY:
            return f"<{target}>: the umbrella is for users; include what is needed"
    elif RANK[inner.parts[0]] > RANK[folder]:
        return f"<{target}>: {folder} must not know {inner.parts[0]}"
    elif is_public(path) and not is_listed(inner):
        return f"<{target}> is not installed, but a public header includes it"
    return None


def main():
    problems, warnings = [], []
    files = sources()
    for path in files:
        text = (ROOT / path).read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            message = check_include(path, match[2], match[1] == '"')
            if message:
                line = text.count("\n", 0, match.start()) + 1
                problems.append(f"{path}:{line}: {message}")
        if path.suffix == ".hpp" and "#pragma once" not in text:
            problems.append(f"{path}:1: no #pragma once")
        lines = text.count("\n")
        if lines > LONG:
            warnings.append(f"{path}: {lines} lines; a file is to be read in one sitting")

        if len(path.parts) > 1 and (path.suffix == ".cpp" or is_public(path)):
            if not is_listed(path):
                problems.append(f"{path}:1: is not in {path.parts[0]}/meson.build")

    for message in warnings:
        print(f"warning: {message}")
    for message in problems:
        print(f"error: {message}")
    print(f"{len(files)} files, {len(problems)} errors, {len(warnings)} warnings")
    if not files:
        print("error: no source files found")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
