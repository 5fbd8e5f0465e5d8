#include <algorithm>

#include <chainrule/core/threads.hpp>
#include <chainrule/ops/kernels/linalg/gemm_engines.hpp>

namespace chainrule::kernels {

namespace {

template <class T>
bool has_onednn_for() noexcept {
  return sizeof(T) == sizeof(float) && has_onednn();
}

template <class T>
bool fits_registers(std::int64_t m, std::int64_t n, std::int64_t k,
                    const MatrixView<T>& b) noexcept {
  const bool packed = b.column != 1;
  if (n == 1) return m * k <= 16;
  const std::int64_t size = n * k;
  if (m == 1) return packed ? size <= 256 || (k <= 12 && size <= largest_packed) : size <= 1024;
  if (packed) return size <= largest_packed;
  // What others copy first, and have to make up for: nothing where b is used for few rows.
  return size <= (m <= 8 ? 1 << 17 : has_onednn_for<T>() ? largest_packed : 1 << 14);
}

}  // namespace

// f64, and f32 without oneDNN: blocks, and Eigen where there is too little of one. OpenBLAS, the
// other candidate, is linked by Debian to threads of its own beside the workers, and takes a
// processor that it does not know for an old one.
template <class T>
Engine engine_for(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& b) noexcept {
  const bool in_registers = fits_registers(m, n, k, b);
  if constexpr (sizeof(T) == sizeof(float)) {
    // oneDNN spends some 500 ns on a call before it multiplies; vectors are not its strength.
    const std::int64_t most = n < 16 ? 1 << 15 : 1 << 19;
    const bool large = n * k > 4096 || m * n * k > most;
    if (has_onednn_for<T>() && m != 1 && n != 1 && (in_registers ? large && k > 2 : true))
      return Engine::onednn;
  }
  if (in_registers) return Engine::registers;
  return m >= 32 && n >= 16 ? Engine::blocked : Engine::eigen;
}

namespace {

// c += a·b by a kernel that overwrites: so many rows at a time that their product is still in the
// cache when it is added.
template <class T>
void add_in_registers(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& a,
                      const MatrixView<T>& b, T* c) {
  if (m * n <= 256) {
    T product[256];
    multiply_in_registers(m, n, k, a, b, product);
    for (std::int64_t i = 0; i < m * n; ++i) c[i] += product[i];
    return;
  }
  const std::int64_t panel = std::max<std::int64_t>((1 << 13) / n, 8);
  std::vector<T, memory::Pool<T>> product(static_cast<std::size_t>(std::min(panel, m) * n));
  for (std::int64_t i = 0; i < m; i += panel) {
    const std::int64_t rows = std::min(panel, m - i);
    multiply_in_registers(rows, n, k, {a.data + i * a.row, a.row, a.column}, b, product.data());
    for (std::int64_t j = 0; j < rows * n; ++j)
      c[i * n + j] += product[static_cast<std::size_t>(j)];
  }
}

// One piece of a product, by the calling thread.
template <class T>
void multiply_by(Engine engine, std::int64_t m, std::int64_t n, std::int64_t k,
                 const MatrixView<T>& a, const MatrixView<T>& b, T* c, std::int64_t c_row,
                 Result result) {
  switch (engine) {
    case Engine::registers:
      return result == Result::overwritten ? multiply_in_registers(m, n, k, a, b, c)
                                           : add_in_registers(m, n, k, a, b, c);
    case Engine::blocked:
      return multiply_in_blocks(m, n, k, a, b, c, c_row, result);
    case Engine::onednn:
      if constexpr (sizeof(T) == sizeof(float))
        if (multiply_with_onednn(m, n, k, a, b, c, c_row, result)) return;
      [[fallthrough]];
    case Engine::eigen:
      return multiply_with_eigen(m, n, k, a, b, c, c_row, result);
  }
}

// The whole product, of more than one piece where that is worth more threads: of some rows each, or
// of some columns where these are more.
template <class T>
void multiply_in_pieces(Engine engine, std::int64_t m, std::int64_t n, std::int64_t k,
                        const MatrixView<T>& a, const MatrixView<T>& b, T* c, Result result) {
  constexpr std::int64_t alignment = 16;
  if (engine == Engine::registers || m >= n)
    return detail::parallel_for(
        m, gemm_grain / (n * k) + 1,
        [&](std::int64_t begin, std::int64_t end) {
          multiply_by(engine, end - begin, n, k, {a.data + begin * a.row, a.row, a.column}, b,
                      c + begin * n, n, result);
        },
        alignment);
  detail::parallel_for(
      n, gemm_grain / (m * k) + 1,
      [&](std::int64_t begin, std::int64_t end) {
        multiply_by(engine, m, end - begin, k, a, {b.data + begin * b.column, b.row, b.column},
                    c + begin, n, result);
      },
      alignment);
}

// So much of the inner dimension of a row times a matrix is summed in one go: the error of a sum
// grows with its length. (With more rows, engines cut the inner dimension themselves.)
constexpr std::int64_t panel_depth = 1 << 14;

// Such a product as sums of panels, which are added in pairs; by the same panels on any number of
// threads.
template <class T>
[[gnu::noinline]] void multiply_row_in_panels(std::int64_t n, std::int64_t k,
                                              const MatrixView<T>& a, const MatrixView<T>& b, T* c,
                                              Result result) {
  const std::int64_t panels = (k + panel_depth - 1) / panel_depth;
  const Engine engine = engine_for(1, n, panel_depth, b);
  std::vector<T, memory::Pool<T>> products(static_cast<std::size_t>(panels * n));
  T* const parts = products.data();
  detail::parallel_for(
      panels, gemm_grain / (n * panel_depth) + 1,
      [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t p = first; p < last; ++p) {
          const std::int64_t from = p * panel_depth;
          multiply_by<T>(engine, 1, n, std::min(panel_depth, k - from),
                         {a.data + from * a.column, a.row, a.column},
                         {b.data + from * b.row, b.row, b.column}, parts + p * n, n,
                         Result::overwritten);
        }
      },
      1);
  for (std::int64_t step = 1; step < panels; step *= 2)
    for (std::int64_t p = 0; p + step < panels; p += 2 * step)
      for (std::int64_t i = 0; i < n; ++i) parts[p * n + i] += parts[(p + step) * n + i];
  for (std::int64_t i = 0; i < n; ++i)
    c[i] = result == Result::overwritten ? parts[i] : c[i] + parts[i];
}

}  // namespace

