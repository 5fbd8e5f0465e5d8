// An operation of one's own: swish(x) = x σ(x) (P. Ramachandran, B. Zoph, Q. Le, "Searching for
// activation functions", 2017), defined as the library defines its own, checked, and used.

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <span>
#include <vector>

#include <chainrule/chainrule.hpp>
#include <chainrule/ops/define.hpp>

namespace {

struct Swish final : cr::UnaryOp<Swish> {
  Swish() : UnaryOp("swish", "swish({0})") {}
  static constexpr bool integers = false;                           // f32 and f64 only
  static constexpr cr::Node::SavedMask saved = cr::Node::input(0);  // what slope() reads

  template <class T>
  static T value(T x) {
    return x / (1 + std::exp(-x));
  }

  // g · σ(x) (1 + x (1 − σ(x))), in tensor operations: so it can be differentiated again.
  static cr::Tensor slope(const cr::Application& r, const cr::Tensor& g) {
    const cr::Tensor x = r.in(0), s = cr::sigmoid(x);
    return g * s * (1.0 + x * (1.0 - s));
  }

  // What the generic tests run on, if this op is linked into a test program.
  std::vector<cr::Sample> samples() const override {
    return {{"vector", {cr::tensor({-1.5, 0.3, 2.0}, cr::f64)}, [](std::span<const cr::Tensor> in) {
               return swish_of(in[0]);
             }}};
  }
  static cr::Tensor swish_of(const cr::Tensor& x);
};
const Swish swish_op;

cr::Tensor Swish::swish_of(const cr::Tensor& x) { return swish_op(x, cr::Where::current()); }

/// x σ(x), elementwise.
cr::Tensor swish(const cr::Tensor& x, cr::Where where = cr::Where::current()) {
  return swish_op(x, where);
}

}  // namespace

int main() try {
  const cr::Tensor x = cr::linspace(-2.0, 2.0, 5, cr::f64).named("x").requires_grad_();
  const cr::Tensor y = swish(x);
  cr::sum(y).backward();
  fmt::print("{}\nswish(x)  = {:.6f}\nswish'(x) = {:.6f}\n\n", x, y.detach(), x.grad());

  const cr::GradcheckReport report =
      cr::gradcheck([](std::span<const cr::Tensor> in) { return swish(in[0]); }, {x}, {.order = 2});
  fmt::print("{}", report.to_string());
  return report.ok() ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const cr::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 2;
}
