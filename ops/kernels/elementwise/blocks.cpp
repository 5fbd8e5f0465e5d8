#include <chainrule/ops/kernels/elementwise/blocks.hpp>

#include <algorithm>

#include <chainrule/core/threads.hpp>

namespace chainrule::kernels::detail {

namespace {

// Elements as words of their size, whatever they are.
template <class T>
struct Word {
  typedef T Type __attribute__((may_alias));
};

// Runs of an operand that stand `row_step` apart, and whose elements stand `step` apart.
struct Rows {
  std::int64_t count, length, row_step, step;
};

// The runs one after the other; all of this length, which the compiler knows.
template <std::int64_t length, class T>
void gather(T* __restrict to, const T* from, const Rows& rows) {
  const auto each = [&](auto at) {
    for (std::int64_t r = 0; r < rows.count; ++r)
      for (std::int64_t j = 0; j < length; ++j) to[r * length + j] = from[at(r, j)];
  };
  if (rows.step == 0 && rows.row_step == 1)
    each([](std::int64_t r, std::int64_t) { return r; });
  else if (rows.step == 1)
    each([&](std::int64_t r, std::int64_t j) { return r * rows.row_step + j; });
  else
    each([&](std::int64_t r, std::int64_t j) { return r * rows.row_step + j * rows.step; });
}

template <class Unsigned>
void gather(void* memory, const void* operand, const Rows& rows) {
  using T = typename Word<Unsigned>::Type;
  T* __restrict to = static_cast<T*>(memory);
  const T* from = static_cast<const T*>(operand);
  switch (rows.length) {
    case 2:
      return gather<2>(to, from, rows);
    case 3:
      return gather<3>(to, from, rows);
    case 4:
      return gather<4>(to, from, rows);
    case 5:
      return gather<5>(to, from, rows);
    case 6:
      return gather<6>(to, from, rows);
    case 7:
      return gather<7>(to, from, rows);
    case 8:
      return gather<8>(to, from, rows);
  }
  for (std::int64_t r = 0; r < rows.count; ++r, to += rows.length, from += rows.row_step)
    if (rows.step == 0)
      std::fill_n(to, rows.length, *from);
    else
      for (std::int64_t j = 0; j < rows.length; ++j) to[j] = from[j * rows.step];
}

void gather(std::int64_t size, void* to, const void* from, const Rows& rows) {
  switch (size) {
    case 1:
      return gather<std::uint8_t>(to, from, rows);
    case 4:
      return gather<std::uint32_t>(to, from, rows);
    default:
      return gather<std::uint64_t>(to, from, rows);
  }
}

// The steps begin … end of the outermost axis of a space of two axes or more.
template <std::size_t N>
class Part {
 public:
  Part(const Space<N>& space, const Elements (&operands)[N], Block<N> block, const void* run,
       std::int64_t begin, std::int64_t end)
      : space_(space),
        operands_(operands),
        block_(block),
        run_(run),
        end_(end),
        position_(begin * space.elements_each()),
        index_{begin} {
    for (std::size_t k = 0; k < N; ++k) offset_[k] = begin * space.strides[k][0];
  }

  void run_all() {
    const std::int64_t length = space_.inner(), most_rows = block_elements / length;
    bool adjacent[N], same[N];  // as the result, and for all rows
    for (std::size_t k = 0; k < N; ++k) {
      adjacent[k] = space_.adjacent(k);
      same[k] = std::all_of(space_.strides[k], space_.strides[k] + rows_axis_ + 1,
                            [](std::int64_t stride) { return stride == 0; });
      if (same[k]) copy(k, 0, {most_rows, length, 0, space_.inner_stride(k)});
    }
    std::int64_t filled = 0;
    for (bool done = false; !done;) {
      const std::int64_t rows =
          std::min(extent(rows_axis_) - index_[rows_axis_], most_rows - filled);
      for (std::size_t k = 0; k < N; ++k)
        if (!adjacent[k] && !same[k])
          copy(k, filled * length,
               {rows, length, space_.strides[k][rows_axis_], space_.inner_stride(k)});
      filled += rows;
      done = !advance(rows);
      if (!done && filled < most_rows) continue;
      for (std::size_t k = 0; k < N; ++k)
        elements_[k] = adjacent[k] ? at(k, position_) : buffers_[k];
      block_(run_, position_, filled * length, elements_);
      position_ += filled * length;
      filled = 0;
    }
  }

 private:
  std::int64_t extent(int axis) const { return axis == 0 ? end_ : space_.dims[axis]; }
  const char* at(std::size_t k, std::int64_t i) const {
    return static_cast<const char*>(operands_[k].from) + i * operands_[k].size;
  }
  void copy(std::size_t k, std::int64_t to, const Rows& rows) {
    gather(operands_[k].size, buffers_[k] + to * operands_[k].size, at(k, offset_[k]), rows);
  }
  void step(int axis, std::int64_t count) {
    index_[axis] += count;
    for (std::size_t k = 0; k < N; ++k) offset_[k] += count * space_.strides[k][axis];
  }
  // To the row so many further on; false behind the last.
  bool advance(std::int64_t rows) {
    step(rows_axis_, rows);
    for (int axis = rows_axis_; index_[axis] == extent(axis);) {
      if (axis == 0) return false;
      step(axis, -index_[axis]);
      step(--axis, 1);
    }
    return true;
  }

  const Space<N>& space_;
  const Elements (&operands_)[N];
  const Block<N> block_;
  const void* const run_;
  const int rows_axis_ = space_.rank - 2;
  const std::int64_t end_;
  std::int64_t position_;
  std::int64_t index_[max_rank];
  std::int64_t offset_[N];
  const void* elements_[N];
  alignas(64) char buffers_[N][block_elements * 8];
};

}  // namespace

template <std::size_t N>
void in_blocks(const Space<N>& space, const Elements (&operands)[N], Block<N> block,
               const void* run) {
  chainrule::detail::parallel_rows(space.dims[0], space.elements_each(),
                                   [&](std::int64_t begin, std::int64_t end) {
                                     Part<N>(space, operands, block, run, begin, end).run_all();
                                   });
}

template void in_blocks<1>(const Space<1>&, const Elements (&)[1], Block<1>, const void*);
template void in_blocks<2>(const Space<2>&, const Elements (&)[2], Block<2>, const void*);
template void in_blocks<3>(const Space<3>&, const Elements (&)[3], Block<3>, const void*);

}  // namespace chainrule::kernels::detail
