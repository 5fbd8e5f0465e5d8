#include <algorithm>
#include <cmath>
#include <numeric>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/index_formula.hpp>
#include <chainrule/graph/derivation/trace.hpp>
#include <chainrule/graph/derivation/tried.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule::derivation {

Expr Trace::in_named_data(const Expr& constant) const {
  const auto [known, added] = in_named_data_.try_emplace(constant->value.value_ref().get());
  if (added)
    known->second = {constant, constant->value.dtype() == boolean ? find_comparison(constant)
                                                                  : find_named_data(constant)};
  return known->second.second;
}

Expr Trace::find_named_data(const Expr& constant) const {
  const Tensor& value = constant->value;
  if (!is_floating(value.dtype()) || value.numel() == 0) return nullptr;
  const NoGrad guard;
  const std::vector<double> mine = value.to_vector<double>();
  const auto is = [&](const Tensor& data) { return data.to_vector<double>() == mine; };
  for (std::uint32_t i = 0; i < size(); ++i) {
    const Node& node = this->node(i);
    if (!node.is_leaf() || node.requires_grad() || node.name().empty()) continue;
    if (!is_floating(node.dtype()) || node.shape() != constant->shape) continue;
    const Tensor& data = replay_.value(i);
    const Expr symbol = tensor_expression(i, data.shape());
    if (is(data)) return symbol;
    const bool negative = is(-data);
    if (!negative && !is(1 - data)) continue;
    Builder builder(environment_);
    const Tensor y = builder.value(symbol);
    return builder.build([&] { return negative ? -y : 1 - y; });
  }
  return nullptr;
}

std::uint32_t Trace::named_like(const Expression& constant) const {
  if (!is_floating(constant.value.dtype()) || constant.value.numel() == 0) return Traversal::none;
  const std::vector<double> mine = constant.value.to_vector<double>();
  for (std::uint32_t i = 0; i < size(); ++i) {
    const Node& node = this->node(i);
    if (node.name().empty() || !is_floating(node.dtype()) || node.shape() != constant.shape)
      continue;
    if (replay_.value(i).to_vector<double>() == mine) return i;
  }
  return Traversal::none;
}

namespace {

// A comparison is looked for among what the operation that uses the mask was computed from, up to
// so many operations back.
constexpr int most_levels = 4;
constexpr std::size_t most_nearby = 64;
// Few elements agree by chance: of so many, only with what is closest.
constexpr std::size_t fewest_elements = 4, few_elements = 8;

// A number that a tensor may have been compared with, and how a formula shows it.
struct Bound {
  double number = 0;
  Expr shown;
  bool negated = false;  // −δ of a program's δ
  bool factor = false;   // it only ever multiplies
};

// What a mask may have been made from, the closest first: tensors, and the numbers beside them.
struct Nearby {
  std::vector<std::uint32_t> tensors;
  std::vector<Bound> bounds{{0, number_expression(0, {})}};

  // The name of a number is likelier than its digits.
  void add(double number, const Expr& shown, bool negated, bool factor = false) {
    const auto known = std::ranges::find(bounds, number, &Bound::number);
    if (known == bounds.end()) {
      bounds.push_back({number, shown, negated, factor});
      return;
    }
    if (shown->kind != Expression::Kind::number) known->shown = shown;
    known->negated = known->negated && negated;
    known->factor = known->factor && factor;
  }
  // A branch's factor is no bound, but that of δ (|r| − δ/2) is: there half of it, or of its
  // square, comes, too.
  void leave_out_factors() {
    std::vector<double> numbers;
    for (const Bound& bound : bounds) numbers.push_back(bound.number);
    const auto has = [&](double x, double half) {
      return std::ranges::any_of(numbers, [&](double number) {
        return number != x && std::abs(number - half) <= 1e-12 * std::abs(half);
      });
    };
    std::erase_if(bounds, [&](const Bound& bound) {
      const double x = bound.number;
      return bound.factor && !has(x, x / 2) && !has(x, x * x / 2) && !has(x, x * x);
    });
  }
};

using Comparison = Tensor (*)(const Tensor&, const Tensor&);
constexpr Comparison comparisons[] = {
    [](const Tensor& a, const Tensor& b) { return a > b; },
    [](const Tensor& a, const Tensor& b) { return a <= b; },
    [](const Tensor& a, const Tensor& b) { return a >= b; },
    [](const Tensor& a, const Tensor& b) { return a < b; },
};

}  // namespace

// The operations that a mask is an operand of.
const std::vector<Expr>& Trace::users_of_mask(const Expr& mask) const {
  if (mask_users_.empty())
    for (const Expr& operation : forward_)
      for (std::size_t k = 0; operation && k < operation->operands.size(); ++k) {
        const Expr& operand = operation->operands[k];
        if (!operand || operand->kind != Expression::Kind::constant) continue;
        if (operand->value.dtype() == boolean)
          mask_users_[operand->value.value_ref().get()].push_back(operation);
      }
  return mask_users_[mask->value.value_ref().get()];
}

