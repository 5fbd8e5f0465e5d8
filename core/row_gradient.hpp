#pragma once

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

/// What look-ups add to one such gradient, in which a row may come several times.
class RowGradientParts {
 public:
  bool empty() const noexcept { return parts_.empty(); }
  /// `index` is i64 of any shape and `rows` has the elements of one row for each, both row-major;
  /// neither is written to any more.
  void add(Ref<Value> index, Ref<Value> rows) {
    const std::int64_t count = index->numel();
    parts_.push_back({std::move(index), std::move(rows)});
    row_count_ += count;
  }
  void add(const RowGradientParts& others) {
    parts_.insert(parts_.end(), others.parts_.begin(), others.parts_.end());
    row_count_ += others.row_count_;
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
