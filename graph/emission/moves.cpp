#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/tried.hpp>
#include <chainrule/graph/emission/eigen.hpp>
#include <chainrule/graph/emission/helpers.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule::emission {

using derivation::counted;

namespace {

// Positions first, first + step, … of one axis.
struct Run {
  std::int64_t first = 0, count = 1, step = 1;
  bool is_all_of(std::int64_t extent) const { return first == 0 && step == 1 && count == extent; }
  std::string text() const {
    if (count == 1) return fmt::format("{}", first);
    return step == 1 ? fmt::format("Eigen::seqN({}, {})", first, count)
                     : fmt::format("Eigen::seqN({}, {}, {})", first, count, step);
  }
};

Run run_of(const std::vector<std::int64_t>& positions) {
  Run run{positions[0], static_cast<std::int64_t>(positions.size()), 1};
  if (positions.size() > 1 && positions[1] != positions[0]) run.step = positions[1] - positions[0];
  return run;
}

// From where each element of a slice comes, or to where each goes: the op itself says, applied to
// the numbers 1, 2, 3 …
struct Region {
  Run rows, columns;
  bool turned = false;  // a row of the matrix is a column by itself
};

Code of_shape(Code x, const Shape& shape) {
  x.shape = shape;
  return x;
}

// The numbers 1, 2, 3 … in the places to which the op moves them; that it does is known.
std::vector<double> counted_by(const Expression& e) {
  const NoGrad guard;
  const Tensor numbers = counted(e.operands[0]->shape);
  return apply_again(*e.application, std::span(&numbers, 1)).to_vector<double>();
}

Region region_of(const Expression& e) {
  const bool scatters = e.is(Role::Kind::scatter);
  const Shape& part = scatters ? e.operands[0]->shape : e.shape;
  const Code whole{"", scatters ? e.shape : e.operands[0]->shape};
  const std::vector<std::int64_t> at = places_of(e, counted_by(e));
  const std::int64_t columns = whole.columns();
  std::vector<std::int64_t> row_positions, column_positions;
  for (const std::int64_t position : at) {
    const std::int64_t row = position / columns, column = position % columns;
    if (std::ranges::find(row_positions, row) == row_positions.end()) row_positions.push_back(row);
    if (std::ranges::find(column_positions, column) == column_positions.end())
      column_positions.push_back(column);
  }
  Region region{run_of(row_positions), run_of(column_positions)};
  const Code shape{"", part};
  region.turned = part.numel() > 1 && shape.rows() != region.rows.count;
  return region;
}

Code sliced(const Expression& e, const Code& x) {
  if (e.shape.numel() == 0 || x.is_scalar()) return x.materialized(e.shape);
  const Region region = region_of(e);
  const Run &rows = region.rows, &columns = region.columns;
  Code result = x;
  result.strength = Code::Strength::atom;
  result.is_vector = result.is_row = false;
  if (e.shape.numel() == 1) {
    result.text = fmt::format("{}({}, {})", x.in(Code::Strength::atom), rows.first, columns.first);
    result.form = Code::Form::matrix;
    result.shape = e.shape;
    return result;
  }
  result.shape = Shape{rows.count, columns.count};
  const bool all_rows = rows.is_all_of(x.rows()), all_columns = columns.is_all_of(x.columns());
  if (all_rows && all_columns) {
    result = x;
    result.shape = Shape{rows.count, columns.count};
  } else if (all_columns && rows.count == 1) {
    result.text = x.member(fmt::format("row({})", rows.first));
    result.is_row = true;
  } else if (all_rows && columns.count == 1) {
    result.text = x.member(fmt::format("col({})", columns.first));
    result.is_vector = true;
  } else if (all_columns && rows.step == 1) {
    result.text = x.member(fmt::format("middleRows({}, {})", rows.first, rows.count));
    result.is_vector = x.is_vector;
  } else if (all_rows && columns.step == 1) {
    result.text = x.member(fmt::format("middleCols({}, {})", columns.first, columns.count));
  } else if (x.is_vector) {
    result.text = fmt::format("{}({})", x.in(Code::Strength::atom), rows.text());
    result.is_vector = true;
  } else {
    result.text =
        fmt::format("{}({}, {})", x.in(Code::Strength::atom), all_rows ? "Eigen::all" : rows.text(),
                    all_columns ? "Eigen::all" : columns.text());
    if (columns.count == 1 || rows.count == 1) result = result.materialized(result.shape);
  }
  if (region.turned) result = result.transposed();
  result.shape = e.shape;
  return result;
}

Code reshaped(const Expression& e, const Code& operand) {
  const Shape& from = e.operands[0]->shape;
  if (e.shape.numel() == 1 || operand.is_scalar()) {
    Code same = operand;
    if (from.numel() != 1) return same;  // a number for all of them
    same.shape = e.shape;
    return same;
  }
  Code x = operand.materialized(from);
  const Code is{"", from}, wanted{"", e.shape};
  if (is.rows() == wanted.rows() && is.columns() == wanted.columns()) {
    x.shape = e.shape;
    return x;
  }
  const bool line = is.rows() == 1 || is.columns() == 1;
  if (line && is.rows() == wanted.columns() && is.columns() == wanted.rows()) {
    x = x.transposed();
    x.shape = e.shape;
    return x;
  }
  return {
      x.member(fmt::format("reshaped<Eigen::RowMajor>({}, {})", wanted.rows(), wanted.columns())),
      e.shape};
}

// A permutation of two axes: they are exchanged, or stay.
Code permuted(const Expression& e, const Code& operand) {
  if (operand.is_scalar() && operand.shape != e.operands[0]->shape) return operand;
  const Code x = operand.materialized(e.operands[0]->shape);
  const NoGrad guard;
  const Tensor numbers = counted(e.operands[0]->shape);
  const std::vector<double> moved = counted_by(e);
  const bool same = moved == numbers.to_vector<double>();
  Code result = same && e.shape == e.operands[0]->shape ? x : x.transposed();
  result.shape = e.shape;
  return result;
}

}  // namespace