const Expr& Trace::chosen_everywhere(const Expr& selection) const {
  static const Expr none;
  const Expr& mask = selection->operands[0];
  if (mask->kind != Expression::Kind::constant || !users_of_mask(mask).empty()) return none;
  const std::vector<double> mine = numbers(mask->value);
  const bool same = std::ranges::adjacent_find(mine, std::ranges::not_equal_to()) == mine.end();
  return mine.empty() || !same ? none : selection->operands[mine[0] != 0 ? 1 : 2];
}

namespace {

// A node, and all that it was computed from.
std::unordered_set<std::uint32_t> computed_from(const std::vector<Expr>& forward, std::uint32_t i) {
  std::unordered_set<std::uint32_t> above{i};
  std::vector<std::uint32_t> to_do{i};
  while (!to_do.empty()) {
    const std::uint32_t at = to_do.back();
    to_do.pop_back();
    if (!forward[at]) continue;
    for (const Expr& operand : forward[at]->operands)
      if (operand && operand->kind == Expression::Kind::tensor &&
          above.insert(operand->node).second)
        to_do.push_back(operand->node);
  }
  return above;
}

}  // namespace

Expr Trace::find_comparison(const Expr& mask) const {
  if (!mask->value.value_ref()->compared()) return nullptr;
  const NoGrad guard;
  const std::vector<double> mine = numbers(mask->value);
  // Very few elements tell as little as what holds everywhere, or nowhere.
  if (mine.size() < fewest_elements) return nullptr;
  const double held = std::accumulate(mine.begin(), mine.end(), 0.0);
  if (held == 0 || held == static_cast<double>(mine.size())) return nullptr;
  Nearby nearby;
  const auto add_operands = [&](const Expr& operation) {
    const bool multiplies =
        operation->is(Role::Kind::product) || operation->is(Role::Kind::quotient);
    for (const Expr& operand : operation->operands) {
      if (!operand) continue;
      if (operand->kind == Expression::Kind::number)
        for (const bool negated : {false, true}) {
          const double number = negated ? -operand->number : operand->number;
          nearby.add(number, number_expression(number, {}), negated, multiplies);
        }
      if (operand->kind == Expression::Kind::tensor && nearby.tensors.size() < most_nearby &&
          std::ranges::find(nearby.tensors, operand->node) == nearby.tensors.end())
        nearby.tensors.push_back(operand->node);
    }
  };
  for (const Expr& operation : users_of_mask(mask)) add_operands(operation);
  const bool is_small = mine.size() < few_elements;
  const std::vector<std::uint32_t> closest = nearby.tensors;
  for (int level = 0; level < (is_small ? 1 : most_levels); ++level) {
    const std::vector<std::uint32_t> known = nearby.tensors;
    for (const std::uint32_t i : known)
      if (forward_[i]) add_operands(forward_[i]);
  }
  for (const std::uint32_t i : nearby.tensors) {
    const Node& node = this->node(i);
    if (node.rank() != 0 || node.name().empty() || !is_floating(node.dtype())) continue;
    const double number = replay_.value(i).item<double>();
    const Expr symbol = tensor_expression(i, {});
    Builder builder(environment_);
    const Tensor x = builder.value(symbol);
    nearby.add(number, symbol, false);
    nearby.add(-number, builder.build([&] { return -x; }), true);
  }
  nearby.leave_out_factors();
  const auto found = [&](Comparison compare, const Tensor& a, const Tensor& b) {
    const Tensor result = compare(a, b);
    return result.shape() == mask->shape && numbers(result) == mine;
  };
  const auto built = [&](Comparison compare, std::uint32_t a, const Expr& b) {
    Builder builder(environment_);
    const Tensor x = builder.value(tensor_expression(a, replay_.value(a).shape()));
    const Tensor y = builder.value(b);
    return builder.build([&] { return compare(x, y); });
  };
  const auto value = [&](std::uint32_t i) { return to(replay_.value(i), f64); };
  std::erase_if(nearby.tensors, [&](std::uint32_t i) {
    return !is_floating(replay_.value(i).dtype()) || replay_.value(i).shape() != mask->shape;
  });
  // The simplest one, unless others fit that have nothing to do with it.
  std::ranges::stable_sort(nearby.tensors, {}, [&](std::uint32_t i) { return size_when_shown(i); });
  Expr simplest;
  std::unordered_set<std::uint32_t> related;
  const auto take = [&](Comparison compare, std::uint32_t a, const Expr& b) {
    if (simplest) return related.contains(a);
    simplest = built(compare, a, b);
    related = relatives_of(a);
    return true;
  };
  for (const bool negated : {false, true})
    for (const std::uint32_t i : nearby.tensors) {
      const bool was_found = simplest != nullptr;
      for (const Comparison compare : comparisons) {
        std::vector<Bound> bounds;
        for (const Bound& bound : nearby.bounds)
          if (bound.negated == negated && found(compare, value(i), full({}, bound.number, f64)))
            bounds.push_back(bound);
        if (bounds.empty()) continue;
        // Between 0 and another bound 0 is the likelier; of others nobody can tell which it was.
        if (!simplest && bounds.size() > 1 && bounds[0].number != 0) return nullptr;
        if (!take(compare, i, bounds[0].shown)) return nullptr;
        if (!was_found) break;
      }
    }
  // Beside a comparison with a bound, one with what was not computed from the same.
  const auto is_another = [&](std::uint32_t j) {
    if (simplest->operands[1]->kind == Expression::Kind::tensor) return false;
    const auto from = computed_from(forward_, simplest->operands[0]->node);
    return std::ranges::none_of(computed_from(forward_, j),
                                [&](std::uint32_t at) { return from.contains(at); });
  };
  const auto is_compared = [&](std::uint32_t i) {
    return !is_small || std::ranges::find(closest, i) != closest.end();
  };
  for (const std::uint32_t i : nearby.tensors)
    for (const std::uint32_t j : nearby.tensors)
      for (const Comparison compare : comparisons)
        if (i < j && is_compared(i) && is_compared(j) && found(compare, value(i), value(j)) &&
            (!take(compare, i, tensor_expression(j, mask->shape)) || is_another(j)))
          return nullptr;
  return simplest;
}

