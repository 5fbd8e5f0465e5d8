#!/usr/bin/env python3
"""Holds the source tree to the rules on who may include whom.

- The library's folders include each other as ROOMS allows; EXCEPTIONS names the files that go
  against its order. A folder that is not in ROOMS is an error, a permission that nothing uses a
  warning.
- Examples are users' programs: they include what is installed. Benchmarks include all but tests
  and examples, tests all but benchmarks, and nobody includes tests or benchmarks.
- Project includes are written <chainrule/...>, name a file that exists, and contain no "..".
- A public header is one that a meson.build installs. Of these only core/eigen.hpp includes Eigen,
  and none includes a header that is not installed.
- Every header says #pragma once.
- Every source file stands in the list of its folder's meson.build (a test that is not in the list
  never runs), and what an install list names exists.

Files of more than 500 lines get a warning. Exit status 1 if a rule is broken.
"""

import functools
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Each folder of the library and those that it may include beside itself: only ones above it, so
# that there are no cycles.
ROOMS = {
    "core/detail": "",
    "core/memory": "",
    "core": "core/detail core/memory",

    # Loops over memory. They know values and threads, and no tensor.
    "ops/kernels/elementwise": "core",
    # kernels/elementwise: results are counted up over the common space of two values.
    "ops/kernels/reduce": "core ops/kernels/elementwise",
    "ops/kernels/shape": "core ops/kernels/elementwise",
    "ops/kernels/linalg": "core ops/kernels/elementwise",
    "ops/kernels/nn": "core ops/kernels/elementwise ops/kernels/reduce",

    # The operations. Gradient rules are written in other operations, those of elementwise first.
    "ops": "core ops/kernels/elementwise",
    # log() computes the stable forms of log(softmax(z)) and log(sum(exp(z))) itself.
    "ops/elementwise": "core ops ops/kernels/elementwise",
    "ops/shape": "core ops ops/elementwise ops/kernels/shape",
    # kernels/nn: a logsumexp is one pass of the softmax kernel.
    "ops/reduce": "core ops ops/elementwise ops/shape "
                  "ops/kernels/elementwise ops/kernels/reduce ops/kernels/nn",
    "ops/linalg": "core ops ops/elementwise ops/shape ops/reduce ops/kernels/linalg",
    "ops/nn": "core ops ops/elementwise ops/shape ops/reduce ops/linalg "
              "ops/kernels/reduce ops/kernels/linalg ops/kernels/nn",

    # kernels/elementwise: gradients are added in place, and values copied, without making nodes.
    "graph": "core ops/elementwise ops/shape ops/reduce ops/kernels/elementwise",
    # linalg: products are put together anew, without transposes that cancel.
    "graph/derivation": "core core/detail graph ops/elementwise ops/shape ops/reduce ops/linalg "
                        "ops/kernels/elementwise",
    # linalg: mistakes of products are tried out (a transpose forgotten, a swapped order).
    "graph/checking": "core core/detail graph graph/derivation "
                      "ops/elementwise ops/shape ops/reduce ops/linalg",
    "graph/emission": "core core/detail graph graph/derivation "
                      "ops/elementwise ops/shape ops/reduce",
    "graph/picture": "core core/detail graph graph/derivation ops/elementwise",
    # checking: what is offered beside a right formula are the mistakes that it knows of.
    "graph/teaching": "core core/detail graph graph/derivation graph/checking ops/elementwise",

    # kernels/elementwise: parameters are written in place, outside of recording.
    "nn": "core ops/kernels/elementwise",
    "nn/init": "core ops/elementwise",
    "nn/layers/detail": "core",
    "nn/layers": "core nn ops/elementwise ops/shape ops/nn nn/layers/detail",
    "nn/losses": "core ops/nn",
    "nn/optim": "core ops/shape ops/kernels/elementwise",
}

# What goes against that order: (file, folder): why.
EXCEPTIONS = {
    ("ops/define.cpp", "ops/elementwise"):
        "add_to() is for the gradient rules of all ops",
    ("ops/reduce/logsumexp.cpp", "ops/nn"):
        "its gradient is softmax",
    ("ops/kernels/linalg/affine.hpp", "ops/nn"):
        "the names of the activations that a product can end with",
    ("graph/gradcheck.cpp", "graph/derivation"):
        "numbers are compared in one place",
    ("graph/gradcheck.cpp", "graph/checking"):
        "differences are taken in one place",
    ("graph/doctest.hpp", "graph/checking"):
        "the assertion for users' tests; nothing here includes it",
}

LIBRARY = ["core", "ops", "graph", "nn"]
FOLDERS = LIBRARY + ["examples", "bench", "tests"]
# What is not the library: the folders beside themselves and the library that these may include.
PROGRAMS = {"examples": [], "bench": [], "tests": ["examples"]}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
INSTALLED = re.compile(r"install_headers\((.*?)subdir:", re.S)
UMBRELLA = pathlib.PurePath("chainrule.hpp")
LONG = 500


def wrong_order(rooms):
    """What of the table stands in the wrong order: a list of messages."""
    problems, above = [], set()
    for room, allowed in rooms.items():
        problems += [f"ROOMS: {room} may include {other}, which does not stand above it"
                     for other in allowed.split() if other not in above]
        above.add(room)
    return problems


