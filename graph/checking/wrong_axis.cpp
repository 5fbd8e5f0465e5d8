#include <chainrule/graph/checking/wrong_axis.hpp>

#include <fmt/format.h>

#include <utility>

#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule::derivation {

std::optional<WrongAxis> along_other_axis(const Comparison& comparison, const Text& text,
                                          const Expr& e) {
  const std::int64_t n = e->shape.numel();
  const int rank = e->shape.rank();
  if (e->kind == Expression::Kind::number || n < 2 || rank < 1 || rank > 2) return {};
  const bool is_column = rank == 2 && e->shape[0] == n;
  if (rank == 2 && !is_column && e->shape[1] != n) return {};
  const Shape shape = is_column ? Shape{n} : Shape{n, 1};
  Expr right = built(comparison.point(0),
                     [&](Builder& builder) { return reshape(builder.value(e), shape); });
  if (!right) return {};
  const Expr& vector = e->is(Role::Kind::reshape) ? e->operands[0] : e;
  return WrongAxis{std::move(right),
                   fmt::format("broadcast along the wrong axis: {} stands along axis {}, and "
                               "belongs along axis {}",
                               text(vector), is_column ? 0 : 1, is_column ? 1 : 0)};
}

}  // namespace chainrule::derivation
