#include <chainrule/graph/checking/other_sides.hpp>

#include <algorithm>
#include <set>
#include <utility>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/checking/difference.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/rewrite.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

namespace {

// In units of the parameters' sizes: so that most of them may be of the other sign; and nearer,
// where the loss is not finite.
constexpr double distances[] = {2.5, 1};

// Units of each parameter's own size, or of 1 where they are small.
enum class Units { own, at_least_one };
Tensor units_of(const Tensor& x, Units units) {
  std::vector<double> sizes = numbers(steps_of(x));
  if (units == Units::at_least_one)
    for (double& size : sizes) size = std::max(size, 1.0);
  return from_vector(sizes, x.shape());
}

// What of a part goes by sides: the slope in g ⊗ φ'(z), or all of it.
Expr side_of(const Expr& part) {
  return part->is(Role::Kind::slope)
             ? with_operands(part,
                             {number_expression(1, part->operands[0]->shape), part->operands[1]})
             : part;
}

bool may_be_side(const Expr& part) {
  return part->is(Role::Kind::slope) || part->kind == Expression::Kind::slope ||
         part->is(Role::Kind::comparison) || part->is(Role::Kind::conversion) ||
         (part->kind == Expression::Kind::operation && part->is(Role::Kind::other));
}

std::vector<Environment> points_at_other_sides(const Trace& trace) {
  const NoGrad guard;
  Generator generator(0x51de);
  std::vector<Environment> points;
  for (const Units units : {Units::own, Units::own, Units::at_least_one})
    for (const double distance : distances) {
      std::optional<Environment> point = attempt([&] {
        std::vector<Tensor> leaves(trace.size());
        for (std::uint32_t i = 0; i < trace.size(); ++i) {
          if (trace.replay().computed(i) || !trace.node(i).requires_grad()) continue;
          const Tensor& x = trace.environment().tensors[i];
          leaves[i] =
              x + uniform(-distance, distance, x.shape(), generator, f64) * units_of(x, units);
        }
        return trace.at(trace.replay().from(std::move(leaves)));
      });
      if (!point || !is_finite_at(trace, *point)) continue;
      points.push_back(std::move(*point));
      break;
    }
  return points;
}

}  // namespace

bool has_sides_of_scalars(const Trace& trace) {
  const NoGrad guard;
  const Environment& here = trace.environment();
  const auto moved = [](const Tensor& x, double by) {
    return is_floating(x.dtype()) ? x + by * steps_of(x) : x;
  };
  // What stays the very same where its operand moves a little, to one side at least.
  const auto is_flat = [&](const Expr& part) {
    const Expr side = side_of(part);
    const auto with_moved = [&](double by) {
      std::vector<Expr> operands = side->operands;
      for (Expr& operand : operands)
        if (operand && operand->kind != Expression::Kind::number)
          operand = constant_expression(moved(evaluate(operand, here), by));
      return numbers(evaluate(with_operands(side, std::move(operands)), here));
    };
    return attempt([&] {
             return with_moved(0) == with_moved(1e-3) || with_moved(0) == with_moved(-1e-3);
           })
        .value_or(true);
  };
  bool found = false;
  for (std::uint32_t i = 0; i < trace.size(); ++i)
    if (trace.gradient(i))
      visit_parts(trace.gradient(i), [&](const Expr& part) {
        found = found || (part->shape.numel() == 1 && may_be_side(part) && is_flat(part));
      });
  return found;
}

OtherSides::OtherSides(const Trace& trace, const PointsNearby& nearby)
    : trace_(trace), nearby_(nearby), points_(points_at_other_sides(trace)) {}

bool OtherSides::is_side(const Expr& part) const {
  const auto [known, is_new] = sides_.try_emplace(part.get(), false);
  if (!is_new) return known->second;
  constexpr std::size_t most_values = 8;
  const Expr side = side_of(part);
  std::set<double> taken;
  const auto take = [&](const Environment& point) {
    for (const double value : numbers(evaluate(side, point)))
      if (taken.insert(value).second && taken.size() > most_values) return false;
    return true;
  };
  if (!take(trace_.environment()) || !std::ranges::all_of(points_, take)) return false;
  const bool stays = std::ranges::all_of(nearby_.nearest(), [&](const Environment& point) {
    return std::ranges::all_of(numbers(evaluate(side, point)),
                               [&](double value) { return taken.contains(value); });
  });
  return sides_[part.get()] = stays;
}

Expr OtherSides::on(const Environment& sides, const Expr& rule, const Environment& point) const {
  return rewritten(rule, [&](const Expr& part, Expr now) {
    if (!may_be_side(part) || !is_side(part)) return now;
    const Expr side = side_of(part);
    if (numbers(evaluate(side, sides)) == numbers(evaluate(side, point))) return now;
    if (!part->is(Role::Kind::slope)) return constant_expression(evaluate(part, sides));
    return with_operands(
        now, {now->operands[0], constant_expression(evaluate(part->operands[1], sides))});
  });
}

const Environment& OtherSides::on(const Environment& sides, const Environment& point) const {
  const auto [found, is_new] = on_.try_emplace({&sides, &point}, point);
  Environment& there = found->second;
  if (is_new)
    for (const std::uint32_t j : trace_.order())
      if (trace_.gradient(j) && trace_.is_named(j))
        there.gradients[j] = attempt([&] {
                               return evaluate(on(sides, trace_.gradient(j), point), there);
                             }).value_or(Tensor());
  return there;
}

Tensor OtherSides::gradient_on(const Environment& sides, std::uint32_t i,
                               const Environment& point) const {
  const NoGrad guard;
  const Environment& there = on(sides, point);
  if (trace_.is_named(i)) return there.gradients[i];
  return attempt([&] { return evaluate(on(sides, trace_.gradient(i), point), there); })
      .value_or(Tensor());
}

}  // namespace chainrule::derivation
