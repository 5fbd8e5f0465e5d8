#include <chainrule/graph/checking/free_point.hpp>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/shape/join.hpp>

namespace chainrule::derivation {

namespace {

// Elements move by parts of their size, so that signs stay; zeros become small.
Tensor moved(const Tensor& x, Generator& generator) {
  constexpr double part = 0.25, of_zeros = 0.1;
  const Tensor by = uniform(-1, 1, x.shape(), generator, f64);
  std::vector<double> elements = numbers(x);
  const std::vector<double> u = numbers(by);
  const double size = largest(elements) > 0 ? largest(elements) : 1;
  for (std::size_t e = 0; e < elements.size(); ++e)
    elements[e] =
        elements[e] == 0 ? of_zeros * size * std::abs(u[e]) : elements[e] * (1 + part * u[e]);
  return from_vector(elements, x.shape());
}

// Data keeps what it is, as formulas may rest on it: rows of labels sum to 1, kernels are
// symmetric. But of labels that are the identity the rows stand in another order.
Tensor in_other_order(const Tensor& x) {
  if (x.rank() != 2 || x.shape()[0] != x.shape()[1] || x.shape()[0] < 2) return x;
  const std::int64_t n = x.shape()[0];
  if (numbers(x) != numbers(eye(n, f64))) return x;
  std::vector<Tensor> rows = split(x, 1, 0);
  std::ranges::rotate(rows, rows.begin() + 1);
  return concat(rows, 0);
}

// Whether a formula goes back to parameters that the tensor was computed from.
bool goes_behind(const Trace& trace, const Expr& formula, std::uint32_t target) {
  std::vector<bool> behind(trace.size());
  behind[target] = true;
  for (std::uint32_t i = target + 1; i-- > 0;)
    if (behind[i])
      for (const std::uint32_t edge : trace.traversal().edges(i))
        if (edge != Traversal::none) behind[edge] = true;
  bool found = false;
  visit_parts(formula, [&](const Expr& part) {
    found = found ||
            (part->kind == Expression::Kind::tensor && part->node != target && behind[part->node] &&
             trace.node(part->node).is_leaf() && trace.node(part->node).requires_grad());
  });
  return found;
}

}  // namespace

std::optional<Environment> free_point(const Trace& trace, std::uint32_t target,
                                      const Expr& formula) {
  const NoGrad guard;
  const Environment& here = trace.environment();
  std::set<std::uint32_t> given;
  bool has_data = false;  // which nothing moves, and may be a mask
  visit_parts(formula, [&](const Expr& part) {
    has_data = has_data || part->kind == Expression::Kind::constant;
    if (part->kind != Expression::Kind::gradient || part->node == target) return;
    // What passes a gradient on makes no other one of it.
    std::uint32_t i = part->node;
    while (trace.gradient(i) && trace.gradient(i)->kind == Expression::Kind::gradient)
      i = trace.gradient(i)->node;
    given.insert(i);
  });
  if (has_data) return std::nullopt;
  Generator generator(0xf4ee);
  const auto point = attempt([&] {
    std::vector<Tensor> leaves(trace.size());
    for (std::uint32_t i = 0; i < trace.size(); ++i)
      if (const Tensor& value = here.tensors[i];
          !trace.replay().computed(i) && value.defined() && value.dtype() == f64)
        leaves[i] = trace.node(i).requires_grad() ? moved(value, generator) : in_other_order(value);
    std::vector<Tensor> tensors = trace.replay().from(std::move(leaves));
    if (trace.replay().computed(target) && !goes_behind(trace, formula, target)) {
      const Tensor there = moved(tensors[target], generator);
      tensors = trace.replay().changed(target, there, std::move(tensors));
    }
    Environment point{std::move(tensors), std::vector<Tensor>(trace.size())};
    std::vector<bool> depends(trace.size());  // on one that is given
    for (auto i = static_cast<std::uint32_t>(trace.size()); i-- > 0;) {
      if (!trace.gradient(i) || !trace.is_named(i)) continue;
      point.gradients[i] = evaluate(trace.gradient(i), point);
      visit_parts(trace.gradient(i), [&](const Expr& part) {
        if (part->kind == Expression::Kind::gradient && part->node < depends.size())
          depends[i] = depends[i] || depends[part->node] || given.contains(part->node);
      });
      if (given.contains(i) && !depends[i]) {
        const double size = largest(numbers(point.gradients[i]));
        point.gradients[i] =
            uniform(-1, 1, trace.node(i).shape(), generator, f64) * (size > 0 ? size : 1);
      }
    }
    return point;
  });
  if (!point || !is_finite_at(trace, *point)) return std::nullopt;
  return point;
}

}  // namespace chainrule::derivation
