#pragma once

#include <algorithm>
#include <cstdint>

#include <chainrule/ops/kernels/reduce/lines.hpp>

/// Loops along lines, of which there are two kinds: along rows, whose elements are adjacent, one
/// row after the other; and along columns, many neighbours at once. Along few elements the first
/// kind does little but begin and end: many short rows are worked on as columns, in blocks that are
/// transposed.
namespace chainrule::kernels {

/// Elements of the same lines: two values that are read, and one that is written. Null where there
/// is none.
template <class T>
struct Along {
  const T* x;
  const T* y;
  T* out;

  Along from(std::int64_t element) const noexcept {
    return {x + element, y ? y + element : nullptr, out ? out + element : nullptr};
  }
};

namespace detail {

// Rows (count, n) as columns (n, count), and the other way round. For float, double and
// std::int64_t.
template <class T>
void rows_to_columns(T* to, const T* rows, std::int64_t count, std::int64_t n);
template <class T>
void columns_to_rows(T* to, const T* columns, std::int64_t count, std::int64_t n);

// columns(elements, line, n, count) for blocks of these rows.
template <class T, class Columns>
[[gnu::noinline]] void turned(const Along<T>& along, std::int64_t line, std::int64_t rows,
                              std::int64_t n, const Columns& columns) {
  constexpr std::int64_t elements = 1024;
  alignas(64) T x[elements], y[elements], out[elements];
  // Columns that begin an odd number of lines of the cache apart: those of a power of two would
  // meet in few sets of it.
  const std::int64_t most = elements / n / 16 * 16 - 8;
  for (std::int64_t first = 0; first < rows; first += most) {
    const std::int64_t count = std::min(most, rows - first);
    const Along<T> block = along.from(first * n);
    rows_to_columns(x, block.x, count, n);
    if (block.y) rows_to_columns(y, block.y, count, n);
    columns(Along<T>{x, block.y ? y : nullptr, block.out ? out : nullptr}, line + first, n, count);
    if (block.out) columns_to_rows(block.out, out, count, n);
  }
}

}  // namespace detail

/// Works on lines, in parallel where there is enough to do, by
///
///     rows(elements, line, count, n)        for adjacent rows of n elements,
///     columns(elements, line, n, count)     for columns of n elements, in memory (n, count),
///
/// where `line` is the first of the `count` lines that these are, and `elements` begin with it.
/// Rows of at most `short_row` elements, up to 64, are worked on as columns where there are many.
template <class T, class Rows, class Columns>
void by_lines(const Lines& lines, const Along<T>& along, std::int64_t short_row, const Rows& rows,
              const Columns& columns) {
  constexpr std::int64_t many = 16;
  const bool turned =
      lines.inner == 1 && lines.length > 1 && lines.length <= short_row && lines.outer >= many;
  in_parts(lines, [&](const Lines& part, std::int64_t element, std::int64_t line) {
    const auto [outer, n, inner] = part;
    const Along<T> at = along.from(element);
    if (turned)
      detail::turned(at, line, outer, n, columns);
    else if (inner == 1 && n == 1)  // neighbouring columns, too
      columns(at, line, n, outer);
    else if (inner == 1)
      rows(at, line, outer, n);
    else
      for (std::int64_t i = 0; i < outer; ++i)
        columns(at.from(i * n * inner), line + i * inner, n, inner);
  });
}

}  // namespace chainrule::kernels
