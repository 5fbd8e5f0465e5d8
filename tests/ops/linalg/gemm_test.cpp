#include <doctest/doctest.h>
#include <fmt/format.h>
#if defined(__linux__)
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/create.hpp>
#include <chainrule/core/threads.hpp>
#include <chainrule/ops/kernels/linalg/gemm_engines.hpp>
#include <chainrule/ops/linalg/matmul.hpp>

using namespace chainrule;
using kernels::MatrixView;
using kernels::Result;

TEST_SUITE_BEGIN("ops");

namespace {

// What is wrong with a product by `engine` of a (m, k) and b (k, n), each stored by rows or by
// columns, written over or added to c; or nothing.
template <class T, class Multiply>
std::string problem(std::int64_t m, std::int64_t n, std::int64_t k, bool turn_a, bool turn_b,
                    Result result, Multiply multiply, long double bound = 0) {
  std::mt19937 random(static_cast<unsigned>(m * 10007 + n * 101 + k));
  std::uniform_real_distribution<T> uniform(-1, 1);
  const auto numbers = [&](std::int64_t count) {
    std::vector<T> all(static_cast<std::size_t>(count));
    for (T& each : all) each = uniform(random);
    return all;
  };
  const std::vector<T> x = numbers(m * k), y = numbers(k * n), before = numbers(m * n);
  const MatrixView<T> a{x.data(), turn_a ? 1 : k, turn_a ? m : 1};
  const MatrixView<T> b{y.data(), turn_b ? 1 : n, turn_b ? k : 1};
  std::vector<T> c = before;
  multiply(a, b, c.data());
  // Every one of k additions of terms below 1 is off by at most half a unit of a sum below k.
  if (bound == 0)
    bound = static_cast<long double>(k * k + k + 2) * std::numeric_limits<T>::epsilon();
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      const auto at = static_cast<std::size_t>(i * n + j);
      long double want = result == Result::added_to ? before[at] : 0;
      for (std::int64_t p = 0; p < k; ++p)
        want += static_cast<long double>(a.data[i * a.row + p * a.column]) *
                b.data[p * b.row + j * b.column];
      if (!(std::abs(c[at] - want) <= bound))
        return fmt::format("({}, {}, {}) {}{} at {}, {}: {} instead of {}", m, n, k,
                           turn_a ? "aT" : "a", turn_b ? "bT" : "b", i, j,
                           static_cast<double>(c[at]), static_cast<double>(want));
    }
  return "";
}

// All sizes, layouts and results that an engine takes: multiply(m, n, k, a, b, c, result).
template <class T, class Multiply>
void check(Multiply multiply, bool vectors, bool adds) {
  for (const std::int64_t m : {1, 2, 5, 8, 33, 70})
    for (const std::int64_t n : {1, 3, 10, 16, 47, 64})
      for (const std::int64_t k : {1, 2, 17, 64})
        for (const bool turn_a : {false, true})
          for (const bool turn_b : {false, true})
            for (const Result result : {Result::overwritten, Result::added_to}) {
              if ((!vectors && (m == 1 || n == 1)) || (!adds && result == Result::added_to))
                continue;
              CHECK(problem<T>(m, n, k, turn_a, turn_b, result,
                               [&](const MatrixView<T>& a, const MatrixView<T>& b, T* c) {
                                 multiply(m, n, k, a, b, c, result);
                               }) == "");
            }
}

}  // namespace

TEST_CASE_TEMPLATE("gemm: every engine against plain loops", T, float, double) {
  SUBCASE("as chosen") {
    check<T>([](auto m, auto n, auto k, const auto& a, const auto& b, T* c,
                Result result) { kernels::gemm<T>(m, n, k, a, b, c, result); },
             true, true);
  }
  SUBCASE("in registers") {
    check<T>([](auto m, auto n, auto k, const auto& a, const auto& b, T* c,
                Result) { kernels::multiply_in_registers<T>(m, n, k, a, b, c); },
             true, false);
  }
  SUBCASE("in blocks") {
    const auto multiply = [](auto m, auto n, auto k, const auto& a, const auto& b, T* c,
                             Result result) {
      kernels::multiply_in_blocks<T>(m, n, k, a, b, c, n, result);
    };
    check<T>(multiply, true, true);
    // Into some columns of a wider matrix, as a part of a large product is.
    constexpr std::int64_t m = 21, n = 37, k = 19, wide = n + 3;
    CHECK(problem<T>(m, n, k, false, true, Result::overwritten,
                     [&](const MatrixView<T>& a, const MatrixView<T>& b, T* c) {
                       std::vector<T> whole(m * wide, T{7});
                       kernels::multiply_in_blocks<T>(m, n, k, a, b, whole.data(), wide,
                                                      Result::overwritten);
                       for (std::size_t i = 0; i < m; ++i) {
                         std::copy_n(whole.data() + i * wide, n, c + i * n);
                         for (std::size_t j = n; j < wide; ++j) CHECK(whole[i * wide + j] == 7);
                       }
                     }) == "");
    // More than one block along each axis.
    constexpr std::int64_t sizes[][3] = {{970, 9, 3}, {9, 400, 3}, {3, 17, 530}, {13, 390, 515}};
    for (const auto& [m, n, k] : sizes)
      for (const bool turn_a : {false, true})
        for (const bool turn_b : {false, true})
          for (const Result result : {Result::overwritten, Result::added_to})
            CHECK(problem<T>(m, n, k, turn_a, turn_b, result,
                             [&](const MatrixView<T>& a, const MatrixView<T>& b, T* c) {
                               multiply(m, n, k, a, b, c, result);
                             }) == "");
  }
  SUBCASE("Eigen") {
    check<T>([](auto m, auto n, auto k, const auto& a, const auto& b, T* c,
                Result result) { kernels::multiply_with_eigen<T>(m, n, k, a, b, c, n, result); },
             true, true);
  }
  if constexpr (sizeof(T) == sizeof(float)) {
    SUBCASE("oneDNN, where the library has it") {
      if (kernels::has_onednn())
        check<T>(
            [](auto m, auto n, auto k, const auto& a, const auto& b, T* c, Result result) {
              CHECK(kernels::multiply_with_onednn(m, n, k, a, b, c, n, result));
            },
            true, true);
    }
  }
}

