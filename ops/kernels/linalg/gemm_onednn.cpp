#include <chainrule/ops/kernels/linalg/gemm_engines.hpp>

#ifdef CHAINRULE_ONEDNN
#include <dlfcn.h>
#include <dnnl.h>
#endif

namespace chainrule::kernels {

#ifdef CHAINRULE_ONEDNN

namespace {

// oneDNN takes threads of the OpenMP that it was built with; here it gets pieces for one thread.
// That OpenMP is asked for when the program runs, since the compiler of this program may have
// another. What is set belongs to the calling thread alone, and is put back.
class OneThread {
 public:
  OneThread() noexcept : before_(openmp().usable() ? openmp().most_threads() : 1) {
    if (before_ != 1) openmp().set_threads(1);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;
  ~OneThread() {
    if (before_ != 1) openmp().set_threads(before_);
  }

 private:
  struct OpenMP {
    int (*most_threads)();
    void (*set_threads)(int);
    bool usable() const noexcept { return most_threads && set_threads; }
  };
  static const OpenMP& openmp() noexcept {
    static const OpenMP loaded{
        reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads")),
        reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"))};
    return loaded;
  }
  int before_;
};

}  // namespace

bool has_onednn() noexcept { return true; }

bool multiply_with_onednn(std::int64_t m, std::int64_t n, std::int64_t k,
                          const MatrixView<float>& a, const MatrixView<float>& b, float* c,
                          std::int64_t c_row, Result result) {
  const GemmOperand<float> left(a, m, k), right(b, k, n);
  const OneThread alone;
  return dnnl_sgemm(left.row_major ? 'N' : 'T', right.row_major ? 'N' : 'T', m, n, k, 1.0F,
                    left.data, left.stride, right.data, right.stride,
                    result == Result::added_to ? 1.0F : 0.0F, c, c_row) == dnnl_success;
}

#else

bool has_onednn() noexcept { return false; }

bool multiply_with_onednn(std::int64_t, std::int64_t, std::int64_t, const MatrixView<float>&,
                          const MatrixView<float>&, float*, std::int64_t, Result) {
  return false;
}

#endif

}  // namespace chainrule::kernels
