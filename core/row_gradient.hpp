#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/value.hpp>

namespace chainrule {

/// A gradient that is zero but for some rows, the positions of the first axis: what reading a few
/// of a large table's rows leaves at the table. Row index[i] is rows[i].
struct RowGradient {
  Ref<Value> index;  ///< (k), i64, ascending, each row once
  Ref<Value> rows;   ///< (k, …) row-major, where the parameter is (n, …)
};

/// What look-ups add to one such gradient, in which a row may come several times. Not copied: a
/// gradient that grows by a part in each of many backward calls costs what is added.
class RowGradientParts {
 public:
  RowGradientParts() = default;
  RowGradientParts(const RowGradientParts&) = delete;
  RowGradientParts& operator=(const RowGradientParts&) = delete;
  RowGradientParts(RowGradientParts&&) noexcept = default;
  RowGradientParts& operator=(RowGradientParts&&) noexcept = default;

  bool empty() const noexcept { return parts_.empty(); }
  /// `index` is i64 of any shape and `rows` has the elements of one row for each, both row-major;
  /// neither is written to any more.
  void add(Ref<Value> index, Ref<Value> rows) {
    const std::int64_t count = index->numel();
    parts_.push_back({std::move(index), std::move(rows)});
    row_count_ += count;
  }
  /// Makes room for them, after which append() cannot fail.
  void reserve_for(const RowGradientParts& others) {
    const std::size_t all = parts_.size() + others.parts_.size();
    if (all > parts_.capacity()) parts_.reserve(std::max(all, 2 * parts_.capacity()));
  }
  void append(RowGradientParts&& others) noexcept {
    parts_.insert(parts_.end(), std::move_iterator(others.parts_.begin()),
                  std::move_iterator(others.parts_.end()));
    row_count_ += others.row_count_;
    others.clear();
  }
  std::int64_t part_count() const noexcept { return static_cast<std::int64_t>(parts_.size()); }
  /// How many rows there are, each as often as it comes.
  std::int64_t row_count() const noexcept { return row_count_; }
  void clear() noexcept {
    parts_.clear();
    row_count_ = 0;
  }
  /// Each row once, of a parameter like this one. Throws MemoryError.
  RowGradient combined(const Value& parameter) const;
  /// Adds all of it to a row-major value of the parameter's shape.
  void add_to(Value& dense) const noexcept;

 private:
  struct Part {
    Ref<Value> index, rows;
  };
  std::vector<Part, memory::Pool<Part>> parts_;
  std::int64_t row_count_ = 0;
};

}  // namespace chainrule
