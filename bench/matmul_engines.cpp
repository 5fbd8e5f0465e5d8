// Which engine of matrix products (ops/kernels/gemm_engines.hpp) is the fastest: all of them on
// square matrices, and in the forms and shapes of the layers of networks. One thread. What gemm()
// chooses is also stated as a share of the core's peak, which is measured anew for each line.

#include <chainrule/core/threads.hpp>
#include <chainrule/ops/kernels/linalg/gemm_engines.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include <chainrule/bench/floors/peak.hpp>
#include <chainrule/bench/measure.hpp>

namespace {

namespace kernels = chainrule::kernels;
using kernels::MatrixView;

enum class Form { nn, tn, nt };  // a·b, aᵀ·b, a·bᵀ
constexpr const char* names[] = {"a.b", "aT.b", "a.bT"};

struct Product {
  Form form;
  int m, n, k;

  double operations() const { return 2.0 * m * n * k; }
};

// Seconds for each engine, infinite where it does not apply, and which of them gemm() takes.
struct Point {
  double seconds[4];
  int chosen;

  double best() const { return *std::ranges::min_element(seconds); }
  // How much longer the choice takes than the best engine.
  double loss() const { return seconds[chosen] / best(); }
};

constexpr int registers = static_cast<int>(kernels::Engine::registers),
              blocked = static_cast<int>(kernels::Engine::blocked),
              eigen = static_cast<int>(kernels::Engine::eigen),
              onednn = static_cast<int>(kernels::Engine::onednn);
constexpr int inputs = 4;

template <class T>
struct Operands {
  Product product;
  std::vector<T> a, b;

