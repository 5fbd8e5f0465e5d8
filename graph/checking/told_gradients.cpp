#include <chainrule/graph/checking/told_gradients.hpp>

#include <algorithm>
#include <cstddef>
#include <set>

#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

bool is_given(std::span<const std::uint32_t> given, std::uint32_t i) {
  return std::ranges::find(given, i) != given.end();
}

// What a gradient that was not given is, by one that was and goes on from it alone, element by
// element: of r in t = r ⊘ σ, where dr = dt ⊘ σ, dt = dr ⊗ σ. Null where it cannot be told so.
Expr told_by(const Trace& trace, const Expr& gradient, std::uint32_t given) {
  // The largest ratio of two factors; a smaller one than that is 0 but for rounding.
  constexpr double most_apart = 1e4, same = 1e-9;
  const Expr& rule = trace.gradient(given);
  if (!rule || rule->shape != gradient->shape) return nullptr;
  Replacements ones, any;
  bool alone = true;
  Generator generator(0x701d);
  const Expr random = constant_expression(randn(gradient->shape, generator, f64));
  visit_parts(rule, [&](const Expr& part) {
    if (part->kind != Kind::gradient) return;
    alone = alone && part->node == gradient->node;
    ones[part.get()] = number_expression(1, part->shape);
    any[part.get()] = random;
  });
  if (!alone || ones.empty()) return nullptr;
  const Environment& here = trace.environment();
  const Expr by = replaced(rule, ones);
  const auto is_factor = attempt([&] {
    const Tensor factor = evaluate(by, here);
    const std::vector<double> sizes = numbers(factor);
    return largest(numbers(1 / factor)) * largest(sizes) < most_apart &&
           std::ranges::none_of(
               sizes, [](double x) { return x == 0; }) &&
           nearly_equal(evaluate(replaced(rule, any), here), evaluate(random, here) * factor, same);
  });
  if (!is_factor.value_or(false)) return nullptr;
  return built(here, [&](Builder& builder) {
    return builder.value(gradient_expression(given, rule->shape)) / builder.value(by);
  });
}

// Those among `given` whose gradients may go on from that of node i: what it was computed from, by
// way of what has no gradient with a name.
std::vector<std::uint32_t> given_below(const Trace& trace, std::uint32_t i,
                                       std::span<const std::uint32_t> given) {
  constexpr std::size_t most = 16;
  std::vector<std::uint32_t> found, to_do{i};
  std::set<std::uint32_t> seen;
  for (std::size_t k = 0; k < to_do.size() && k < most; ++k)
    for (const std::uint32_t edge : trace.traversal().edges(to_do[k])) {
      if (edge == Traversal::none || !trace.gradient(edge) || !seen.insert(edge).second) continue;
      if (is_given(given, edge))
        found.push_back(edge);
      else if (!trace.is_named(edge))
        to_do.push_back(edge);
    }
  return found;
}

// Whether it is known at once: data, or others with signs and numbers. Nobody asks what tells it.
bool is_known(const Expr& rule) {
  bool from_others = false, has_tensors = false;
  visit_parts(rule, [&](const Expr& part) {
    from_others = from_others || part->kind == Kind::gradient;
    has_tensors = has_tensors || part->kind == Kind::tensor || part->kind == Kind::slope;
  });
  return !from_others || !has_tensors;
}

}  // namespace

std::vector<Told> told(const Trace& trace, std::uint32_t i, std::span<const std::uint32_t> given) {
  std::vector<Told> found;
  visit_parts(trace.gradient(i), [&](const Expr& part) {
    if (part->kind != Kind::gradient || is_given(given, part->node)) return;
    if (is_known(trace.gradient(part->node))) return;
    const bool tells_itself = told_by(trace, part, i) != nullptr;
    for (const std::uint32_t other : given_below(trace, part->node, given)) {
      const bool is_last = trace.node(i).is_leaf() && !trace.node(other).is_leaf();
      if (other == i || (!is_last && tells_itself)) continue;
      if (Expr is = told_by(trace, part, other)) found.push_back({part, other, std::move(is)});
    }
  });
  return found;
}

}  // namespace chainrule::derivation
