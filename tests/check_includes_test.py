#!/usr/bin/env python3
"""Shows that check_includes.py finds what it is to find: each test plants one mistake in a tree."""

import pathlib
import tempfile
import unittest

import check_includes

FILES = {
    "core/tensor.hpp": "#pragma once\n",
    "core/eigen.hpp": "#pragma once\n#include <Eigen/Core>\n#include <chainrule/core/tensor.hpp>\n",
    "core/detail/text.hpp": "#pragma once\n",
    "core/meson.build": "install_headers(files('tensor.hpp', 'eigen.hpp'), subdir: 'core')",
    "ops/nn/softmax.hpp": "#pragma once\n#include <chainrule/core/tensor.hpp>\n",
    "ops/nn/softmax.cpp": "#include <chainrule/ops/nn/softmax.hpp>\n",
    "ops/nn/log.cpp": "#include <chainrule/graph/backward.hpp>\n",
    "ops/meson.build": "files('nn/softmax.cpp', 'nn/log.cpp')\n"
                       "install_headers(files('nn/softmax.hpp'), subdir: 'ops')",
    "graph/backward.hpp": "#pragma once\n#include <chainrule/ops/nn/softmax.hpp>\n",
    "graph/meson.build": "install_headers(files('backward.hpp'), subdir: 'graph')",
    "examples/main.cpp": "#include <chainrule/graph/backward.hpp>\n",
    "examples/meson.build": "files('main.cpp')",
    "tests/helpers.hpp": "#pragma once\n#include <chainrule/core/detail/text.hpp>\n",
}
ROOMS = {"core/detail": "", "core": "", "ops/nn": "core", "graph": "ops/nn"}
EXCEPTIONS = {("ops/nn/log.cpp", "graph"): "a reason"}


class CheckIncludes(unittest.TestCase):
    def check(self, changes=(), rooms=None, exceptions=None):
        """The messages and the warnings for the tree above with these files changed."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**FILES, **dict(changes)}.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return check_includes.Tree(folder, rooms or ROOMS,
                                       EXCEPTIONS if exceptions is None else exceptions).check()

    def finds(self, message, *args, **keywords):
        problems, _ = self.check(*args, **keywords)
        self.assertEqual(len(problems), 1, problems)
        self.assertIn(message, problems[0])

    def test_a_tree_without_mistakes_passes(self):
        self.assertEqual(self.check(), ([], []))

    def test_the_order_of_the_library_s_folders_is_that_of_the_table(self):
        self.assertEqual(check_includes.wrong_order(check_includes.ROOMS), [])
        self.finds("core may include ops/nn, which does not stand above it",
                   rooms={**ROOMS, "core": "ops/nn"})

    def test_an_include_that_the_table_does_not_allow(self):
        for name, message in {
                "graph/backward.hpp": "core/tensor.hpp:2: <chainrule/graph/backward.hpp>: "
                                      "core must not include graph, but itself and: nothing",
                "core/detail/text.hpp": "core must not include core/detail"}.items():
            self.finds(message, {"core/tensor.hpp": f"#pragma once\n#include <chainrule/{name}>\n"})
        self.finds("graph must not include core, but itself and: ops/nn",
                   {"graph/backward.hpp": "#pragma once\n#include <chainrule/core/tensor.hpp>\n"
                                          "#include <chainrule/ops/nn/softmax.hpp>\n"})

    def test_an_exception_is_for_one_file(self):
        self.finds("ops/nn/log.cpp:1: <chainrule/graph/backward.hpp>: ops/nn must not include",
                   exceptions={})
        self.finds("ops/nn/softmax.cpp:1: <chainrule/graph/backward.hpp>: ops/nn must not",
                   {"ops/nn/softmax.cpp": "#include <chainrule/graph/backward.hpp>\n"})

    def test_a_folder_without_a_line_in_the_table(self):
        self.finds("graph/new/a.hpp:1: who may include whom in graph/new?",
                   {"graph/new/a.hpp": "#pragma once\n"})

    def test_permissions_that_nothing_uses_are_warnings(self):
        problems, warnings = self.check({"ops/nn/log.cpp": ""}, {**ROOMS, "graph": "core ops/nn"})
        self.assertEqual(problems, [])
        self.assertEqual(warnings, [
            "ROOMS: nothing in graph includes core; take it out",
            "EXCEPTIONS: ops/nn/log.cpp does not include graph; take it out"])

    def test_programs(self):
        for name, included, message in [
                ("graph/backward.hpp", "examples/main.hpp", "graph must not include examples"),
                ("examples/a.hpp", "tests/helpers.hpp", "examples must not include tests"),
                ("examples/a.hpp", "core/detail/text.hpp", "it is not installed"),
                ("bench/a.hpp", "examples/main.hpp", "bench must not include examples"),
                ("tests/a.hpp", "bench/main.hpp", "tests must not include bench")]:
            text = (f"#pragma once\n#include <chainrule/{included}>\n"
                    "#include <chainrule/ops/nn/softmax.hpp>\n")
            self.finds(message, {included: "#pragma once\n", name: text})

    def test_the_umbrella(self):
        whole = "#pragma once\n#include <chainrule/graph/backward.hpp>\n"
        installs = {"chainrule.hpp": whole,
                    "meson.build": "install_headers('chainrule.hpp', subdir: '')"}
        self.assertEqual(self.check(installs), ([], []))
        self.finds("the umbrella is for users",
                   {**installs, "ops/nn/softmax.cpp": "#include <chainrule/chainrule.hpp>\n"})
        more = whole + "#include <chainrule/core/detail/text.hpp>\n"
        self.finds("<chainrule/core/detail/text.hpp> is not installed",
                   {**installs, "chainrule.hpp": more})

    def test_public_headers(self):
        self.finds("only core/eigen.hpp may include Eigen",
                   {"core/tensor.hpp": "#pragma once\n#include <Eigen/Core>\n"})
        self.finds("<chainrule/core/new.hpp> is not installed, but a public header includes it",
                   {"core/new.hpp": "#pragma once\n",
                    "core/tensor.hpp": "#pragma once\n#include <chainrule/core/new.hpp>\n"})
        self.finds("core/gone.hpp: is installed, but does not exist",
                   {"core/meson.build": "install_headers(files('tensor.hpp', 'eigen.hpp', "
                                        "'gone.hpp'), subdir: 'core')"})

    def test_how_includes_are_written(self):
        for include, message in {
                '"tensor.hpp"': "is to be written <chainrule/...>",
                "<core/tensor.hpp>": "is to be written <chainrule/core/tensor.hpp>",
                "<chainrule/ops/../core/tensor.hpp>": "climbs",
                "<chainrule/core/gone.hpp>": "does not exist"}.items():
            self.finds(message, {"ops/nn/softmax.cpp": f"#include {include}\n"})

    def test_what_every_file_has(self):
        self.finds("core/tensor.hpp:1: no #pragma once", {"core/tensor.hpp": ""})
        self.finds("core/new.cpp:1: is not in core/meson.build", {"core/new.cpp": ""})


if __name__ == "__main__":
    unittest.main()
