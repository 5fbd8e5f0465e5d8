#include <chainrule/graph/teaching/elements.hpp>

#include <algorithm>
#include <cmath>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>

namespace chainrule::teaching {

using derivation::Environment;
using derivation::Expr;
using derivation::Expression;
using derivation::numbers;
using Kind = Expression::Kind;

namespace {

// Of larger tensors nobody computes by hand; of a matrix that is 4 × 4.
constexpr std::int64_t most_elements = 16;
constexpr std::size_t most_tensors = 4;
constexpr double digits = 1e3;  // as 0.123
// An element that is asked for has at least this part of the largest.
constexpr double least = 0.2;

Tensor rounded(const Tensor& x) {
  std::vector<double> elements = numbers(x);
  for (double& e : elements) e = std::round(e * digits) / digits + 0.0;  // no −0
  return from_vector(elements, x.shape());
}

// What stands in a formula, and y for a σ'(z) of which it is known.
std::vector<Expr> symbols_of(const derivation::Trace& trace, const Expr& formula) {
  std::vector<Expr> symbols;
  const auto add = [&](const Expr& symbol) {
    const bool known = std::ranges::any_of(symbols, [&](const Expr& other) {
      return other->kind == symbol->kind && other->node == symbol->node &&
             symbol->kind != Kind::constant;
    });
    if (!known) symbols.push_back(symbol);
  };
  derivation::visit_parts(formula, [&](const Expr& part) {
    if (part->is_symbol() || part->kind == Kind::constant) add(part);
    if (part->kind != Kind::slope) return;
    const std::uint32_t i = trace.find(part->application.get());
    if (i != Traversal::none && !trace.node(i).name().empty())
      add(derivation::tensor_expression(i, part->shape));
  });
  return symbols;
}

}  // namespace

std::optional<Exercise::Element> element_of(Listing& listing, const derivation::Chain::Link& link,
                                            std::span<const Exercise::Choice> choices,
                                            Generator& random) {
  const derivation::Trace& trace = listing.trace();
  if (link.formula()->is_symbol()) return std::nullopt;
  const std::vector<Expr> symbols = symbols_of(trace, link.formula());
  if (symbols.empty() || symbols.size() > most_tensors) return std::nullopt;
  Environment shown = trace.environment();
  Exercise::Element element;
  for (const Expr& symbol : symbols) {
    const Tensor value = evaluate(symbol, trace.environment());
    if (value.numel() > most_elements || value.shape().rank() > 2 || !is_floating(value.dtype()))
      return std::nullopt;
    const Tensor few = rounded(value);
    if (symbol->kind == Kind::tensor) shown.tensors[symbol->node] = few;
    if (symbol->kind == Kind::gradient) shown.gradients[symbol->node] = few;
    element.given.push_back({listing.written(symbol), few});
  }
  const Tensor exact = evaluate(link.formula(), trace.environment());
  // An operation may refuse what is left of a number in few digits.
  const std::optional<Tensor> of_shown =
      derivation::attempt([&] { return evaluate(link.formula(), shown); });
  if (!of_shown) return std::nullopt;
  const std::vector<double> right = numbers(exact), by_shown = numbers(*of_shown);
  const double most = derivation::largest(right);
  const auto tolerance = [&](std::size_t e) {
    return 0.01 * std::abs(right[e]) + 2 * std::abs(right[e] - by_shown[e]) + 1 / digits;
  };
  // Where each wrong formula gives something else, else where most do.
  std::vector<std::size_t> places;
  std::size_t told_apart = 0;
  for (std::size_t e = 0; e < right.size(); ++e) {
    if (!(std::abs(right[e]) >= least * most) || !(std::abs(right[e]) > 4 * tolerance(e))) continue;
    std::size_t others = 0;
    for (const Exercise::Choice& choice : choices)
      if (choice.value.defined() && choice.value.shape() == exact.shape())
        others += std::abs(numbers(choice.value)[e] - right[e]) > 2 * tolerance(e);
    if (others < told_apart) continue;
    if (others > told_apart) places.clear();
    told_apart = others;
    places.push_back(e);
  }
  if (places.empty()) return std::nullopt;
  const std::size_t e =
      places[static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(places.size())))];
  element.index = position_of(static_cast<std::int64_t>(e), exact.shape());
  element.value = right[e];
  element.tolerance = tolerance(e);
  return element;
}

std::vector<WrongElement> wrong_elements(const Exercise::Line& line) {
  std::vector<WrongElement> wrong;
  if (!line.element) return wrong;
  std::int64_t place = 0;
  for (int axis = 0; axis < line.shape.rank(); ++axis)
    place = place * line.shape[axis] + line.element->index[axis];
  for (const Exercise::Choice& choice : line.choices) {
    if (!choice.value.defined() || choice.value.shape() != line.shape) continue;
    const double value = numbers(choice.value)[static_cast<std::size_t>(place)];
    if (std::abs(value - line.element->value) > 2 * line.element->tolerance)
      wrong.push_back({value, &choice});
  }
  return wrong;
}

}  // namespace chainrule::teaching
