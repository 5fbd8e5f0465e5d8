#include <chainrule/graph/checking/taken_apart.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include <chainrule/graph/checking/terms.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

}  // namespace

TakenApart::TakenApart(const Trace& trace, const Comparison& comparison, const Text& text)
    : trace_(trace),
      comparison_(comparison),
      text_(text),
      formula_(comparison.suspect().formula ? comparison.suspect().formula
                                            : constant_expression(comparison.value(0))) {
  visit_parts(formula_, [&](const Expr& e) { parts_.push_back(e); });
  std::set<std::string> seen;
  const auto keep = [&](const Expr& e) {
    if (seen.insert(key_of(e)).second) spares_.push_back(e);
  };
  const auto take_apart = [&](const Expr& e) { visit_parts(e, keep); };
  take_apart(comparison.suspect().right);
  take_apart(trace.gradient(comparison.suspect().node));
  take_apart(written_out(trace.gradient(comparison.suspect().node), comparison.point(0)));
  // What the right formula is made from, one step further up.
  for (const Expr& e : std::vector<Expr>(spares_))
    if (e->kind == Kind::gradient && trace.gradient(e->node)) take_apart(trace.gradient(e->node));
  // The parts of slopes.
  for (const Expr& e : std::vector<Expr>(spares_))
    if (e->kind == Kind::slope || e->is(Role::Kind::slope))
      if (const Expr simpler = in_simpler_operations(e, comparison.point(0))) take_apart(simpler);
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    if (!trace.is_tensor(i)) continue;
    if (!trace.node(i).name().empty()) keep(tensor_expression(i, trace.node(i).shape()));
    if (trace.gradient(i) && trace.is_named(i) && i != comparison.suspect().node)
      keep(gradient_expression(i, trace.node(i).shape()));
  }
  for (const Expr& e : spares_)
    if (e->kind == Kind::number) numbers_.push_back(e->number);
  for (const double number : numbers_of(trace)) numbers_.push_back(number);
  // Of products of several the parts that belong together, as y ⊗ (1 − y).
  for (const Expr& e : std::vector<Expr>(spares_)) {
    const std::vector<Expr> factors = factors_of(e);
    for (std::size_t k = 0; k + 1 < factors.size() && factors.size() <= 6; ++k)
      if (Expr pair = built([&](Builder& builder) {
            return builder.value(factors[k]) * builder.value(factors[k + 1]);
          }))
        keep(pair);
  }
  std::ranges::stable_sort(spares_, {}, size_of);
}

bool TakenApart::write_in_terms() {
  if (!comparison_.suspect().formula) return false;
  const std::vector<Expr> terms = terms_of(formula_, comparison_.point(0));
  if (terms.size() < 2) return false;
  Expr sum = built([&](Builder& builder) {
    Tensor all = builder.value(terms[0]);
    for (std::size_t k = 1; k < terms.size(); ++k) all = all + builder.value(terms[k]);
    return all;
  });
  if (!sum || key_of(sum) == key_of(formula_)) return false;
  formula_ = std::move(sum);
  parts_.clear();
  visit_parts(formula_, [&](const Expr& e) { parts_.push_back(e); });
  return true;
}

std::vector<Expr> TakenApart::factors_of(const Expr& e) {
  std::vector<Expr> factors, to_do{e};
  while (!to_do.empty()) {
    const Expr next = to_do.back();
    to_do.pop_back();
    if (factors.size() + to_do.size() > 8) return {e};
    if (next->is(Role::Kind::product))
      to_do.insert(to_do.end(), {next->operands[1], next->operands[0]});
    else
      factors.push_back(next);
  }
  return factors;
}

}  // namespace chainrule::derivation
