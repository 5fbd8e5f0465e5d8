#include <chainrule/core/create.hpp>
#include <chainrule/graph/derivation/derive.hpp>

#include <doctest/doctest.h>

#include <string>

#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

TEST_CASE("derive: errors of the formats name the line of their call, however the view was made") {
  const Tensor w = ones({2}).named("w").requires_grad_();
  const Derivation derivation = derive(sum(w * w));
  DerivationView view;
  view.fold_modules = -1;
  const std::string said =
      "derive: fold_modules = -1: a number of names cannot be negative\n  at HERE\n  hint: 0 folds "
      "none, 1 the outermost";
  CHECK(error_of<ValueError>([&] { derivation.text(view); }) == said);
  CHECK(error_of<ValueError>([&] { derivation.latex(view); }) == said);
  CHECK(error_of<ValueError>([&] { derivation.markdown(view); }) == said);
  CHECK(error_of<ValueError>([&] { derivation.html(view); }) == said);
  CHECK(error_of<ValueError>([&] { derivation.html_table(view); }) == said);
}

TEST_SUITE_END();
