#include <chainrule/core/threads.hpp>
#include <chainrule/ops/kernels/linalg/gemm_engines.hpp>

#ifdef CHAINRULE_ONEDNN
#include <dnnl.h>
#endif

namespace chainrule::kernels {

#ifdef CHAINRULE_ONEDNN

bool has_onednn() noexcept { return true; }

bool multiply_with_onednn(std::int64_t m, std::int64_t n, std::int64_t k,
                          const MatrixView<float>& a, const MatrixView<float>& b, float* c,
                          Result result) {
  const GemmOperand<float> left(a, m, k), right(b, k, n);
  // It takes its threads from the same OpenMP pool, as many as the calling thread may use.
  const detail::PoolSize size(detail::threads_for(m * n * k, gemm_grain));
  return dnnl_sgemm(left.row_major ? 'N' : 'T', right.row_major ? 'N' : 'T', m, n, k, 1.0F,
                    left.data, left.stride, right.data, right.stride,
                    result == Result::added_to ? 1.0F : 0.0F, c, n) == dnnl_success;
}

#else

bool has_onednn() noexcept { return false; }

bool multiply_with_onednn(std::int64_t, std::int64_t, std::int64_t, const MatrixView<float>&,
                          const MatrixView<float>&, float*, Result) {
  return false;
}

#endif

}  // namespace chainrule::kernels