// How many symbols and operations a formula shows for a tensor.
int Trace::size_when_shown(std::uint32_t i) const {
  constexpr int most_depth = 4;
  const auto size = [&](const auto& self, std::uint32_t at, int depth) -> int {
    if (!node(at).name().empty() || !forward_[at] || depth == most_depth) return 1;
    int sum = 1;
    for (const Expr& operand : forward_[at]->operands)
      if (operand)
        sum += operand->kind == Expression::Kind::tensor ? self(self, operand->node, depth + 1) : 1;
    return sum;
  };
  return size(size, i, 0);
}

// It, what it was computed from, and what was computed from it.
std::unordered_set<std::uint32_t> Trace::relatives_of(std::uint32_t i) const {
  const auto is_related = [&](const std::unordered_set<std::uint32_t>& set, std::uint32_t at) {
    return forward_[at] && std::ranges::any_of(forward_[at]->operands, [&](const Expr& operand) {
             return operand && operand->kind == Expression::Kind::tensor &&
                    set.contains(operand->node);
           });
  };
  std::unordered_set<std::uint32_t> below{i}, above = computed_from(forward_, i);
  for (std::uint32_t at = i; at < size(); ++at)
    if (is_related(below, at)) below.insert(at);
  above.merge(below);
  return above;
}

Expr Trace::with_comparisons(const Expr& expression) const {
  Replacements comparisons;
  visit_parts(expression, [&](const Expr& part) {
    if (part->kind != Expression::Kind::constant || part->value.dtype() != boolean) return;
    if (const Expr comparison = in_named_data(part)) comparisons.emplace(part.get(), comparison);
  });
  return comparisons.empty() ? expression : replaced(expression, comparisons);
}

namespace {

// What all elements are that a reduction brings together, where it was broadcast along these axes;
// null for others.
Expr summed_alike(const Expression& reduction) {
  const Expr& operand = reduction.operands[0];
  Expr inner = operand;
  while (inner->is(Role::Kind::copy)) inner = inner->operands[0];
  const auto axes = inner == operand ? std::nullopt : axes_of(reduction);
  if (!axes) return nullptr;
  const int added = operand->shape.rank() - inner->shape.rank();
  for (int axis = added; axis < operand->shape.rank(); ++axis)
    if ((*axes)[static_cast<std::size_t>(axis)] && inner->shape[axis - added] != 1) return nullptr;
  const bool spreads = inner->shape.numel() != reduction.shape.numel();
  return spreads && inner->shape.numel() != 1 ? nullptr : inner;
}

}  // namespace

Expr Trace::with_sums_counted(const Expr& expression) const {
  Replacements counted;
  visit_parts(expression, [&](const Expr& part) {
    const bool total = part->is(Role::Kind::total);
    if (!total && !part->is(Role::Kind::mean)) return;
    if (!is_floating(part->application->dtype())) return;
    const Expr inner = summed_alike(*part);
    if (!inner || number_in(*part)) return;
    Builder builder(environment_);
    const Tensor x = builder.value(replaced(inner, counted));
    const std::int64_t count =
        part->operands[0]->shape.numel() / std::max<std::int64_t>(part->shape.numel(), 1);
    counted.emplace(part.get(), builder.build([&] {
      const Tensor sum = total && count != 1 ? static_cast<double>(count) * x : x;
      if (sum.shape() == part->shape) return sum;
      return sum.numel() == part->shape.numel() ? reshape(sum, part->shape)
                                                : expand(sum, part->shape);
    }));
  });
  return counted.empty() ? expression : replaced(expression, counted);
}

}  // namespace chainrule::derivation
