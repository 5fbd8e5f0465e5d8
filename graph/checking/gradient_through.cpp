#include <chainrule/graph/checking/gradient_through.hpp>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/checking/told_gradients.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

// The operations that only move elements by which a gradient was made of another one's symbol, the
// last one first; none where it was made otherwise.
std::vector<Expr> moves_of(const Expr& gradient) {
  std::vector<Expr> moves;
  Expr at = gradient;
  while (at->is(Role::Kind::reshape) || at->is(Role::Kind::permutation)) {
    moves.push_back(at);
    at = at->operands[0];
  }
  return at->kind == Kind::gradient ? moves : std::vector<Expr>();
}

// A permutation's operand from its result: after so many more of it all is as it was.
Expr permuted_back(const Expression& permutation, Expr e) {
  const Tensor as_it_was =
      reshape(arange(permutation.shape.numel(), f64), permutation.operands[0]->shape);
  Tensor now = apply_again(*permutation.application, std::span(&as_it_was, 1));
  while (now.shape() != as_it_was.shape() || numbers(now) != numbers(as_it_was)) {
    now = apply_again(*permutation.application, std::span(&now, 1));
    e = operation_expression(permutation.application, {std::move(e)}, now.shape());
  }
  return e;
}

// What `of` tells of the gradient that it was moved from.
Expr moved_back(const Trace& trace, Expr of, const std::vector<Expr>& moves) {
  for (const Expr& move : moves)
    of = !move->is(Role::Kind::reshape)
             ? permuted_back(*move, std::move(of))
             : built(trace.environment(), [&](Builder& builder) {
                 return reshape(builder.value(of), move->operands[0]->shape);
               });
  return of;
}

}  // namespace

Expr gradient_through(const Trace& trace, std::uint32_t i, std::span<const std::uint32_t> given) {
  // Whether `from` was computed from i without the node between them.
  const auto has_other_way = [&](std::uint32_t from, std::uint32_t between) {
    std::vector<bool> behind(from + std::size_t{1});
    behind[from] = true;
    for (std::uint32_t j = from; j > i; --j)
      if (behind[j] && j != between)
        for (const std::uint32_t edge : trace.traversal().edges(j))
          if (edge != Traversal::none) behind[edge] = true;
    return static_cast<bool>(behind[i]);
  };
  Replacements parts;
  visit_parts(trace.gradient(i), [&](const Expr& part) {
    if (part->kind != Kind::gradient) return;
    for (const std::uint32_t between : given) {
      if (part->node <= between || between <= i) continue;
      const Expr& passed = trace.gradient(between);
      const std::vector<Expr> moves = moves_of(passed);
      const Expr& from = moves.empty() ? passed : moves.back()->operands[0];
      if (from->kind != Kind::gradient || from->node != part->node || from->shape != part->shape ||
          has_other_way(part->node, between))
        continue;
      parts[part.get()] = moved_back(trace, gradient_expression(between, passed->shape), moves);
    }
  });
  if (std::ranges::find(given, i) != given.end())
    for (Told& one : told(trace, i, given))
      parts.try_emplace(one.gradient.get(), std::move(one.is));
  return parts.empty() ? trace.gradient(i) : replaced(trace.gradient(i), parts);
}

}  // namespace chainrule::derivation
