#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/optim/sgd.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("nn");

namespace {

// PyTorch's rule, one number at a time.
class Reference {
 public:
  Reference(std::vector<long double> w, long double rate, nn::SGDOptions options)
      : w(std::move(w)), rate(rate), options_(options), v_(this->w.size()) {}

  void step(const std::vector<long double>& gradient) {
    for (std::size_t i = 0; i < w.size(); ++i) {
      long double g = gradient[i] + options_.weight_decay * w[i];
      if (options_.momentum != 0) {
        v_[i] = first_ ? g : options_.momentum * v_[i] + (1 - options_.dampening) * g;
        g = options_.nesterov ? g + options_.momentum * v_[i] : v_[i];
      }
      w[i] -= rate * g;
    }
    first_ = false;
  }

  std::vector<long double> w;
  long double rate;

 private:
  nn::SGDOptions options_;
  std::vector<long double> v_;
  bool first_ = true;
};

// Steps with random gradients; the numbers of elements leave rests of every vector width.
template <class T>
void check_steps(nn::SGDOptions options, double tolerance) {
  Generator generator(1);
  for (const std::int64_t n : {1, 7, 64, 133}) {
    Tensor w = randn({n}, generator, dtype_of<T>).requires_grad_();
    const std::vector<T> initial = w.to_vector<T>();
    Reference reference({initial.begin(), initial.end()}, 0.05L, options);
    nn::SGD sgd({w}, 0.05, options);
    for (int step = 0; step < 12; ++step) {
      if (step == 6) {
        sgd.set_learning_rate(0.02);
        reference.rate = 0.02L;
      }
      const Tensor gradient = randn({n}, generator, dtype_of<T>);
      const std::vector<T> g = gradient.to_vector<T>();
      const auto version = w.version();
      w.set_grad(gradient);
      sgd.step();
      reference.step({g.begin(), g.end()});
      CHECK(w.version() == version + 1);
      CHECK(gradient.to_vector<T>() == g);
      const std::vector<T> got = w.to_vector<T>();
      for (std::size_t i = 0; i < got.size(); ++i)
        CHECK(std::abs(static_cast<double>(got[i] - reference.w[i])) <= tolerance);
    }
    CHECK(sgd.step_count() == 12);
  }
}

}  // namespace

TEST_CASE("sgd: the rule, against a loop in long double") {
  const std::vector<nn::SGDOptions> cases = {
      {},
      {.momentum = 0.9},
      {.weight_decay = 0.1},
      {.momentum = 0.9, .weight_decay = 0.1},
      {.momentum = 0.8, .dampening = 0.3},
      {.momentum = 0.8, .dampening = -0.5, .weight_decay = 0.02},
      {.momentum = 0.9, .nesterov = true},
      {.momentum = 0.9, .weight_decay = 0.1, .nesterov = true}};
  for (const nn::SGDOptions& options : cases) {
    CAPTURE(options.momentum);
    CAPTURE(options.weight_decay);
    // Numbers of the size of 4 at most, and a dozen roundings on them and on the sums.
    check_steps<double>(options, 2e-14);
    check_steps<float>(options, 1e-5);
  }
}

TEST_CASE("sgd: gradients of a backward, several parameters and dtypes") {
  Tensor a = tensor({{1.0, 2.0}, {3.0, 4.0}}, f64).requires_grad_();
  Tensor b = tensor({0.5, -0.5}).requires_grad_();
  nn::SGD sgd({a, b}, 0.25);
  CHECK(sgd.parameters().size() == 2);
  CHECK(sgd.learning_rate() == 0.25);
  sum(a.T() * a.T()).backward();
  sum(b * 3.0).backward();
  sgd.step();
  CHECK(a.to_vector<double>() == std::vector<double>{0.5, 1, 1.5, 2});
  CHECK(b.to_vector<float>() == std::vector<float>{-0.25F, -1.25F});
  sgd.zero_grad();
  CHECK_FALSE(a.grad().defined());
  CHECK_FALSE(b.grad().defined());
  // Gradients of other strides, as a program may set them, and recorded ones.
  a.set_grad(tensor({{1.0, 2.0}, {3.0, 4.0}}, f64).T());
  b.set_grad(expand(ones({1}), {2}));
  sgd.step();
  CHECK(a.to_vector<double>() == std::vector<double>{0.25, 0.25, 1, 1});
  CHECK(b.to_vector<float>() == std::vector<float>{-0.5F, -1.5F});
  sgd.zero_grad();
  sum(a * a * a).backward({.create_graph = true});
  b.set_grad(zeros({2}));
  sgd.step();  // 3a²
  CHECK(a.at({0, 0}) == 0.25 - 0.25 * 3 * 0.0625);
  sgd.zero_grad();
}

