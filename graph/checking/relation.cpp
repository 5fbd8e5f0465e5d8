#include <chainrule/graph/checking/relation.hpp>

#include <fmt/format.h>

#include <utility>
#include <vector>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/graph/derivation/simplify.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

constexpr int largest_computation = 8;

// The operation of one operand by which a tensor was computed from another; null if it was not.
const Op* function_from(const Trace& trace, const Expr& result, const Expr& from) {
  const Expr& formula = trace.forward(result->node);
  const bool of_one = formula && formula->operands.size() == 1 && formula->operands[0] &&
                      formula->operands[0]->kind == Kind::tensor;
  return of_one && formula->operands[0]->node == from->node ? formula->op() : nullptr;
}

bool is_computed_from(const Trace& trace, const Expr& result, const Expr& from) {
  if (!trace.forward(result->node)) return false;
  const Expr formula = without_unnamed(trace, trace.forward(result->node));
  if (size_of(formula) > largest_computation) return false;
  bool found = false;
  visit_parts(formula, [&](const Expr& part) { found |= key_of(part) == key_of(from); });
  return found;
}

// What a gradient is multiplied by, element by element, on the way to another; empty where other
// operations are on it.
std::vector<Expr> factors_between(const Trace& trace, const Expr& from, const Expr& result) {
  constexpr int most_steps = 6;
  std::vector<Expr> factors;
  Expr at = result;
  for (int step = 0; at && step < most_steps; ++step) {
    if (at->node == from->node) return factors;
    if (!trace.gradient(at->node)) break;
    std::vector<Expr> to_do{multiplied_out(trace, trace.gradient(at->node))};
    at = nullptr;
    while (!to_do.empty()) {
      const Expr next = to_do.back();
      to_do.pop_back();
      if (next->is(Role::Kind::product))
        to_do.insert(to_do.end(), {next->operands[1], next->operands[0]});
      else if (next->kind == Kind::gradient && !at)
        at = next;
      else
        factors.push_back(next);
    }
  }
  return {};
}

// "the factors s and σ'(u) are missing"
std::string factors_in_words(const std::vector<Expr>& factors, const Text& text, const char* what) {
  if (factors.empty()) return "";
  std::string words;
  for (std::size_t k = 0; k < factors.size(); ++k)
    words += (k == 0 ? "" : k + 1 == factors.size() ? " and " : ", ") + text(factors[k]);
  return factors.size() == 1 ? fmt::format("the factor {} is {}", words, what)
                             : fmt::format("the factors {} are {}", words, what);
}

}  // namespace

std::string missing_beside(const Comparison& comparison, const Text& text, const Expr& formula,
                           const Expr& e) {
  if (!formula || formula->kind != Kind::operation || formula->operands.size() != 2) return "";
  const Role role = formula->role();
  using RoleKind = Role::Kind;
  const bool is_factor = role.is(RoleKind::product) || role.is(RoleKind::matrix_product) ||
                         role.is(RoleKind::quotient);
  const bool is_term = role.is(RoleKind::sum) || role.is(RoleKind::difference);
  if (!is_factor && !is_term) return "";
  for (const std::size_t k : {0, 1}) {
    // Of a quotient or difference only what the other is divided by or taken from it.
    if (k == 1 && (role.is(RoleKind::quotient) || role.is(RoleKind::difference))) break;
    const Expr& mine = formula->operands[k];
    if (!mine || mine->shape != e->shape ||
        !comparison.same(evaluate(mine, comparison.point(0)), evaluate(e, comparison.point(0))))
      continue;
    const Expr& other = formula->operands[1 - k];
    return fmt::format("the {} {} is missing", is_factor ? "factor" : "term",
                       role.is(RoleKind::quotient)     ? inverse_in_words(comparison, text, other)
                       : role.is(RoleKind::difference) ? negative_in_words(comparison, text, other)
                                                       : text(other));
  }
  return "";
}

std::string relation(const Trace& trace, const Comparison& comparison, const Text& text,
                     const Expr& e, const Expr& other) {
  if (!e->is_symbol() || !other->is_symbol() || e->kind != other->kind) return "";
  const bool tensors = e->kind == Kind::tensor;
  if (tensors) {
    if (const Op* function = function_from(trace, other, e))
      return fmt::format("the function {} is missing", function->name());
    if (const Op* function = function_from(trace, e, other))
      return fmt::format("the function {} is too much", function->name());
  }
  const Expr& formula = tensors ? trace.forward(other->node) : trace.gradient(other->node);
  if (formula && formula->role().is(Role::Kind::slope) && formula->operands[0] &&
      key_of(formula->operands[0]) == key_of(e) && trace.forward(e->node))
    return fmt::format("{} is missing", slope_name(*trace.forward(e->node)->application));
  if (std::string found = missing_beside(comparison, text, formula, e); !found.empty())
    return found;
  if (!tensors) {
    const std::string missing = factors_in_words(factors_between(trace, e, other), text, "missing");
    return !missing.empty() ? missing
                            : factors_in_words(factors_between(trace, other, e), text, "too much");
  }
  // Where one is computed from the other in a few steps, how.
  for (const auto& [result, from] : {std::pair(other, e), std::pair(e, other)})
    if (is_computed_from(trace, result, from))
      if (const std::string computation = text(without_unnamed(trace, trace.forward(result->node)));
          computation != text(result))
        return fmt::format("of the wrong layer, time or kind, as {} is {}", text(result),
                           computation);
  return "";
}

}  // namespace chainrule::derivation
