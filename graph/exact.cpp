#include <chainrule/graph/exact.hpp>

#include <algorithm>
#include <unordered_set>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule::detail {

namespace {

bool never_rounds(const Role& role) noexcept {
  switch (role.kind) {
    case Role::Kind::negation:
    case Role::Kind::comparison:
    case Role::Kind::selection:
    case Role::Kind::copy:
    case Role::Kind::permutation:
    case Role::Kind::reshape:
    case Role::Kind::slice:
    case Role::Kind::scatter:
    case Role::Kind::join:
      return true;
    default:
      return false;
  }
}

// Which elements of the result are among the operands'; none for undefined.
Tensor selected(std::span<const Tensor> operands, const Tensor& result) {
  std::unordered_set<double> known;
  for (const Tensor& operand : operands) {
    if (!operand.defined() || !is_floating(operand.dtype())) continue;
    const std::vector<double> elements = to(operand, f64).to_vector<double>();
    known.insert(elements.begin(), elements.end());
  }
  std::vector<double> is;
  for (const double x : to(result, f64).to_vector<double>())
    is.push_back(known.contains(x) ? 1 : 0);
  if (std::ranges::find(is, 1.0) == is.end()) return {};
  return reshape(from_span(std::span<const double>(is), {result.numel()}), result.shape()) != 0;
}

}  // namespace

Tensor adjusted_where_rounded(const Role& role, std::span<const Tensor> operands, Tensor result,
                              const std::function<Tensor(Tensor)>& adjust) {
  if (never_rounds(role)) return result;
  if (!role.is(Role::Kind::other) || !is_floating(result.dtype())) return adjust(std::move(result));
  const Tensor exact = selected(operands, result);
  return exact.defined() ? where(exact, result, adjust(result)) : adjust(std::move(result));
}

}  // namespace chainrule::detail