TEST_CASE("sgd: an infinite weight without decay is not made NaN by it") {
  const double infinity = std::numeric_limits<double>::infinity();
  Tensor w = tensor({infinity, 1.0}, f64).requires_grad_();
  nn::SGD sgd({w}, 0.5);
  w.set_grad(ones({2}, f64));
  sgd.step();
  CHECK(w.at({0}) == infinity);
  CHECK(w.at({1}) == 0.5);
}

TEST_CASE("sgd: a missing gradient is reported, and nothing changes") {
  nn::Linear layer(2, 1);
  Tensor unused = ones({3}).requires_grad_().named("unused"), other = ones({}).requires_grad_();
  std::vector<Tensor> parameters = layer.parameters();
  parameters.push_back(unused);
  nn::SGD sgd(parameters, 0.1);
  const std::vector<float> before = layer.weight.to_vector<float>();
  CHECK(error_of<GradError>([&] { sgd.step(); }) ==
        "SGD: no parameter has a gradient, the first is weight (1, 2)\n"
        "  at HERE\n"
        "  hint: call backward() on the loss after zero_grad() and before step(); are these the "
        "parameters that the loss was computed from?");
  sum(layer(ones({1, 2}))).backward();
  CHECK(error_of<GradError>([&] { sgd.step(); }) ==
        "SGD: parameter 2, unused (3,), has no gradient\n"
        "  at HERE\n"
        "  hint: the loss does not depend on it: is it used in forward, not detached there, nor "
        "replaced through a Tensor&? {.allow_missing = true} leaves such parameters as they are");
  parameters.push_back(other);
  nn::SGD more(parameters, 0.1, {.momentum = 0.9});
  CHECK(error_of<GradError>([&] {
          more.step();
        }).starts_with("SGD: parameter 2, unused (3,), has no gradient, nor has 1 other\n"));
  CHECK(layer.weight.to_vector<float>() == before);
  CHECK(sgd.step_count() == 0);

  nn::SGD lenient(parameters, 0.1, {.momentum = 0.9, .allow_missing = true});
  lenient.step();
  CHECK(layer.weight.to_vector<float>() != before);
  CHECK(unused.to_vector<float>() == std::vector<float>{1, 1, 1});
  // Its momentum begins when its gradient does.
  unused.set_grad(ones({3}));
  lenient.step();
  CHECK(unused.at({0}) == doctest::Approx(0.9));
  lenient.zero_grad();
  CHECK(error_of<GradError>([&] { lenient.step(); }).starts_with("SGD: no parameter has"));
}

