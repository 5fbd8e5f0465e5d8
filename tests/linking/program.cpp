// A program as a user writes it, for check_linking.py: it includes the umbrella, defines a module
// and an operation, trains, multiplies matrices large enough for threads and oneDNN, and catches
// errors. Exit status 0 if everything came out as it has to.

#include <chainrule/chainrule.hpp>
#include <chainrule/core/eigen.hpp>
#include <chainrule/ops/define.hpp>
#include <fmt/format.h>

#include <cmath>
#include <string_view>
#include <vector>

#ifdef _OPENMP
#error "linking chainrule has switched OpenMP on in the user's own code"
#endif

namespace {

int failures = 0;

void check(bool right, std::string_view what) {
  if (right) return;
  fmt::print(stderr, "wrong: {}\n", what);
  ++failures;
}

bool close(double a, double b) { return std::abs(a - b) < 1e-6 * (1 + std::abs(b)); }

class Line : public cr::nn::Module {
  cr::nn::Linear fit = child("fit", cr::nn::Linear(1, 1));
  cr::nn::Parameter scale = parameter("scale", cr::ones({1}));

 public:
  cr::Tensor forward(const cr::Tensor& x) override { return scale * fit(x); }
};

struct Cube final : cr::UnaryOp<Cube> {
  Cube() : UnaryOp("cube", "{0}³") {}
  static constexpr bool integers = false;
  static constexpr cr::Node::SavedMask saved = cr::Node::input(0);
  template <class T>
  static T value(T x) {
    return x * x * x;
  }
  static cr::Tensor slope(const cr::Application& r, const cr::Tensor& g) {
    const cr::Tensor x = r.in(0);
    return g * 3.0 * x * x;
  }
  std::vector<cr::Sample> samples() const override { return {}; }
};

void differentiate() {
  const cr::Tensor W = cr::tensor({{0.5, -1.0}, {2.0, 0.25}}).named("W").requires_grad_();
  const cr::Tensor x = cr::tensor({1.0, -2.0});
  const cr::Tensor loss = cr::sum(cr::sigmoid(cr::matmul(W, x)));
  loss.backward();
  const double s = 1 / (1 + std::exp(-2.5));  // W x = (2.5, 1.5)
  check(close(loss.item(), s + 1 / (1 + std::exp(-1.5))), "the sum of two sigmoids");
  check(close(W.grad().at({0, 1}), -2 * s * (1 - s)), "its gradient");
}

void train() {
  Line model;
  const cr::Tensor x = cr::tensor({{-1.0}, {0.0}, {1.0}, {2.0}}), y = 3.0 * x - 1.0;
  cr::nn::SGD sgd(model.parameters(), 0.05);
  for (int step = 0; step < 2000; ++step) {
    sgd.zero_grad();
    cr::mse_loss(model(x), y).backward();
    sgd.step();
  }
  check(std::abs(model(cr::tensor({{5.0}})).item() - 14) < 1e-3, "a line is fitted");
  check(fmt::format("{}", model).find("fit: Linear(1, 1)") != std::string::npos, "a model prints");
}

void multiply() {
  // Large enough for every engine of products and for several threads.
  const cr::Tensor product = cr::matmul(cr::ones({512, 300}), cr::full({300, 512}, 0.5));
  check(close(product.at({511, 511}), 150) && close(product.at({0, 7}), 150), "a large product");
  check(cr::as_matrix<float>(product).rows() == 512, "an Eigen map");
}

void catch_errors() {
  try {
    (void)cr::matmul(cr::ones({2, 3}), cr::ones({2, 3}));
    check(false, "shapes that do not fit are an error");
  } catch (const cr::ShapeError& error) {
    check(std::string_view(error.what()).find("program.cpp:") != std::string_view::npos,
          "an error names this file");
  }
}

void define() {
  static const Cube cube;
  const cr::Tensor x = cr::tensor({2.0}).requires_grad_();
  cr::sum(cube(x, cr::Where::current())).backward();
  check(close(x.grad().item(), 12), "the gradient of an operation of one's own");
}

}  // namespace

int main() {
  differentiate();
  train();
  multiply();
  catch_errors();
  define();
  if (failures == 0) fmt::print("all is right\n");
  return failures == 0 ? 0 : 1;
}
