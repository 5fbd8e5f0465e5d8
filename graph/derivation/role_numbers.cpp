#include <chainrule/graph/derivation/role_check.hpp>

#include <cmath>
#include <optional>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

// Whether an op computes what its role says, on some numbers.

namespace chainrule::derivation {

namespace {

// 1 … 7, in another order for each operand: all dtypes have them.
Tensor whole_numbers(const Shape& shape, std::size_t k) {
  std::vector<double> numbers(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = static_cast<double>(1 + (3 * i + 5 * k + i / 7) % 7);
  return from_vector(numbers, shape);
}

// What the role gives of x; nothing for one that says no arithmetic.
std::optional<Tensor> by_role(const Expression& e, const std::vector<Tensor>& x) {
  using enum Role::Kind;
  const Role role = e.role();
  switch (role.kind) {
    case sum:
      return x[0] + x[1];
    case difference:
      return x[0] - x[1];
    case negation:
      return -x[0];
    case product:
      return x[0] * x[1];
    case quotient:
      return x[0] / x[1];
    case reciprocal:
      return 1.0 / x[0];
    case square:
      return chainrule::square(x[0]);
    case exponential:
      return exp(x[0]);
    case logarithm:  // of another operand than the first: computed from what that came of
      return role.argument == 0 ? std::optional(log(x[0])) : std::nullopt;
    case conversion:
      return to(to(x[0], e.application->dtype()), f64);
    case matrix_product: {
      const auto turned = [&](std::size_t k) { return role.transposed[k] && x[k].rank() > 1; };
      return detail::product(x[0], turned(0), x[1], turned(1), e.application->where());
    }
    case outer_product:
      return outer(x[0], x[1]);
    case inner_product:
      return dot(x[0], x[1]);
    default:
      return {};
  }
}

}  // namespace

void check_numbers(const Expression& e) {
  const NoGrad guard;
  std::vector<Tensor> numbers;
  for (std::size_t k = 0; k < e.operands.size(); ++k)
    numbers.push_back(e.operands[k] ? whole_numbers(e.operands[k]->shape, k) : Tensor());
  const std::optional<Tensor> said = by_role(e, numbers);
  if (!said) return;
  for (const DType dtype : {f64, f32, i64}) {
    std::vector<Tensor> operands = numbers;
    for (Tensor& operand : operands)
      if (operand.defined()) operand = to(operand, dtype);
    const auto made = attempt([&] { return apply_again(*e.application, operands); });
    if (!made) continue;  // it does not take this dtype
    const std::vector<double> a = to(*made, f64).to_vector<double>();
    const std::vector<double> b = reshape(*said, made->shape()).to_vector<double>();
    const bool single = dtype == f32 || made->dtype() == f32;
    for (std::size_t i = 0; i < a.size(); ++i)
      if (!(std::abs(a[i] - b[i]) <= (single ? 1e-4 : 1e-9) * std::abs(b[i])))
        throw_wrong_role(e, e.role(), "it computes something else");
    return;
  }
}

}  // namespace chainrule::derivation
