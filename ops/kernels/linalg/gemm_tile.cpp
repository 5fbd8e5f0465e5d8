#include <chainrule/ops/kernels/linalg/gemm_tile.hpp>

namespace chainrule::kernels::tiles {

// In squares of four, so that what is stored as vectors is loaded as vectors again.
template <class T>
void pack_transposed(std::int64_t rows, std::int64_t columns, const T* from, std::int64_t step,
                     T* packed) {
  using Four = Lanes<T, 4>;
  std::int64_t j = 0;
  for (; j + 4 <= columns; j += 4) {
    std::int64_t p = 0;
    for (; p + 4 <= rows; p += 4) {
      Four a, b, c, d;
      load(a, from + j * step + p);
      load(b, from + (j + 1) * step + p);
      load(c, from + (j + 2) * step + p);
      load(d, from + (j + 3) * step + p);
      const Four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
      const Four ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      const Four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
      const Four cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
      T* const to = packed + p * columns + j;
      store(to, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
      store(to + columns, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
      store(to + 2 * columns, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
      store(to + 3 * columns, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
    }
    for (; p < rows; ++p)
      for (int k = 0; k < 4; ++k) packed[p * columns + j + k] = from[(j + k) * step + p];
  }
  for (; j < columns; ++j)
    for (std::int64_t p = 0; p < rows; ++p) packed[p * columns + j] = from[j * step + p];
}

template void pack_transposed(std::int64_t, std::int64_t, const float*, std::int64_t, float*);
template void pack_transposed(std::int64_t, std::int64_t, const double*, std::int64_t, double*);

}  // namespace chainrule::kernels::tiles