TEST_CASE("gemm: products with vectors keep their digits") {
  // The errors of 2²¹ additions of equal terms in a row are of one sign, and come to 1e-3 even
  // where 16 sums run side by side.
  constexpr std::int64_t k = (1 << 21) + 77;
  const std::vector<float> x(static_cast<std::size_t>(k) * 5, 0.1F);
  const double right = static_cast<double>(0.1F) * static_cast<double>(0.1F) * k;
  constexpr std::int64_t sizes[][2] = {{1, 1}, {1, 5}, {5, 1}};
  for (const auto& [m, n] : sizes)
    for (const bool turn_a : {false, true})
      for (const bool turn_b : {false, true})
        for (const Result result : {Result::overwritten, Result::added_to}) {
          std::vector<float> c(static_cast<std::size_t>(m * n), 7);
          const MatrixView<float> a{x.data(), turn_a ? 1 : k, turn_a ? m : 1};
          const MatrixView<float> b{x.data(), turn_b ? 1 : n, turn_b ? k : 1};
          kernels::gemm<float>(m, n, k, a, b, c.data(), result);
          for (const float each : c)
            CHECK(std::abs((each - (result == Result::added_to ? 7 : 0)) / right - 1) < 3e-5);
        }
}

TEST_CASE_TEMPLATE("gemm: sums of panels against plain loops", T, float, double) {
  constexpr std::int64_t sizes[][3] = {{1, 1, 32768}, {1, 1, 40001}, {1, 7, 33000},
                                       {6, 1, 33000}, {3, 4, 50000}, {40, 20, 32770}};
  for (const auto& [m, n, k] : sizes)
    for (const bool turn_a : {false, true})
      for (const bool turn_b : {false, true})
        for (const Result result : {Result::overwritten, Result::added_to})
          CHECK(problem<T>(
                    m, n, k, turn_a, turn_b, result,
                    [&](const MatrixView<T>& a, const MatrixView<T>& b, T* c) {
                      kernels::gemm<T>(m, n, k, a, b, c, result);
                    },
                    // Terms of random signs: errors of 2¹⁴ additions, of sums of some 2⁸.
                    1e5L * std::numeric_limits<T>::epsilon()) == "");
}

#if defined(__linux__)
// Run by the next test, in a process that has computed no product yet: with as much more address
// space as the environment says, in KiB.
TEST_CASE("gemm: the first product with little memory" * doctest::skip()) {
  const char* more = std::getenv("CHAINRULE_TEST_KIB");
  if (!more) return;
  const int threads = std::atoi(std::getenv("CHAINRULE_TEST_THREADS"));
  set_num_threads(threads);
  const Tensor x = ones({600, 500}), w = ones({700, 500});
  rlimit limit{};
  std::ifstream file("/proc/self/statm");
  file >> limit.rlim_cur;
  limit.rlim_cur = limit.rlim_cur * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) +
                   static_cast<rlim_t>(std::atol(more)) * 1024;
  limit.rlim_max = RLIM_INFINITY;
  setrlimit(RLIMIT_AS, &limit);
  std::string text;
  try {
    _exit(matmul(x, w.T()).at({599, 699}) == 500 ? 0 : 1);
  } catch (const MemoryError& error) {
    text = error.what();
  }
  _exit(text.starts_with("matmul: no memory") && text.find("gemm_test.cpp:") != text.npos ? 2 : 3);
}

TEST_CASE("gemm: without memory the first product is an error, not the end") {
  if (!kernels::has_onednn() || !memory::pooled) return;  // sanitizers map too much themselves
  int right = 0, refused = 0;
  for (const char* threads : {"1", "2"})
    for (const char* more : {"0", "700", "1500", "2500", "4000", "5500", "7000", "10000", "13000",
                             "16000", "18000", "20000", "25000", "40000", "150000"}) {
      CAPTURE(threads);
      CAPTURE(more);
      const pid_t child = fork();
      if (child == 0) {
        setenv("CHAINRULE_TEST_KIB", more, 1);
        setenv("CHAINRULE_TEST_THREADS", threads, 1);
        execl("/proc/self/exe", "tests", "--no-skip", "-tc=gemm: the first product with*", nullptr);
        _exit(4);
      }
      int status = 0;
      waitpid(child, &status, 0);
      REQUIRE(WIFEXITED(status));
      CHECK((WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2));
      right += WEXITSTATUS(status) == 0;
      refused += WEXITSTATUS(status) == 2;
    }
  CHECK(right > 0);
  CHECK(refused > 0);
}
#endif

TEST_SUITE_END();