TEST_CASE("sgd: a gradient that is missing in some steps, the first among them") {
  for (const bool nesterov : {false, true}) {
    const nn::SGDOptions options{.momentum = 0.9, .weight_decay = 0.1, .nesterov = nesterov};
    Tensor a = tensor({1.0, -2.0}, f64).requires_grad_(), b = tensor({3.0}, f64).requires_grad_();
    Reference of_a({1, -2}, 0.05L, options), of_b({3}, 0.05L, options);
    nn::SGDOptions allowing = options;
    allowing.allow_missing = true;
    nn::SGD sgd({a, b}, 0.05, allowing);
    for (int step = 0; step < 10; ++step) {
      sgd.zero_grad();
      a.set_grad(tensor({0.3 * step, 1.0 - step}, f64));
      of_a.step({0.3L * step, 1.0L - step});
      if (step % 3 == 1) {
        b.set_grad(tensor({2.0 - step}, f64));
        of_b.step({2.0L - step});
      }
      const auto version = b.version();
      sgd.step();
      CHECK(b.version() == version + (step % 3 == 1 ? 1 : 0));
      // Ten steps of numbers of the size of 10.
      for (const int i : {0, 1})
        CHECK(std::abs(a.at({i}) - static_cast<double>(of_a.w[static_cast<std::size_t>(i)])) <=
              1e-13);
      CHECK(std::abs(b.at({0}) - static_cast<double>(of_b.w[0])) <= 1e-13);
    }
  }
}

TEST_CASE("sgd: a parameter that is its own gradient") {
  // As after backward() of ½|w|² with a rule that hands on what it saved.
  Tensor w = tensor({1.0, -2.0, 4.0}, f64).requires_grad_();
  w.set_grad(w.detach());
  nn::SGD({w}, 0.25).step();
  CHECK(w.to_vector<double>() == std::vector<double>{0.75, -1.5, 3});
}

TEST_CASE("optimizer: what fails for one parameter leaves all of them as they were") {
  // SGD with a rate of 1 whose state cannot be made for the second parameter.
  class Failing : public nn::Optimizer {
   public:
    explicit Failing(std::vector<Tensor> parameters)
        : Optimizer("Failing", std::move(parameters), 1, false, Where::current()) {}
    bool fail = true;
    std::vector<std::int64_t> counts() const { return {update_count(0), update_count(1)}; }

   private:
    void prepare(std::size_t i, const Value&) override {
      if (fail && i == 1) throw MemoryError("no memory", Where::current());
    }
    void update(std::size_t, Value& parameter, const Value& gradient) override {
      *parameter.data<float>() -= *gradient.data<float>();
    }
  };
  Tensor a = ones({}).requires_grad_(), b = ones({}).requires_grad_();
  Failing optimizer({a, b});
  a.set_grad(ones({}));
  b.set_grad(ones({}));
  const auto version = a.version();
  CHECK_THROWS_AS(optimizer.step(), MemoryError);
  CHECK(a.item() == 1);
  CHECK(a.version() == version);
  CHECK(optimizer.step_count() == 0);
  CHECK(optimizer.counts() == std::vector<std::int64_t>{0, 0});
  optimizer.fail = false;
  optimizer.step();
  CHECK(a.item() == 0);
  CHECK(b.item() == 0);
  CHECK(optimizer.counts() == std::vector<std::int64_t>{1, 1});
}

TEST_CASE("sgd: what cannot be trained") {
  const Tensor w = ones({2, 2}).requires_grad_().named("w");
  CHECK(error_of<ValueError>([] { nn::SGD({}, 0.1); }) ==
        "SGD: there are no parameters to train\n"
        "  at HERE\n"
        "  hint: give model.parameters(); a module's members are registered by child() and "
        "parameter()");
  CHECK(error_of<GradError>([&] { nn::SGD({w, ones({2})}, 0.1); }) ==
        "SGD: parameter 1, (2,), does not require gradients\n"
        "  at HERE\n"
        "  hint: call requires_grad_() on it first");
  CHECK(error_of<GradError>([&] { nn::SGD({w * 2.0}, 0.1); }) ==
        "SGD: parameter 0, (2, 2), is the result of a recorded operation\n"
        "  at HERE\n"
        "  hint: give the tensor that it was computed from");
  CHECK(error_of<ValueError>([&] { nn::SGD({w, Tensor()}, 0.1); }) ==
        "SGD: parameter 1 is undefined\n"
        "  at HERE\n"
        "  hint: a layer without a bias has an undefined one; model.parameters() leaves it out");
  CHECK(error_of<ValueError>([&] { nn::SGD({w, w}, 0.1); }) ==
        "SGD: parameter 1, w (2, 2), is given twice\n  at HERE\n  hint: parameters() of a "
        "module that holds both lists what they share once");
  const Tensor view = ones({2, 3}).T().requires_grad_();
  CHECK(error_of<ValueError>([&] {
          nn::SGD({view}, 0.1);
        }).starts_with("SGD: parameter 0, (3, 2), is a view that is not row-major"));
  static const float constant[2] = {1, 2};
  const Tensor read_only = borrow(std::span(constant), {2}).requires_grad_();
  CHECK(error_of<ValueError>([&] { nn::SGD({read_only}, 0.1); }) ==
        "SGD: parameter 0, (2,), is borrowed memory that is const\n  at HERE\n  hint: borrow a "
        "span of non-const elements, or copy them with from_span");
}

