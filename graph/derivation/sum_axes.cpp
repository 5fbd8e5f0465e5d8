#include <chainrule/graph/derivation/sum_axes.hpp>

#include <algorithm>
#include <string>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/symbol_name.hpp>
#include <chainrule/graph/derivation/tried.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

// What two shapes broadcast to; nothing where they do not.
std::optional<Shape> broadcast(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Shape result;
  for (int axis = 0; axis < rank; ++axis) {
    const auto extent = [&](const Shape& shape) {
      const int at = axis - (rank - shape.rank());
      return at < 0 ? 1 : shape[at];
    };
    if (extent(a) != extent(b) && extent(a) != 1 && extent(b) != 1) return std::nullopt;
    result.push_back(extent(a) == 1 ? extent(b) : extent(a));
  }
  return result;
}

Shape without_leading_ones(const Shape& shape) {
  Shape result;
  for (const std::int64_t extent : shape)
    if (result.rank() > 0 || extent != 1) result.push_back(extent);
  return result;
}

bool broadcasts_alike(const Shape& a, const Shape& b) {
  return without_leading_ones(a) == without_leading_ones(b);
}

// The axes that a reduction takes; of one that is neither a sum nor a mean, max₁, those in its
// notation.
std::optional<std::vector<bool>> taken_by(const Expression& e) {
  if (e.is(Role::Kind::total) || e.is(Role::Kind::mean)) return axes_of(e);
  if (!e.is(Role::Kind::other)) return std::nullopt;
  const Shape& from = e.operands[0]->shape;
  const std::string notation = e.written();
  std::vector<bool> taken;
  Shape kept, dropped;
  for (int axis = 0; axis < from.rank(); ++axis) {
    taken.push_back(notation.find(lowered(std::to_string(axis)).value()) != std::string::npos);
    kept.push_back(taken.back() ? 1 : from[axis]);
    if (!taken.back()) dropped.push_back(from[axis]);
  }
  const bool reduces = dropped.rank() < from.rank() && (e.shape == kept || e.shape == dropped);
  return reduces ? std::optional(std::move(taken)) : std::nullopt;
}

}  // namespace

const SumAxes::Sum* SumAxes::find(const Expr& e) const {
  const auto known = sums_.find(e.get());
  return known == sums_.end() ? nullptr : &known->second;
}

std::optional<SumAxes::Sum> SumAxes::of(const Expression& part) const {
  if (part.kind != Kind::operation && part.kind != Kind::slope) return std::nullopt;
  if (part.is_elementwise()) {
    const Sum* sum = nullptr;
    for (const Expr& operand : part.operands) {
      if (!operand || operand->shape.numel() == 1) continue;
      const Sum* other = find(operand);
      if (!other || (sum && !(*sum == *other))) return std::nullopt;
      sum = other;
    }
    const bool same = sum && (part.shape == sum->kept || part.shape == sum->dropped);
    return same ? std::optional(*sum) : std::nullopt;
  }
  if (part.is_saved() || part.operands.size() != 1 || part.shape.numel() == 1) return std::nullopt;
  if (is_implied(part)) return *find(part.operands[0]);
  const Shape& from = part.operands[0]->shape;
  const auto taken = taken_by(part);
  if (!taken) return std::nullopt;
  Sum sum{from, {}, {}, {}};
  for (int axis = 0; axis < from.rank(); ++axis) {
    const bool gone = (*taken)[static_cast<std::size_t>(axis)];
    sum.kept.push_back(gone ? 1 : from[axis]);
    if (gone) continue;
    sum.axes.push_back(axis);
    sum.dropped.push_back(from[axis]);
  }
  return sum;
}

void SumAxes::add(const Expression& part) {
  if (auto sum = of(part)) sums_.emplace(&part, std::move(*sum));
}

bool SumAxes::is_implied(const Expression& reshape) const {
  if (!reshape.is(Role::Kind::reshape)) return false;
  const Sum* sum = find(reshape.operands[0]);
  return sum && (reshape.shape == sum->kept || reshape.shape == sum->dropped);
}

bool SumAxes::is_unclear(const Expr& whole) const {
  const Sum* sum = find(whole);
  return sum && whole->shape == sum->kept && !broadcasts_alike(sum->kept, sum->dropped) &&
         broadcast(sum->from, sum->dropped) == sum->from;
}

std::vector<std::size_t> SumAxes::unclear(const Expression& operation) const {
  const bool spreads = operation.is(Role::Kind::copy);
  if (sums_.empty() || !(spreads || operation.is_elementwise())) return {};
  Shape others;  // of what is no sum
  bool has_others = spreads;
  if (spreads) others = operation.shape;
  std::vector<std::size_t> sums;
  for (std::size_t k = 0; k < operation.operands.size(); ++k) {
    const Expr& operand = operation.operands[k];
    if (!operand || operand->shape.numel() == 1) continue;
    if (find(operand)) {
      sums.push_back(k);
    } else {
      // Of Σ₀ X + v a reader does not see that it has more axes than v.
      const Shape shape =
          operand->is_symbol() ? operand->shape : without_leading_ones(operand->shape);
      others = broadcast(others, shape).value_or(shape);
      has_others = true;
    }
  }
  std::vector<std::size_t> result;
  const auto sum = [&](std::size_t k) -> const Sum& { return *find(operation.operands[k]); };
  for (const std::size_t k : sums) {
    const Shape& shape = operation.operands[k]->shape;
    const Sum& mine = sum(k);
    const Shape& other = shape == mine.kept ? mine.dropped : mine.kept;
    if (broadcasts_alike(mine.kept, mine.dropped)) continue;
    if (has_others) {
      const bool stands_kept = others.rank() >= mine.from.rank();
      const bool is_read_so = shape == (stands_kept ? mine.kept : mine.dropped);
      if (!is_read_so && broadcast(others, other)) result.push_back(k);
    } else if (std::ranges::any_of(sums, [&](std::size_t j) { return !(sum(j) == mine); }) &&
               std::ranges::all_of(sums, [&](std::size_t j) {
                 return broadcast(mine.dropped, sum(j).dropped).has_value();
               })) {
      result.push_back(k);
    } else if (std::ranges::any_of(sums, [&](std::size_t j) {
                 return !broadcasts_alike(operation.operands[j]->shape, shape);
               })) {
      result.push_back(k);
    }
  }
  return result;
}

}  // namespace chainrule::derivation
