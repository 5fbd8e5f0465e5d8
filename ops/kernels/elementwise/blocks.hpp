#pragma once

#include <cstdint>
#include <utility>

#include <chainrule/ops/kernels/elementwise/space.hpp>

/// Operands of few elements between two steps of an outer axis, as in (p, 3) times (p, 1), and
/// those whose elements are apart, made adjacent block by block, so that the loops over them are
/// long ones.
namespace chainrule::kernels {

namespace detail {

// The first element of an operand, and how large one is: 1, 4 or 8 bytes.
struct Elements {
  const void* from;
  std::int64_t size;
};

template <std::size_t N>
using Block = void (*)(const void* run, std::int64_t position, std::int64_t count,
                       const void* const (&operands)[N]);

// For N from 1 to 3.
template <std::size_t N>
void in_blocks(const Space<N>& space, const Elements (&operands)[N], Block<N> block,
               const void* run);

}  // namespace detail

/// Calls run(position in the result, count, operands…) for blocks that together are the space,
/// which is better_copied(), with pointers to `count` adjacent elements of each operand; in
/// parallel where there is enough to do. `from` points to the operands' first elements.
template <std::size_t N, class Run, class... T>
void in_blocks(const Space<N>& space, const Run& run, const T*... from) {
  const detail::Elements operands[] = {{from, sizeof(T)}...};
  detail::in_blocks<N>(
      space, operands,
      [](const void* f, std::int64_t position, std::int64_t count,
         const void* const(&elements)[N]) {
        [&]<std::size_t... K>(std::index_sequence<K...>) {
          (*static_cast<const Run*>(f))(position, count, static_cast<const T*>(elements[K])...);
        }(std::make_index_sequence<N>());
      },
      &run);
}

}  // namespace chainrule::kernels