  Operands(const Product& p, std::mt19937& random)
      : product(p),
        a(static_cast<std::size_t>(inputs * p.m * p.k)),
        b(static_cast<std::size_t>(inputs * p.k * p.n)) {
    std::normal_distribution<T> normal;
    for (T& each : a) each = normal(random);
    for (T& each : b) each = normal(random);
  }
  MatrixView<T> left(int i) const {
    const auto& [form, m, n, k] = product;
    const T* at = a.data() + static_cast<std::ptrdiff_t>(i) * m * k;
    return form == Form::tn ? MatrixView<T>{at, 1, m} : MatrixView<T>{at, k, 1};
  }
  MatrixView<T> right(int i) const {
    const auto& [form, m, n, k] = product;
    const T* at = b.data() + static_cast<std::ptrdiff_t>(i) * k * n;
    return form == Form::nt ? MatrixView<T>{at, 1, k} : MatrixView<T>{at, n, 1};
  }
};

// A result against a plain loop in f64.
template <class T>
void check(const Operands<T>& operands, int i, const std::vector<T>& result) {
  const MatrixView<T> a = operands.left(i), b = operands.right(i);
  const auto& [form, m, n, k] = operands.product;
  for (int row = 0; row < m; ++row)
    for (int column = 0; column < n; ++column) {
      double sum = 0, size = 0;
      for (int p = 0; p < k; ++p) {
        const double term = static_cast<double>(a.data[row * a.row + p * a.column]) *
                            static_cast<double>(b.data[p * b.row + column * b.column]);
        sum += term;
        size += std::abs(term);
      }
      // k additions, each with a rounding error of at most epsilon.
      const double bound = k * static_cast<double>(std::numeric_limits<T>::epsilon()) * size;
      const double got = result[static_cast<std::size_t>(row * n + column)];
      bench::require(std::abs(got - sum) <= bound, "matmul_engines: a product is wrong");
    }
}

template <class T>
Point measure(const Product& product, std::mt19937& random) {
  const auto [form, m, n, k] = product;
  const Operands<T> operands(product, random);
  std::vector<T> c(static_cast<std::size_t>(m * n));
  const auto by = [&](auto&& engine) {
    for (int i = 0; i < inputs; ++i) {
      std::ranges::fill(c, std::numeric_limits<T>::quiet_NaN());
      engine(m, n, k, operands.left(i), operands.right(i), c.data());
      check(operands, i, c);
    }
    return [&, engine, next = 0]() mutable {
      next = (next + 1) % inputs;
      engine(m, n, k, operands.left(next), operands.right(next), c.data());
      bench::keep(c);
    };
  };
  const auto with_eigen = [](int rows, int columns, int depth, const MatrixView<T>& a,
                             const MatrixView<T>& b, T* to) {
    kernels::multiply_with_eigen<T>(rows, columns, depth, a, b, to, columns,
                                    kernels::Result::overwritten);
  };
  constexpr double never = std::numeric_limits<double>::infinity();
  Point point = {{never, never, never, never},
                 static_cast<int>(kernels::engine_for(m, n, k, operands.right(0)))};
  // In turn with Eigen, whose time is taken as that of its first pairing.
  if (form != Form::nt || n * k <= kernels::largest_packed) {
    const auto both =
        bench::compare(11, 4e-4, by(kernels::multiply_in_registers<T>), by(with_eigen));
    point.seconds[registers] = both.ratio.median * both.b.median;
    point.seconds[eigen] = both.b.median;
  }
  const auto in_blocks = [](int rows, int columns, int depth, const MatrixView<T>& a,
                            const MatrixView<T>& b, T* to) {
    kernels::multiply_in_blocks<T>(rows, columns, depth, a, b, to, columns,
                                   kernels::Result::overwritten);
  };
  const auto blocks = bench::compare(11, 4e-4, by(in_blocks), by(with_eigen));
  if (point.seconds[eigen] == never) point.seconds[eigen] = blocks.b.median;
  point.seconds[blocked] = blocks.ratio.median * point.seconds[eigen];
  if constexpr (sizeof(T) == sizeof(float)) {
    if (kernels::has_onednn()) {
      const auto with_onednn = [](int rows, int columns, int depth, const MatrixView<T>& a,
                                  const MatrixView<T>& b, T* to) {
        bench::require(kernels::multiply_with_onednn(rows, columns, depth, a, b, to, columns,
                                                     kernels::Result::overwritten),
                       "matmul_engines: oneDNN refuses a product");
      };
      const auto both = bench::compare(11, 4e-4, by(with_onednn), by(with_eigen));
      point.seconds[onednn] = both.ratio.median * point.seconds[eigen];
    }
  }
  return point;
}

// `share` of the peak.
void print(const Point& p, double share) {
  std::printf(" ");
  for (int engine = 0; engine < 4; ++engine)
    if (std::isinf(p.seconds[engine]))
      std::printf(" %8s ", "-");
    else
      std::printf(" %8.0f%s", p.seconds[engine] * 1e9, engine == p.chosen ? "*" : " ");
  std::printf("%3.0f %%", 100 * share);
}

// The share of the peak that gemm()'s choice reaches.
double share_of(double peak, const Product& product, const Point& point) {
  return product.operations() / point.seconds[point.chosen] / peak;
}

using Shares = std::vector<std::pair<std::string, double>>;

// Of the large ones, after the table.
void report_shares(bench::Report& report, const Shares& shares) {
  for (const auto& [name, share] : shares)
    report.figure("products, " + name + ": share of the peak", 100 * share, "%");
}

void header() {
  std::printf(
      ": ns in registers, in blocks, by Eigen, by oneDNN; * gemm()'s choice, and its share of "
      "the peak\n");
}

void summarize(bench::Report& report, const std::string& name, const std::vector<Point>& points) {
  double mean = 0, worst = 1;
  for (const Point& p : points) {
    mean += std::log(p.loss()) / static_cast<double>(points.size());
    worst = std::max(worst, p.loss());
  }
  report.figure(name + ": gemm()'s choice / the best engine", std::exp(mean), "x", 1.05);
  report.figure(name + ": the same where it is worst", worst, "x");
}

template <class T>
void squares(bench::Report& report, const std::string& dtype, std::mt19937& random) {
  const std::vector<int> sizes = {4,  5,  6,  7,  8,  10, 12, 14, 16,  18,  20, 22,
                                  24, 28, 32, 36, 40, 48, 64, 96, 128, 256, 512};
  std::printf("\n%s, square", dtype.c_str());
  header();
  std::printf("%5s", "n");
  for (const char* name : names) std::printf("%45s ", name);
  std::printf("\n");
  std::vector<Point> all;
  Shares shares;
  for (int n : sizes) {
    std::printf("%5d", n);
    const double peak = floors::peak_flops<T>();
    for (Form form : {Form::nn, Form::tn, Form::nt}) {
      const Product product{form, n, n, n};
      all.push_back(measure<T>(product, random));
      const double share = share_of(peak, product, all.back());
      print(all.back(), share);
      if (n >= 64)
        shares.emplace_back(dtype + ", " + names[static_cast<int>(form)] + ", " +
                                std::to_string(n) + "x" + std::to_string(n),
                            share);
    }
    std::printf("\n");
  }
  summarize(report, "products, " + dtype + ", square", all);
  report_shares(report, shares);
}

// What a layer of `in` inputs and `out` units does with a batch: forward, and both gradients.
template <class T>
void layers(bench::Report& report, const std::string& dtype, std::mt19937& random) {
  constexpr const char* layer_names[] = {"x.w", "xT.g", "g.wT"};
  std::printf("\n%s, layers", dtype.c_str());
  header();
  std::printf("%5s %9s", "batch", "layer");
  for (const char* name : layer_names) std::printf("%45s ", name);
  std::printf("\n");
  std::vector<Point> all;
  Shares shares;
  for (int batch : {1, 2, 8, 32, 256})
    for (const auto& [in, out] : {std::pair(1024, 1024),
                                  {784, 512},
                                  {784, 128},
                                  {128, 128},
                                  {128, 10},
                                  {64, 32},
                                  {32, 10}}) {
      std::printf("%5d %4d-%-4d", batch, in, out);
      const Product products[] = {
          {Form::nn, batch, out, in}, {Form::tn, in, out, batch}, {Form::nt, batch, in, out}};
      const double peak = floors::peak_flops<T>();
      for (int i = 0; i < 3; ++i) {
        all.push_back(measure<T>(products[i], random));
        const double share = share_of(peak, products[i], all.back());
        print(all.back(), share);
        if (batch >= 256)
          shares.emplace_back(dtype + ", " + layer_names[i] + ", layer " + std::to_string(in) +
                                  "-" + std::to_string(out) + ", batch " + std::to_string(batch),
                              share);
      }
      std::printf("\n");
    }
  summarize(report, "products, " + dtype + ", layers", all);
  report_shares(report, shares);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Report report(argc, argv);
  std::mt19937 random(20240229);
  chainrule::set_num_threads(1);
  std::printf("settings: peak of a core by multiply-adds in registers, %s\n",
              floors::peak_instructions());
  report.figure("peak of a core, f32", floors::peak_flops<float>() / 1e9, "GFLOP/s");
  report.figure("peak of a core, f64", floors::peak_flops<double>() / 1e9, "GFLOP/s");
  squares<float>(report, "f32", random);
  squares<double>(report, "f64", random);
  layers<float>(report, "f32", random);
  layers<double>(report, "f64", random);
}
