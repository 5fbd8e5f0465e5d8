#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/nn/optim/adam.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/count_malloc.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("nn");

namespace {

using Real = long double;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// The rules as PyTorch's documentation writes them, one number at a time.
class Reference {
 public:
  Reference(std::vector<Real> w, Real rate, nn::AdamOptions options, bool decoupled)
      : w(std::move(w)),
        rate(rate),
        options_(options),
        decoupled_(decoupled),
        m_(this->w.size()),
        v_(this->w.size()),
        largest_(this->w.size()) {}

  void step(const std::vector<Real>& gradient) {
    const Real beta1 = options_.betas.first, beta2 = options_.betas.second;
    ++t_;
    for (std::size_t i = 0; i < w.size(); ++i) {
      Real g = gradient[i];
      if (decoupled_)
        w[i] -= rate * options_.weight_decay * w[i];
      else
        g += options_.weight_decay * w[i];
      m_[i] = beta1 * m_[i] + (1 - beta1) * g;
      v_[i] = beta2 * v_[i] + (1 - beta2) * g * g;
      largest_[i] = std::max(largest_[i], v_[i]);
      const Real m = m_[i] / (1 - std::pow(beta1, t_));
      const Real v = (options_.amsgrad ? largest_[i] : v_[i]) / (1 - std::pow(beta2, t_));
      w[i] -= rate * m / (std::sqrt(v) + options_.eps);
    }
  }

  std::vector<Real> w;
  Real rate;

 private:
  nn::AdamOptions options_;
  bool decoupled_;
  Real t_ = 0;
  std::vector<Real> m_, v_, largest_;
};

template <class T>
std::vector<Real> numbers(const Tensor& x) {
  const std::vector<T> v = x.to_vector<T>();
  return {v.begin(), v.end()};
}

template <class T>
double distance(const Tensor& w, const Reference& reference) {
  const std::vector<Real> got = numbers<T>(w);
  Real most = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    most = std::max(most, std::abs(got[i] - reference.w[i]));
  return static_cast<double>(most);
}

// Two parameters, the second of which has a gradient in two of three steps only. The numbers of
// elements leave rests of every vector width.
template <class T>
void check_steps(nn::Adam& adam, Tensor& a, Tensor& b, nn::AdamOptions options, bool decoupled,
                 double tolerance) {
  Generator generator(4);
  Reference of_a(numbers<T>(a), 0.05L, options, decoupled);
  Reference of_b(numbers<T>(b), 0.05L, options, decoupled);
  for (int step = 0; step < 40; ++step) {
    if (step == 20) {
      adam.set_learning_rate(0.02);
      of_a.rate = of_b.rate = 0.02L;
    }
    adam.zero_grad();
    // Of falling size, so that the largest v is not the last.
    const Tensor g = randn(a.shape(), generator, a.dtype()) * std::pow(0.9, step);
    const std::vector<T> before = g.to_vector<T>();
    const auto version = a.version();
    a.set_grad(g);
    of_a.step(numbers<T>(g));
    if (step % 3 != 1) {
      const Tensor h = randn(b.shape(), generator, b.dtype()) * 100.0;
      b.set_grad(h);
      of_b.step(numbers<T>(h));
    }
    adam.step();
    CHECK(a.version() == version + 1);
    CHECK(g.to_vector<T>() == before);
    CHECK(distance<T>(a, of_a) <= tolerance);
    CHECK(distance<T>(b, of_b) <= tolerance);
  }
  CHECK(adam.step_count() == 40);
}

template <class T>
void check_all(nn::AdamOptions options, double tolerance) {
  options.allow_missing = true;
  Generator generator(1);
  for (const std::int64_t n : {1, 7, 64, 133}) {
    CAPTURE(n);
    const DType dtype = dtype_of<T>;
    Tensor a = randn({n}, generator, dtype).requires_grad_();
    Tensor b = randn({3, 5}, generator, dtype).requires_grad_();
    nn::Adam adam({a, b}, 0.05, options);
    check_steps<T>(adam, a, b, options, false, tolerance);
    nn::AdamW adamw({a, b}, 0.05,
                    {options.betas, options.eps, options.weight_decay, options.amsgrad, true});
    check_steps<T>(adamw, a, b, options, true, tolerance);
  }
}

}  // namespace

