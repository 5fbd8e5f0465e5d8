// Where the product in registers (ops/kernels/gemm.cpp) should give way to Eigen's blocked one:
// both on square matrices, and in the forms and shapes of the layers of networks.

#include <chainrule/ops/kernels/gemm.hpp>

#include <cmath>
#include <limits>
#include <random>

#include <chainrule/bench/measure.hpp>

namespace {

namespace kernels = chainrule::kernels;
using kernels::MatrixView;

enum class Form { nn, tn, nt };  // a·b, aᵀ·b, a·bᵀ
constexpr const char* names[] = {"a.b", "aT.b", "a.bT"};

struct Product {
  Form form;
  int m, n, k;
};

// Seconds for each engine, and which of them gemm() takes.
struct Point {
  double in_registers, in_blocks;
  bool chosen;

  // How much longer the choice takes than the better engine.
  double loss() const {
    return (chosen ? in_registers : in_blocks) / std::min(in_registers, in_blocks);
  }
};

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
  const auto both = bench::compare(15, 5e-4, by(kernels::multiply_in_registers<T>),
                                   by(kernels::multiply_in_blocks<T>));
  return {both.a.median, both.b.median, kernels::prefers_registers(m, n, k, operands.right(0))};
}

void print(const Point& p) {
  std::printf(" %9.0f / %8.0f %5.2f%s", p.in_registers * 1e9, p.in_blocks * 1e9,
              p.in_registers / p.in_blocks, p.chosen ? "*" : " ");
}

// The largest size up to which registers are better, in the sense that the sizes together are
// fastest when all up to it are multiplied in registers and all above it in blocks.
int crossover(const std::vector<int>& sizes, const std::vector<Point>& points) {
  double gain = 0, best = 0;
  int at = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    gain += std::log(points[i].in_blocks / points[i].in_registers);
    if (gain > best) {
      best = gain;
      at = sizes[i];
    }
  }
  return at;
}

void summarize(bench::Report& report, const std::string& name, const std::vector<Point>& points) {
  double mean = 0, worst = 1;
  for (const Point& p : points) {
    mean += std::log(p.loss()) / static_cast<double>(points.size());
    worst = std::max(worst, p.loss());
  }
  report.figure(name + ": gemm()'s choice / the better engine", std::exp(mean), "x", 1.05);
  report.figure(name + ": the same where it is worst", worst, "x");
}

template <class T>
void squares(bench::Report& report, const std::string& dtype, std::mt19937& random) {
  const std::vector<int> sizes = {4,  5,  6,  7,  8,  10, 12, 14, 16, 18, 20, 22,
                                  24, 28, 32, 36, 40, 48, 56, 64, 80, 96, 128};
  std::printf("\n%s, square: ns in registers / in blocks, ratio; * where gemm() takes registers\n",
              dtype.c_str());
  std::printf("%5s", "n");
  for (const char* name : names) std::printf("%26s  ", name);
  std::printf("\n");
  std::vector<Point> columns[3], all;
  for (int n : sizes) {
    std::printf("%5d", n);
    for (Form form : {Form::nn, Form::tn, Form::nt}) {
      if (form == Form::nt && n * n > kernels::largest_packed) continue;
      const Point point = measure<T>({form, n, n, n}, random);
      columns[static_cast<int>(form)].push_back(point);
      all.push_back(point);
      print(point);
    }
    std::printf("\n");
  }
  for (int form = 0; form < 3; ++form)
    report.figure(
        "products, " + dtype + ", square, " + names[form] + ": registers are better up to",
        crossover(sizes, columns[form]), "rows");
  summarize(report, "products, " + dtype + ", square", all);
}

// What a layer of `in` inputs and `out` units does with a batch: forward, and both gradients.
template <class T>
void layers(bench::Report& report, const std::string& dtype, std::mt19937& random) {
  std::printf("\n%s, layers: the same\n%5s %9s", dtype.c_str(), "batch", "layer");
  for (const char* name : {"x.w", "xT.g", "g.wT"}) std::printf("%26s  ", name);
  std::printf("\n");
  std::vector<Point> all;
  for (int batch : {1, 2, 8, 32, 256})
    for (const auto& [in, out] : {std::pair(784, 128), {128, 128}, {128, 10}, {64, 32}, {32, 10}}) {
      std::printf("%5d %4d-%-4d", batch, in, out);
      const Product products[] = {
          {Form::nn, batch, out, in}, {Form::tn, in, out, batch}, {Form::nt, batch, in, out}};
      for (const Product& product : products) {
        if (product.form == Form::nt && in * out > kernels::largest_packed) continue;
        all.push_back(measure<T>(product, random));
        print(all.back());
      }
      std::printf("\n");
    }
  summarize(report, "products, " + dtype + ", layers", all);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Report report(argc, argv);
  std::mt19937 random(20240229);
  squares<float>(report, "f32", random);
  squares<double>(report, "f64", random);
  layers<float>(report, "f32", random);
  layers<double>(report, "f64", random);
}