TEST_CASE("sgd: options out of their range") {
  const Tensor w = ones({2}).requires_grad_();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(error_of<ValueError>([&] { nn::SGD({w}, 0); }) ==
        "SGD: the learning rate 0 is not positive and finite\n  at HERE\n  hint: usual are 0.1 … "
        "1e-4; set_learning_rate(0) stands still");
  for (const double bad : {-0.1, nan, infinity}) {
    CHECK_THROWS_AS(nn::SGD({w}, bad), ValueError);
    CHECK_THROWS_AS(nn::SGD({w}, 0.1, {.momentum = bad}), ValueError);
    CHECK_THROWS_AS(nn::SGD({w}, 0.1, {.weight_decay = bad}), ValueError);
  }
  CHECK(
      error_of<ValueError>([&] { nn::SGD({w}, 0.1, {.momentum = -1}); }) ==
      "SGD: the momentum -1 is negative or not finite\n  at HERE\n  hint: 0.9 is usual, 0 is none");
  CHECK(error_of<ValueError>([&] { nn::SGD({w}, 0.1, {.momentum = 0.5, .dampening = nan}); }) ==
        "SGD: the dampening nan is not finite\n  at HERE\n  hint: 0 is usual");
  CHECK(error_of<ValueError>([&] { nn::SGD({w}, 0.1, {.nesterov = true}); }) ==
        "SGD: nesterov needs a momentum, and no dampening\n  at HERE\n  hint: give {.momentum = "
        "0.9, .nesterov = true}");
  nn::SGD sgd({w}, 0.1);
  sgd.set_learning_rate(0);  // as the end of a schedule
  CHECK(sgd.learning_rate() == 0);
  CHECK(error_of<ValueError>([&] { sgd.set_learning_rate(-1); }) ==
        "SGD: the learning rate -1 is negative or not finite\n  at HERE\n  hint: 0 stands still");
  CHECK_THROWS_AS(sgd.set_learning_rate(nan), ValueError);
}

TEST_CASE("sgd: a graph that saved a parameter sees that it was trained") {
  Tensor w = ones({2}).requires_grad_();
  nn::SGD sgd({w}, 0.1);
  const Tensor loss = sum(w * w);
  loss.backward({.retain_graph = true});
  sgd.step();
  CHECK(error_of<GradError>([&] { loss.backward(); }).find("saved at version") !=
        std::string::npos);
}

TEST_CASE("optimizer: one that was moved from says so") {
  const Tensor w = ones({2}).requires_grad_();
  nn::SGD first({w}, 0.5);
  nn::SGD second = std::move(first);
  sum(w).backward();
  CHECK(error_of<ValueError>([&] { first.zero_grad(); }) ==
        "SGD: this optimizer was moved from\n  at HERE\n  hint: use the one that it was moved to");
  CHECK(error_of<ValueError>([&] { first.step(); }) ==
        "SGD: this optimizer was moved from\n  at HERE\n  hint: use the one that it was moved to");
  CHECK(error_of<ValueError>([&] { first.set_learning_rate(0.1); }) ==
        "SGD: this optimizer was moved from\n  at HERE\n  hint: use the one that it was moved to");
  second.step();
  CHECK(w.to_vector<float>() == std::vector<float>{0.5F, 0.5F});
}

TEST_SUITE_END();