template <class T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& a,
          const MatrixView<T>& b, T* c, Result result) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    if (result == Result::overwritten) std::fill_n(c, m * n, T{0});
    return;
  }
  // A matrix times a vector is the vector times the transposed matrix.
  if (n == 1 && m != 1)
    return gemm<T>(1, m, k, {b.data, 0, b.row}, {a.data, a.column, a.row}, c, result);
  if (k >= 2 * panel_depth && m == 1) return multiply_row_in_panels(n, k, a, b, c, result);
  // The smallest take less time than to choose.
  const bool tiny = m > 1 && m * n * k <= 1 << 12 && n * k <= 1 << 10;
  const Engine engine = tiny ? Engine::registers : engine_for(m, n, k, b);
  if (engine == Engine::onednn) prepare_onednn();
  if (m * n * k >= 2 * gemm_grain)
    multiply_in_pieces(engine, m, n, k, a, b, c, result);
  else
    multiply_by(engine, m, n, k, a, b, c, n, result);
}

#define CHAINRULE_FOR(T)                                                             \
  template Engine engine_for(std::int64_t, std::int64_t, std::int64_t,               \
                             const MatrixView<T>&) noexcept;                         \
  template void gemm(std::int64_t, std::int64_t, std::int64_t, const MatrixView<T>&, \
                     const MatrixView<T>&, T*, Result)
CHAINRULE_FOR(float);
CHAINRULE_FOR(double);
#undef CHAINRULE_FOR

}  // namespace chainrule::kernels
