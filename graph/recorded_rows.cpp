#include <chainrule/graph/recorded_rows.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/ops/shape/gather.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule {

void check_rows(const Node& node, std::size_t i, bool taken, const Tensor& index,
                const Tensor& rows) {
  const char* op = node.op()->name();
  const auto gives = [&](const std::string& what) {
    return fmt::format("{}: its vjp rule gives {} for input {}", op, what, i);
  };
  if (!taken)
    throw GradError(gives("rows") + " where they are not taken", node.where(),
                    "ask takes_rows() before, and give() the whole otherwise");
  if (!index.defined() || !rows.defined())
    throw GradError(gives(index.defined() ? "undefined rows" : "rows of undefined positions"),
                    node.where(), "what is never given counts as zero");
  const Node& input = *node.inputs()[i];
  const Shape table = input.shape();
  if (index.dtype() != i64)
    throw DTypeError(gives(fmt::format("positions of rows in {}", name_of(index.dtype()))),
                     node.where(), "positions are i64");
  if (rows.dtype() != input.dtype())
    throw DTypeError(
        fmt::format("{}, which is {}", gives(fmt::format("rows in {}", name_of(rows.dtype()))),
                    name_of(input.dtype())),
        node.where(), "a gradient has the dtype of its input");
  if (rows.numel() * table[0] != index.numel() * table.numel())
    throw ShapeError(
        fmt::format("{}, which is {}",
                    gives(fmt::format("rows {} at positions {}", to_string(rows.shape()),
                                      to_string(index.shape()))),
                    to_string(table)),
        node.where(), "rows have the axes of the positions and those of a row");
  const Value& positions = *index.value_ref();
  positions.for_each_offset([&](std::int64_t offset) {
    const std::int64_t row = positions.data<std::int64_t>()[offset];
    if (row < 0 || row >= table[0])
      throw IndexError(fmt::format("{}, which has {}", gives(fmt::format("row {}", row)), table[0]),
                       node.where(), "positions are counted from 0, and none is negative");
  });
}

void RecordedRows::add(const Tensor& index, const Tensor& rows, const Shape& shape,
                       const Where& where) {
  const std::vector<std::int64_t> positions = index.to_vector<std::int64_t>(where);
  positions_.insert(positions_.end(), positions.begin(), positions.end());
  Shape flat = shape;
  flat[0] = index.numel();
  rows_.push_back(rows.shape() == flat ? rows : reshape(rows, flat, where));
}

Tensor RecordedRows::sum(const Shape& shape, const Where& where) const {
  const auto count = static_cast<std::int64_t>(positions_.size());
  const Tensor index = from_span(std::span(positions_), {count}, where);
  const Tensor rows = rows_.size() == 1 ? rows_[0] : concat(rows_, 0, where);
  return detail::rows_in_zeros(rows, index, shape, where);
}

}  // namespace chainrule
