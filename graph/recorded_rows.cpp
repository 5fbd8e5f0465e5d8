#include <chainrule/graph/recorded_rows.hpp>

#include <algorithm>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/shape/gather.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule {

void RecordedRows::add(const Tensor& index, const Tensor& rows, const Shape& shape,
                       const Where& where) {
  const std::vector<std::int64_t> positions = index.to_vector<std::int64_t>(where);
  positions_.insert(positions_.end(), positions.begin(), positions.end());
  Shape flat = shape;
  flat[0] = index.numel();
  rows_.push_back(index.rank() == 1 ? rows : reshape(rows, flat, where));
}

Tensor RecordedRows::sum(const Shape& shape, const Where& where) const {
  const auto count = static_cast<std::int64_t>(positions_.size());
  const Tensor index = from_span(std::span(positions_), {count}, where);
  const Tensor rows = rows_.size() == 1 ? rows_[0] : concat(rows_, 0, where);
  return detail::rows_in_zeros(rows, index, shape, where);
}

}  // namespace chainrule
