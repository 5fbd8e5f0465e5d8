#include <chainrule/ops/kernels/elementwise/blocks.hpp>

#include <algorithm>

#include <chainrule/core/threads.hpp>

namespace chainrule::kernels::detail {

namespace {

// Of a block. An operand's part of it is at most 4 KB.
constexpr std::int64_t block_elements = 512;

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

template <class T>
void gather(void* memory, const void* operand, const Rows& rows) {
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

// The steps begin … end of the outermost axis.
template <std::size_t N>
void part_in_blocks(const Space<N>& space, const Elements (&operands)[N], Block<N> block,
                    const void* run, std::int64_t begin, std::int64_t end) {
  const int axis_of_rows = space.rank - 2;
  const std::int64_t length = space.inner(), most_rows = block_elements / length;
  const auto at = [&](std::size_t k, std::int64_t i) {
    return static_cast<const char*>(operands[k].from) + i * operands[k].size;
  };
  alignas(64) char buffers[N][block_elements * 8];
  bool adjacent[N], same[N];  // as the result, and for all rows
  std::int64_t offset[N], index[max_rank] = {begin};
  for (std::size_t k = 0; k < N; ++k) {
    adjacent[k] = space.adjacent(k);
    offset[k] = begin * space.strides[k][0];
    same[k] = std::all_of(space.strides[k], space.strides[k] + axis_of_rows + 1,
                          [](std::int64_t stride) { return stride == 0; });
    if (same[k])
      gather(operands[k].size, buffers[k], operands[k].from,
             {most_rows, length, 0, space.inner_stride(k)});
  }
  const auto extent = [&](int axis) { return axis == 0 ? end : space.dims[axis]; };
  const auto advance = [&](int axis, std::int64_t steps) {
    index[axis] += steps;
    for (std::size_t k = 0; k < N; ++k) offset[k] += steps * space.strides[k][axis];
  };
  std::int64_t position = begin * space.elements_each(), filled = 0;  // rows of the block
  for (bool done = false; !done;) {
    const std::int64_t rows =
        std::min(extent(axis_of_rows) - index[axis_of_rows], most_rows - filled);
    for (std::size_t k = 0; k < N; ++k)
      if (!adjacent[k] && !same[k])
        gather(operands[k].size, buffers[k] + filled * length * operands[k].size, at(k, offset[k]),
               {rows, length, space.strides[k][axis_of_rows], space.inner_stride(k)});
    filled += rows;
    advance(axis_of_rows, rows);
    for (int axis = axis_of_rows; index[axis] == extent(axis) && !(done = axis == 0);) {
      advance(axis, -index[axis]);
      advance(--axis, 1);
    }
    if (!done && filled < most_rows) continue;
    const void* elements[N];
    for (std::size_t k = 0; k < N; ++k) elements[k] = adjacent[k] ? at(k, position) : buffers[k];
    block(run, position, filled * length, elements);
    position += filled * length;
    filled = 0;
  }
}

}  // namespace

template <std::size_t N>
void in_blocks(const Space<N>& space, const Elements (&operands)[N], Block<N> block,
               const void* run) {
  chainrule::detail::parallel_rows(space.dims[0], space.elements_each(),
                                   [&](std::int64_t begin, std::int64_t end) {
                                     part_in_blocks(space, operands, block, run, begin, end);
                                   });
}

template void in_blocks<1>(const Space<1>&, const Elements (&)[1], Block<1>, const void*);
template void in_blocks<2>(const Space<2>&, const Elements (&)[2], Block<2>, const void*);
template void in_blocks<3>(const Space<3>&, const Elements (&)[3], Block<3>, const void*);

}  // namespace chainrule::kernels::detail