class Tree:
    """A source tree; all paths are relative to its root."""

    def __init__(self, root=ROOT, rooms=None, exceptions=None):
        self.root = pathlib.Path(root)
        self.rooms = ROOMS if rooms is None else rooms
        self.exceptions = EXCEPTIONS if exceptions is None else exceptions
        self.used = set()  # pairs of a room or a file of EXCEPTIONS, and what it included

    @functools.cached_property
    def files(self):
        """All C++ files of the project."""
        found = list(self.root.glob("*.[ch]pp"))
        for folder in FOLDERS:
            found += (self.root / folder).rglob("*.[ch]pp")
        return sorted(path.relative_to(self.root) for path in found)

    @functools.cache
    def build_file(self, folder):
        path = self.root / folder / "meson.build"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @functools.cached_property
    def public(self):
        """The headers that are installed."""
        return {pathlib.PurePath(folder, name) for folder in [".", *LIBRARY]
                for names in INSTALLED.findall(self.build_file(folder))
                for name in re.findall(r"'([^']+\.hpp)'", names)}

    def is_public(self, path):
        """Whether users may include this header."""
        return path in self.public

    def is_compiled(self, path):
        """Whether the meson.build of the file's folder names it, or that of the one it is in."""
        if f"'{path.name}'" in self.build_file(path.parent):
            return True
        folder = path.parts[0]
        name = path.relative_to(folder).as_posix()
        if f"'{name}'" in self.build_file(folder):
            return True
        return folder == "bench" and f"'{name.removesuffix('.cpp')}'" in self.build_file(folder)

    def check_room(self, path, inner):
        """What is wrong with the project's file `inner` being included: a message or None."""
        if len(path.parts) == 1:
            return None  # the umbrella sees the whole library
        own, theirs = path.parts[0], inner.parts[0]
        if own not in LIBRARY:
            if theirs not in [own, *PROGRAMS[own], *LIBRARY] and inner != UMBRELLA:
                return f"{own} must not include {theirs}"
            if own == "examples" and theirs != own and not self.is_public(inner):
                return "it is not installed, and the examples are users' programs"
            return None
        if inner == UMBRELLA:
            return "the umbrella is for users; include what is needed"
        room, other = path.parent.as_posix(), inner.parent.as_posix()
        if room not in self.rooms or room == other:
            return None  # that it is unknown is said once for the file
        allowed = self.rooms[room].split()
        if other in allowed:
            self.used.add((room, other))
        elif (path.as_posix(), other) in self.exceptions:
            self.used.add((path.as_posix(), other))
        else:
            return (f"{room} must not include {other}, but itself and: "
                    f"{', '.join(allowed) or 'nothing'} (ROOMS in tests/check_includes.py)")
        return None

    def check_include(self, path, target, quoted):
        """What is wrong with the include of `target` in the file `path`: a message or None."""
        if ".." in pathlib.PurePath(target).parts:
            return f"'{target}' climbs with '..'"
        if quoted:
            return f"\"{target}\" is to be written <chainrule/...>"
        if re.match(r"Eigen/|unsupported/Eigen", target):
            if self.is_public(path) and path.as_posix() != "core/eigen.hpp":
                return f"<{target}> in a public header: only core/eigen.hpp may include Eigen"
            return None
        if not target.startswith("chainrule/"):
            if pathlib.PurePath(target).parts[0] in FOLDERS and (self.root / target).exists():
                return f"<{target}> is to be written <chainrule/{target}>"
            return None
        inner = pathlib.PurePath(target).relative_to("chainrule")
        if not (self.root / inner).is_file():
            return f"<{target}> does not exist"
        message = self.check_room(path, inner)
        if message:
            return f"<{target}>: {message}"
        if self.is_public(path) and not self.is_public(inner):
            return f"<{target}> is not installed, but a public header includes it"
        return None

    def check_file(self, path):
        """What is wrong with the file: lists of messages and of warnings."""
        problems, warnings = [], []
        text = (self.root / path).read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            message = self.check_include(path, match[2], match[1] == '"')
            if message:
                line = text.count("\n", 0, match.start()) + 1
                problems.append(f"{path}:{line}: {message}")
        if path.suffix == ".hpp" and "#pragma once" not in text:
            problems.append(f"{path}:1: no #pragma once")
        if len(path.parts) > 1:
            if path.parts[0] in LIBRARY and path.parent.as_posix() not in self.rooms:
                problems.append(f"{path}:1: who may include whom in {path.parent}? "
                                "It has no line in ROOMS of tests/check_includes.py")
            if path.suffix == ".cpp" and not self.is_compiled(path):
                problems.append(f"{path}:1: is not in {path.parts[0]}/meson.build")
        lines = text.count("\n")
        if lines > LONG:
            warnings.append(f"{path}: {lines} lines; a file is to be read in one sitting")
        return problems, warnings

    def check(self):
        """What is wrong with the tree: lists of messages and of warnings."""
        problems, warnings = wrong_order(self.rooms), []
        for path in self.files:
            for found, these in zip((problems, warnings), self.check_file(path)):
                found += these
        problems += [f"{path}: is installed, but does not exist" for path in sorted(self.public)
                     if not (self.root / path).is_file()]
        for room, allowed in self.rooms.items():
            warnings += [f"ROOMS: nothing in {room} includes {other}; take it out"
                         for other in allowed.split() if (room, other) not in self.used]
        warnings += [f"EXCEPTIONS: {path} does not include {other}; take it out"
                     for path, other in self.exceptions if (path, other) not in self.used]
        return problems, warnings


def main():
    tree = Tree()
    problems, warnings = tree.check()
    for message in warnings:
        print(f"warning: {message}")
    for message in problems:
        print(f"error: {message}")
    print(f"{len(tree.files)} files, {len(problems)} errors, {len(warnings)} warnings")
    if not tree.files:
        print("error: no source files found")
    return 1 if problems or not tree.files else 0


if __name__ == "__main__":
    sys.exit(main())