TEST_CASE("adam: the rules, against a loop in long double") {
  const std::vector<nn::AdamOptions> cases = {{},
                                              {.weight_decay = 0.1},
                                              {.betas = {0.5, 0.9}, .eps = 1e-3},
                                              {.betas = {0, 0.9}},
                                              {.amsgrad = true},
                                              {.weight_decay = 0.3, .amsgrad = true}};
  for (const nn::AdamOptions& options : cases) {
    CAPTURE(options.betas.second);
    CAPTURE(options.weight_decay);
    CAPTURE(options.amsgrad);
    // Numbers of the size of 4 at most; 40 steps of size 0.05, each good to some roundings.
    check_all<double>(options, 1e-14);
    check_all<float>(options, 6e-6);
  }
}

TEST_CASE("adam: defaults are PyTorch's") {
  const Tensor w = ones({2}).requires_grad_();
  const nn::Adam adam({w});
  CHECK(adam.learning_rate() == 1e-3);
  CHECK(adam.options().betas == std::pair(0.9, 0.999));
  CHECK(adam.options().eps == 1e-8);
  CHECK(adam.options().weight_decay == 0);
  CHECK_FALSE(adam.options().amsgrad);
  CHECK(nn::AdamW({w}).options().weight_decay == 0.01);
}

TEST_CASE("adam: thousands of steps in f32") {
  // With a constant gradient m̂ ⊘ √v̂ is 1, and each step has the size of the rate.
  Tensor w = zeros({3}).requires_grad_();
  w.set_grad(tensor({0.7, 3e-5, -20.0}));
  nn::Adam adam({w}, 0x1p-10);
  for (int i = 0; i < 4096; ++i) adam.step();
  // v stops to grow where (1 − β₂)(g² − v) is less than half an ulp: up to 6e-5 v before g², which
  // is 3e-5 of a step. The sums of 4096 steps are good to 4e-5.
  CHECK(std::abs(w.at({0}) + 4) <= 2e-4);
  CHECK(std::abs(w.at({1}) + 4 / (1 + 1e-8 / 3e-5)) <= 2e-4);
  CHECK(std::abs(w.at({2}) - 4) <= 2e-4);
}

TEST_CASE("adam: an infinite weight without decay is not made NaN by it; gradients of NaN are") {
  Tensor w = tensor({infinity, 1.0, 1.0}, f64).requires_grad_();
  for (const bool amsgrad : {false, true}) {
    nn::Adam adam({w}, 0.5, {.amsgrad = amsgrad});
    w.set_grad(tensor({1.0, 0.0, not_a_number}, f64));
    adam.step();
    CHECK(w.at({0}) == infinity);
    CHECK(w.at({1}) == 1);
    CHECK(std::isnan(w.at({2})));
  }
}

TEST_CASE("adam: gradients that are not row-major, and parameters without elements") {
  Tensor w = zeros({2, 2}, f64).requires_grad_(), none = zeros({0, 3}, f64).requires_grad_();
  nn::Adam adam({w, none}, 0.5);
  w.set_grad(tensor({{1.0, -2.0}, {3.0, -4.0}}, f64).T());
  none.set_grad(zeros({0, 3}, f64));
  adam.step();  // in the first step m̂ ⊘ √v̂ is the sign of the gradient
  const std::vector<double> signs = {-0.5, -0.5, 0.5, 0.5};
  for (std::size_t i = 0; i < 4; ++i)
    CHECK(std::abs(w.to_vector<double>()[i] - signs[i]) <= 1e-8);  // of the size of eps
}