bool is_move(const Expression& e) {
  using enum Role::Kind;
  static constexpr Role::Kind moves[] = {copy, permutation, reshape, slice, scatter, join};
  return std::ranges::find(moves, e.role().kind) != std::end(moves);
}

Code moved(const Expression& e, const Code& operand) {
  switch (e.role().kind) {
    case Role::Kind::slice:
      return sliced(e, operand.materialized(e.operands[0]->shape));
    case Role::Kind::reshape:
      return reshaped(e, operand);
    case Role::Kind::copy:
      return operand;  // what is broadcast is so where it is used
    default:
      return permuted(e, operand);
  }
}

Code scattered(const Expression& e, const Code& part, Helpers& helpers) {
  const Code whole{"", e.shape};
  if (e.operands[0]->shape.numel() == 0) return Code{"0.0", {}};
  if (whole.is_scalar()) return of_shape(part.as_matrix(), e.shape);
  const Region region = region_of(e);
  Code block = part.materialized(e.operands[0]->shape).as_matrix();
  if (region.turned) block = block.transposed();
  std::string text = block.text;
  if (block.is_scalar()) text = fmt::format("MatrixXd::Constant(1, 1, {})", block.text);
  const Run &rows = region.rows, &columns = region.columns;
  if ((rows.step != 1 && rows.count > 1) || (columns.step != 1 && columns.count > 1)) {
    helpers.emplace("placed_apart", std::string(placed_apart_definition));
    return {fmt::format("placed_apart({}, {}, {}, {}, {}, {}, {})", text, rows.first, rows.step,
                        columns.first, columns.step, whole.rows(), whole.columns()),
            e.shape};
  }
  helpers.emplace("placed", std::string(placed_definition));
  return {fmt::format("placed({}, {}, {}, {}, {})", text, rows.first, columns.first, whole.rows(),
                      whole.columns()),
          e.shape};
}

// The operands side by side or one below the other.
Code joined(const Expression& e, const std::vector<Code>& operands, Helpers& helpers) {
  const Code whole{"", e.shape};
  if (whole.is_scalar())
    for (std::size_t k = 0; k < operands.size(); ++k)  // the others have no elements
      if (e.operands[k]->shape.numel() == 1) return of_shape(operands[k].as_matrix(), e.shape);
  const auto full = [&](std::size_t k) {
    const Code x = operands[k].materialized(e.operands[k]->shape).as_matrix();
    return x.is_scalar() ? fmt::format("MatrixXd::Constant(1, 1, {})", x.text) : x.text;
  };
  const Code first{"", e.operands[0]->shape};
  const bool below = first.columns() == whole.columns();
  const char* name = below ? "above" : "beside";
  if (operands.size() > 1)
    helpers.emplace(name, std::string(below ? above_definition : beside_definition));
  std::string text = full(operands.size() - 1);
  for (std::size_t k = operands.size() - 1; k-- > 0;)
    text = fmt::format("{}({}, {})", name, full(k), text);
  return {text, e.shape};
}

}  // namespace chainrule::emission
