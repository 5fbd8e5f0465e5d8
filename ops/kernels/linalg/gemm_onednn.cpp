#include <chainrule/ops/kernels/linalg/gemm_engines.hpp>

#ifdef CHAINRULE_ONEDNN
#include <dlfcn.h>
#include <dnnl.h>

#include <atomic>
#include <mutex>

#include <chainrule/core/error.hpp>
#include <chainrule/core/fork.hpp>
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

std::mutex prepare_mutex;
const chainrule::detail::HeldOverFork held(prepare_mutex);
constinit std::atomic<bool> prepared{false}, ended{false};

// One product of each of the forms that oneDNN has kernels for: it makes these when they are first
// asked for.
void multiply_each_way() {
  constexpr int n = 64;
  const float a[n * n] = {};
  float c[n * n];
  for (const char left : {'N', 'T'})
    for (const char right : {'N', 'T'})
      for (const int rows : {1, 3, n})
        for (const int columns : {1, 3, n})
          dnnl_sgemm(left, right, rows, columns, n, 1.0F, a, left == 'N' ? n : rows, a,
                     right == 'N' ? columns : n, 0.0F, c, columns);
}

// Its kernels end with the process, before objects that were made earlier than they were; this one
// is made behind them, and ends before.
struct BehindKernels {
  ~BehindKernels() { ended.store(true, std::memory_order_relaxed); }
};

}  // namespace

bool has_onednn() noexcept { return true; }

void prepare_onednn() {
  if (prepared.load(std::memory_order_acquire)) [[likely]]
    return;
  const std::lock_guard lock(prepare_mutex);
  if (prepared.load(std::memory_order_relaxed)) return;
  // A process grows by some 18 MiB for the kernels of all products, as a limit of its address space
  // shows. oneDNN does not look whether it gets them, and reads through null where it does not.
  if (!memory::has_room(std::size_t{24} << 20))
    throw MemoryError("memory: the system does not give what oneDNN needs for its kernels");
  const OneThread alone;
  multiply_each_way();
  static const BehindKernels behind;
  prepared.store(true, std::memory_order_release);
}

bool multiply_with_onednn(std::int64_t m, std::int64_t n, std::int64_t k,
                          const MatrixView<float>& a, const MatrixView<float>& b, float* c,
                          std::int64_t c_row, Result result) {
  if (ended.load(std::memory_order_relaxed)) [[unlikely]]
    return false;
  const GemmOperand<float> left(a, m, k), right(b, k, n);
  const OneThread alone;
  return dnnl_sgemm(left.row_major ? 'N' : 'T', right.row_major ? 'N' : 'T', m, n, k, 1.0F,
                    left.data, left.stride, right.data, right.stride,
                    result == Result::added_to ? 1.0F : 0.0F, c, c_row) == dnnl_success;
}

#else

bool has_onednn() noexcept { return false; }

void prepare_onednn() {}

bool multiply_with_onednn(std::int64_t, std::int64_t, std::int64_t, const MatrixView<float>&,
                          const MatrixView<float>&, float*, std::int64_t, Result) {
  return false;
}

#endif

}  // namespace chainrule::kernels
