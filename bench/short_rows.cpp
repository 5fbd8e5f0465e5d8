// Functions along rows of few elements, which would do little but begin and end if they went row by
// row, against the same work where it is easy: along as many columns, along rows of 1,000 elements,
// or with operands of one shape. Without recording where nothing else is said, on one thread.

#include <chainrule/chainrule.hpp>

#include <chainrule/bench/measure.hpp>

namespace {

using namespace chainrule;

constexpr std::int64_t elements = 300'000;

struct Measured {
  bench::Report& report;
  DType dtype;
  std::int64_t n;  // elements of a short row

  // How many times f along short rows takes as long as what is easy.
  template <class F, class Easy>
  void operator()(const std::string& name, F f, const std::string& what, Easy easy,
                  double most = 2) const {
    const auto both =
        bench::compare(11, 4e-3, [&] { bench::keep(f()); }, [&] { bench::keep(easy()); });
    report.ratio("(p, " + std::to_string(n) + "), " + name_of(dtype) + ": " + name + " / " + what,
                 both.ratio, most);
  }
};

void measure(bench::Report& report, DType dtype, std::int64_t n) {
  const Measured ratio{report, dtype, n};
  Generator random(20240229);
  const auto draw = [&](const Shape& shape) { return randn(shape, random, dtype); };
  const std::int64_t rows = elements / n;
  const Tensor x = draw({rows, n}), columns = contiguous(x.T()), other = draw({rows, n});
  const Tensor of_thousand = draw({elements / 1000, 1000});

  {
    const NoGrad guard;
    const Tensor column = draw({rows, 1}), row = draw({1, n}), mask = x > 0;
    const auto of_one_shape = [&] { return where(mask, x, other); };
    ratio(
        "where, b (p, 1)", [&] { return where(mask, x, column); }, "of one shape", of_one_shape, 3);
    ratio("where, b (1, n)", [&] { return where(mask, x, row); }, "of one shape", of_one_shape);
    ratio(
        "condition (p, 1) and where", [&] { return where(column > 0, x, other); },
        "where of one shape", of_one_shape, 4);
    ratio("argmax", [&] { return argmax(x, 1); }, "columns", [&] { return argmax(columns, 0); });
    ratio("softmax", [&] { return softmax(x, 1); }, "columns", [&] { return softmax(columns, 0); });
    ratio(
        "log_softmax", [&] { return log_softmax(x, 1); }, "columns",
        [&] { return log_softmax(columns, 0); });
    ratio(
        "logsumexp", [&] { return logsumexp(x, 1); }, "columns",
        [&] { return logsumexp(columns, 0); });
    // Each row has a square root of its own.
    ratio(
        "layer_norm", [&] { return layer_norm(x, {n}); }, "rows of 1000",
        [&] { return layer_norm(of_thousand, {1000}); }, 8);
    const Tensor numbers = to(mask, dtype);
    ratio(
        "sum of booleans", [&] { return sum(mask, 1); }, "of numbers",
        [&] { return sum(numbers, 1); });
  }

  std::vector<std::int64_t> classes;
  for (std::int64_t r = 0; r < rows; ++r) classes.push_back(r * 7 % n);
  const Tensor labels = from_vector(classes);
  Tensor a = x.detach().requires_grad_(), b = columns.detach().requires_grad_();
  const auto gradient = [](Tensor& leaf, const Tensor& y, const Tensor& seed) {
    leaf.zero_grad();
    backward(y, seed);
    return leaf.grad();
  };
  const Tensor seed = other, turned = contiguous(other.T()), one = tensor(1.0, dtype);
  ratio(
      "softmax, forward + backward", [&] { return gradient(a, softmax(a, 1), seed); }, "columns",
      [&] { return gradient(b, softmax(b, 0), turned); });
  ratio(
      "log_softmax, forward + backward", [&] { return gradient(a, log_softmax(a, 1), seed); },
      "columns", [&] { return gradient(b, log_softmax(b, 0), turned); });
  ratio(
      "cross_entropy, forward + backward",
      [&] { return gradient(a, cross_entropy(a, labels), one); }, "columns",
      [&] { return gradient(b, cross_entropy(b, labels, Reduction::mean, 0), one); });
}

}  // namespace

int main(int argc, char** argv) {
  chainrule::set_num_threads(1);
  bench::Report report(argc, argv);
  for (const chainrule::DType dtype : {chainrule::f64, chainrule::f32})
    for (const std::int64_t n : {2, 3, 7, 10}) measure(report, dtype, n);
}