TEST_CASE("adam: a missing gradient is reported, and nothing changes") {
  Tensor a = ones({2}).requires_grad_(), b = ones({3}).requires_grad_().named("b");
  nn::AdamW adam({a, b}, 0.1);
  a.set_grad(ones({2}));
  CHECK(error_of<GradError>([&] {
          adam.step();
        }).starts_with("AdamW: parameter 1, b (3,), has no gradient\n  at HERE\n  hint: "));
  CHECK(a.to_vector<float>() == std::vector<float>{1, 1});
  CHECK(adam.step_count() == 0);
  CHECK(error_of<GradError>([&] {
          nn::Adam({ones({2}).requires_grad_()}).step();
        }).starts_with("Adam: no parameter has a gradient"));
}

TEST_CASE("adam: options out of their range") {
  const Tensor w = ones({2}).requires_grad_();
  CHECK(error_of<ValueError>([&] { nn::Adam({w}, -1); }) ==
        "Adam: the learning rate -1 is not positive and finite\n  at HERE\n  hint: usual are 0.1 … "
        "1e-4; set_learning_rate(0) stands still");
  CHECK(error_of<ValueError>([&] { nn::Adam({w}, 0.1, {.betas = {0.9, 1}}); }) ==
        "Adam: the second beta 1 is not from 0 to below 1\n  at HERE\n  hint: 0.999 is usual");
  CHECK(error_of<ValueError>([&] { nn::AdamW({w}, 0.1, {.betas = {-0.5, 0.9}}); }) ==
        "AdamW: the first beta -0.5 is not from 0 to below 1\n  at HERE\n  hint: 0.9 is usual");
  CHECK(error_of<ValueError>([&] { nn::Adam({w}, 0.1, {.eps = -1}); }) ==
        "Adam: the eps -1 is negative or not finite\n  at HERE\n  hint: 1e-8 is usual");
  CHECK(error_of<ValueError>([&] { nn::AdamW({w}, 0.1, {.weight_decay = infinity}); }) ==
        "AdamW: the weight decay inf is negative or not finite\n  at HERE\n  hint: 0.01 is usual, "
        "0 is none");
  for (const double bad : {-0.1, not_a_number, infinity}) {
    CHECK_THROWS_AS(nn::Adam({w}, bad), ValueError);
    CHECK_THROWS_AS(nn::Adam({w}, 0.1, {.betas = {bad, 0.9}}), ValueError);
    CHECK_THROWS_AS(nn::Adam({w}, 0.1, {.betas = {0.9, bad}}), ValueError);
    CHECK_THROWS_AS(nn::Adam({w}, 0.1, {.eps = bad}), ValueError);
    CHECK_THROWS_AS(nn::Adam({w}, 0.1, {.weight_decay = bad}), ValueError);
  }
  CHECK_THROWS_AS(nn::Adam({}), ValueError);
}

TEST_CASE("adam: memory for its state is asked for once, and given back with it") {
  Tensor w = ones({50, 40}).requires_grad_();
  w.set_grad(ones({50, 40}));
  const std::int64_t before = memory_stats().live_bytes;
  {
    nn::Adam adam({w}, 0.1, {.amsgrad = true});
    CHECK(memory_stats().live_bytes - before < 2000);
    adam.step();
    const std::int64_t live = memory_stats().live_bytes;
    CHECK(live - before >= 3 * 2000 * 4);
    CountMalloc count;
    for (int i = 0; i < 3; ++i) adam.step();
    const std::int64_t calls = count.calls();
    CHECK(calls == 0);
    CHECK(memory_stats().live_bytes == live);
  }
  CHECK(memory_stats().live_bytes == before);
}

TEST_CASE("adam: a square that overflowed stays infinite, and stops its weight") {
  Tensor w = tensor({1.0F, 1.0F}).requires_grad_();
  nn::Adam adam({w}, 0.1);
  for (const float g : {1e20F, 1.0F, 1.0F}) {
    w.set_grad(tensor({g, 1.0F}));
    adam.step();
    CHECK(w.at({0}) == 1.0);
  }
  CHECK(w.at({1}) == doctest::Approx(0.7).epsilon(1e-5));  // three steps of the rate
}

TEST_SUITE_END();
