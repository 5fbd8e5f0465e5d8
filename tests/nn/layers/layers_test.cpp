#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/node.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/gradcheck.hpp>
#include <chainrule/nn/layers/activations.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/layers/sequential.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("nn");

namespace {

// y = x Wᵀ + b by plain loops over row-major numbers, x (batch, in).
std::vector<double> affine(const std::vector<double>& x, const std::vector<double>& w,
                           const std::vector<double>& b, std::size_t in, std::size_t out) {
  std::vector<double> y;
  for (std::size_t row = 0; row < x.size() / in; ++row)
    for (std::size_t j = 0; j < out; ++j) {
      long double sum = b.empty() ? 0 : b[j];
      for (std::size_t k = 0; k < in; ++k)
        sum += static_cast<long double>(x[row * in + k]) * w[j * in + k];
      y.push_back(static_cast<double>(sum));
    }
  return y;
}

// Within the rounding of a few products and sums of numbers of the size of 1.
void check_close(const Tensor& got, const std::vector<double>& expected, double tolerance = 1e-14) {
  const std::vector<double> values = got.to_vector<double>();
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    CHECK(std::abs(values[i] - expected[i]) <= tolerance);
}

}  // namespace

TEST_CASE("linear: values and gradients against loops") {
  Generator generator(3);
  nn::Linear layer(4, 3, {.dtype = f64, .generator = &generator});
  CHECK(layer.weight.shape() == Shape{3, 4});
  CHECK(layer.bias.shape() == Shape{3});
  const std::vector<double> w = layer.weight.to_vector<double>(),
                            b = layer.bias.to_vector<double>();
  const Tensor x = randn({5, 4}, generator, f64);
  const Tensor y = layer(x);
  CHECK(y.shape() == Shape{5, 3});
  check_close(y, affine(x.to_vector<double>(), w, b, 4, 3));

  // dW = gᵀ·x, db = Σ g over the samples, dx = g·W.
  const Tensor input = x.detach().requires_grad_();
  const Tensor g = randn({5, 3}, generator, f64);
  backward(layer(input), g);
  std::vector<double> dw(12), db(3), dx(20);
  for (std::size_t s = 0; s < 5; ++s)
    for (std::size_t j = 0; j < 3; ++j) {
      const double gsj = g.to_vector<double>()[s * 3 + j];
      db[j] += gsj;
      for (std::size_t k = 0; k < 4; ++k) {
        dw[j * 4 + k] += gsj * x.to_vector<double>()[s * 4 + k];
        dx[s * 4 + k] += gsj * w[j * 4 + k];
      }
    }
  check_close(layer.weight.grad(), dw);
  check_close(layer.bias.grad(), db);
  check_close(input.grad(), dx);
}

TEST_CASE("linear: one sample, none, and several axes in front") {
  Generator generator(4);
  nn::Linear layer(3, 2, {.dtype = f64, .generator = &generator});
  const std::vector<double> w = layer.weight.to_vector<double>(),
                            b = layer.bias.to_vector<double>();
  const Tensor one = randn({3}, generator, f64);
  CHECK(layer(one).shape() == Shape{2});
  check_close(layer(one), affine(one.to_vector<double>(), w, b, 3, 2));
  CHECK(layer(zeros({0, 3}, f64)).shape() == Shape{0, 2});
  const Tensor many = randn({2, 4, 3}, generator, f64);
  CHECK(layer(many).shape() == Shape{2, 4, 2});
  check_close(layer(many), affine(many.to_vector<double>(), w, b, 3, 2));
  const Tensor columns = randn({3, 4}, generator, f64);
  check_close(layer(columns.T()), affine(contiguous(columns.T()).to_vector<double>(), w, b, 3, 2));
  backward(layer(zeros({0, 3}, f64)), zeros({0, 2}, f64));
  CHECK(layer.weight.grad().to_vector<double>() == std::vector<double>(6, 0.0));
}

TEST_CASE("linear: derivatives of both orders") {
  Generator generator(5);
  nn::Linear layer(3, 2, {.dtype = f64, .generator = &generator});
  for (const Shape& shape : {Shape{4, 3}, Shape{3}, Shape{2, 2, 3}})
    for (const bool bias : {true, false}) {
      nn::Linear with(3, 2, {.bias = bias, .dtype = f64, .generator = &generator});
      const GradcheckReport report =
          gradcheck([&](std::span<const Tensor> in) { return with(in[0]); },
                    {randn(shape, generator, f64)}, {.order = 2});
      CHECK_MESSAGE(report.ok(), report.to_string());
    }
}

TEST_CASE("linear: without a bias") {
  Generator generator(6);
  nn::Linear layer(3, 2, {.bias = false, .dtype = f64, .generator = &generator});
  CHECK_FALSE(layer.bias.defined());
  CHECK(layer.parameters().size() == 1);
  const Tensor x = randn({2, 3}, generator, f64);
  check_close(layer(x), affine(x.to_vector<double>(), layer.weight.to_vector<double>(), {}, 3, 2));
  CHECK(layer.to_string() == "Linear(3, 2, no bias)  6 parameters");
}

TEST_CASE("linear: begins uniform between ±1/√in, by the generator given") {
  Generator a(7), b(7);
  const nn::Linear first(100, 50, {.generator = &a}), second(100, 50, {.generator = &b});
  CHECK(first.weight.to_vector<float>() == second.weight.to_vector<float>());
  CHECK(first.bias.to_vector<float>() == second.bias.to_vector<float>());
  CHECK(first.weight.dtype() == f32);
  double sum = 0, squares = 0, largest = 0;
  for (const float w : first.weight.to_vector<float>()) {
    sum += w;
    squares += static_cast<double>(w) * w;
    largest = std::max(largest, std::abs(static_cast<double>(w)));
  }
  CHECK(largest <= 0.1);
  CHECK(largest > 0.099);
  // The mean of 5000 numbers of deviation 0.1/√3 is off by less than four of its deviations, the
  // mean square 0.01/3 by less than a twentieth.
  CHECK(std::abs(sum / 5000) < 4 * 0.1 / std::sqrt(3.0 * 5000));
  CHECK(squares / 5000 == doctest::Approx(0.01 / 3).epsilon(0.05));
  seed(11);
  const nn::Linear third(3, 3);
  seed(11);
  const nn::Linear fourth(3, 3);
  CHECK(third.weight.to_vector<float>() == fourth.weight.to_vector<float>());
}

TEST_CASE("linear: what does not fit") {
  nn::Linear layer(64, 32);
  // The message without the first line, which is linear()'s.
  const auto below = [](const std::string& text) {
    CHECK(text.starts_with("linear: "));
    return text.substr(text.find('\n'));
  };
  const std::string rows =
      "\n  in Linear(64, 32)\n  at HERE\n  hint: samples stand in rows: (batch, 64)";
  CHECK(below(error_of<ShapeError>([&] { layer(zeros({5, 63})); })) == rows);
  CHECK(below(error_of<ShapeError>([&] { layer(zeros({})); })) == rows);
  // As many as the layer gives: it is not for the weights to be transposed.
  CHECK(below(error_of<ShapeError>([&] { layer(zeros({5, 32})); })) == rows);
  CHECK(below(error_of<ShapeError>([&] { layer(zeros({64, 5})); })) ==
        "\n  in Linear(64, 32)\n  at HERE\n"
        "  hint: samples stand in rows, (batch, features): pass x.T()");
  CHECK(below(error_of<ShapeError>([&] { layer(zeros({5, 8, 8})); })) ==
        "\n  in Linear(64, 32)\n  at HERE\n"
        "  hint: flatten(x, 1) makes rows of what each sample consists of");
  CHECK(below(error_of<ShapeError>([&] { layer(zeros({5, 8, 9})); })) == rows);
  CHECK(below(error_of<ShapeError>([&] { layer(zeros({0, 3, 3})); })) == rows);
  CHECK(error_of<DTypeError>([&] {
          layer(zeros({5, 64}, f64));
        }).starts_with("linear: dtypes differ: input (5, 64) is f64, weight (32, 64) is f32\n"));
  CHECK(below(error_of<DTypeError>([&] { layer(zeros({5, 64}, f64)); })) ==
        "\n  in Linear(64, 32)\n  at HERE\n"
        "  hint: convert it: to(x, f32), or make the layer with {.dtype = f64}");
  CHECK(below(error_of<DTypeError>([&] { layer(zeros({5, 64}, i64)); })) ==
        "\n  in Linear(64, 32)\n  at HERE\n  hint: convert it: to(x, f32)");
  nn::Linear wide(64, 32, {.dtype = f64});
  CHECK(below(error_of<DTypeError>([&] { wide(zeros({5, 64})); })) ==
        "\n  in Linear(64, 32)\n  at HERE\n  hint: convert it: to(x, f64)");
  CHECK(below(error_of<ValueError>([&] {
          layer(Tensor());
        })).starts_with("\n  in Linear(64, 32)\n  at HERE\n  hint: it was default-constructed"));
  CHECK(error_of<ShapeError>([&] { layer(zeros({5, 63}).named("x")); }).find(" x (5, 63) ") !=
        std::string::npos);

  CHECK(error_of<ValueError>([&] { nn::Linear(0, 3); }) ==
        "Linear: 0 features in and 3 out\n  at HERE\n  hint: both must be positive");
  CHECK(error_of<ValueError>([&] { nn::Linear(3, -1); }).starts_with("Linear: 3 features in"));
  constexpr std::int64_t large = std::int64_t{1} << 40;
  CHECK(
      error_of<ValueError>([&] { nn::Linear(large, large); }) ==
      "Linear: 1099511627776 features in and 1099511627776 out have more weights than can be "
      "counted\n  at HERE\n  hint: a tensor has at most 2^59 elements: is one of them a product?");
  CHECK(error_of<DTypeError>([&] { nn::Linear(3, 3, {.dtype = i64}); }) ==
        "Linear: it cannot compute in i64\n  at HERE\n  hint: give it .dtype = f32 or f64");
}

TEST_CASE("sequential: calls its modules in order") {
  Generator generator(8);
  nn::Sequential model(nn::Linear(3, 4, {.dtype = f64, .generator = &generator}), nn::Identity(),
                       nn::Linear(4, 2, {.dtype = f64, .generator = &generator}));
  CHECK(model.size() == 3);
  CHECK(model.named_parameters()[2].name == "2.weight");
  CHECK(model.named_parameters()[2].tensor.name() == "2.weight");
  const Tensor x = randn({5, 3}, generator, f64);
  auto& first = model.get<nn::Linear>(0);
  auto& last = model.get<nn::Linear>(-1);
  const std::vector<double> hidden = affine(x.to_vector<double>(), first.weight.to_vector<double>(),
                                            first.bias.to_vector<double>(), 3, 4);
  check_close(model(x),
              affine(hidden, last.weight.to_vector<double>(), last.bias.to_vector<double>(), 4, 2));
  CHECK(&model[-1] == &last);
  CHECK(nn::Sequential()(x).value_ref() == x.value_ref());

  nn::Sequential outer(std::move(model));  // moved, not wrapped
  CHECK(outer.size() == 3);
  nn::Sequential nested(nn::Sequential(nn::Linear(2, 2)), nn::Identity());
  nested.append(nn::Linear(2, 3)).append(std::make_unique<nn::Identity>());
  CHECK(nested.size() == 4);
  CHECK(nested.named_parameters()[0].name == "0.0.weight");
  CHECK(nested(ones({1, 2})).shape() == Shape{1, 3});
}

TEST_CASE("sequential: moved, and appended to, after a forward") {
  Generator generator(13);
  const nn::LinearOptions options{.dtype = f64, .generator = &generator};
  const Tensor x = randn({5, 3}, generator, f64);
  nn::Sequential model(nn::Linear(3, 4, options), nn::Sigmoid());
  const std::vector<double> first = model(x).to_vector<double>();
  auto& layer = model.get<nn::Linear>(0);
  CHECK(first == sigmoid(layer(x)).to_vector<double>());

  nn::Sequential moved(std::move(model));
  CHECK(moved(x).to_vector<double>() == first);
  CHECK(&moved.get<nn::Linear>(0) == &layer);
  // What was moved from is empty, computes nothing, and can be filled again.
  CHECK(model.size() == 0);
  CHECK_THROWS_AS(model(x), ValueError);
  model.append(nn::Tanh());
  CHECK(model(x).to_vector<double>() == tanh(x).to_vector<double>());

  // The sigmoid is not the last any more, and joins the layer before it.
  moved.append(nn::Linear(4, 2, options)).append(nn::ReLU());
  const std::int64_t before = live_nodes();
  const Tensor y = moved(x);
  CHECK(live_nodes() - before == 2);
  auto& last = moved.get<nn::Linear>(2);
  CHECK(y.to_vector<double>() ==
        relu(last(sigmoid(moved.get<nn::Linear>(0)(x)))).to_vector<double>());
  sum(y).backward();
  const auto want =
      grad(sum(relu(last(sigmoid(layer(x))))), {layer.weight, layer.bias, last.weight, last.bias});
  const std::vector<Tensor> parameters = moved.parameters();
  REQUIRE(parameters.size() == 4);
  for (std::size_t i = 0; i < 4; ++i)
    check_close(parameters[i].grad(), want[i].to_vector<double>());

  // One that is part of another one is moved with it.
  std::vector<nn::Sequential> held;
  held.emplace_back(nn::Sequential(std::move(moved), nn::Tanh()));
  held.emplace_back(nn::Sequential(nn::Linear(2, 2, options)));  // moves the first
  CHECK(held[0](x).to_vector<double>() == tanh(y).to_vector<double>());
}

TEST_CASE("sequential: errors") {
  nn::Sequential model(nn::Linear(2, 2), nn::Identity());
  CHECK(error_of<IndexError>([&] { model.get<nn::Linear>(2); }) ==
        "Sequential: module 2 of 2\n  at HERE\n  hint: modules go from -2 to 1");
  CHECK(error_of<IndexError>([&] { model[-3]; }) ==
        "Sequential: module -3 of 2\n  at HERE\n  hint: modules go from -2 to 1");
  CHECK(error_of<ValueError>([&] { model.get<nn::Linear>(1); }) ==
        "Sequential: module 1 is Identity, not Linear\n  at HERE\n  hint: get<>() names the class "
        "of the module at this place");
  CHECK(error_of<ValueError>([&] { model.append(std::unique_ptr<nn::Module>()); }) ==
        "Sequential: there is no module to append\n  at HERE\n  hint: the pointer is null: was it "
        "moved from?");
}
static_assert(!std::is_constructible_v<nn::Sequential, nn::Linear&>);  // only by std::move

TEST_CASE("activations: the functions of the same name") {
  const std::vector<double> values = {-2.5, -0.3, 0.0, 0.7, 1.9, 3.1};
  const Tensor x = from_vector(values, {2, 3});
  const auto each = [&](auto f) {
    std::vector<double> all;
    for (const double v : values)
      all.push_back(static_cast<double>(f(static_cast<long double>(v))));
    return all;
  };
  check_close(nn::Sigmoid()(x), each([](long double v) { return 1 / (1 + std::exp(-v)); }));
  check_close(nn::Tanh()(x), each([](long double v) { return std::tanh(v); }));
  check_close(nn::ReLU()(x), each([](long double v) { return v > 0 ? v : 0; }));
  check_close(nn::Softplus()(x), each([](long double v) { return std::log1p(std::exp(v)); }));
  check_close(nn::Identity()(x), values);

  const auto softmax = [&](bool logarithm, bool columns) {
    std::vector<double> all(6);
    for (std::size_t i = 0; i < 2; ++i)
      for (std::size_t j = 0; j < 3; ++j) {
        long double sum = 0;
        for (std::size_t k = 0; k < (columns ? 2 : 3); ++k)
          sum +=
              std::exp(static_cast<long double>(columns ? values[k * 3 + j] : values[i * 3 + k]));
        const long double p = std::exp(static_cast<long double>(values[i * 3 + j])) / sum;
        all[i * 3 + j] = static_cast<double>(logarithm ? std::log(p) : p);
      }
    return all;
  };
  check_close(nn::Softmax()(x), softmax(false, false));
  check_close(nn::Softmax(0)(x), softmax(false, true));
  check_close(nn::LogSoftmax()(x), softmax(true, false));
  check_close(nn::LogSoftmax(0)(x), softmax(true, true));

  CHECK(nn::Flatten()(zeros({2, 3, 4})).shape() == Shape{2, 12});
  CHECK(nn::Flatten(0, 1)(zeros({2, 3, 4})).shape() == Shape{6, 4});
  nn::Sequential model(nn::Flatten(), nn::Linear(6, 2), nn::Sigmoid(), nn::Softmax(0));
  CHECK(model(zeros({4, 2, 3})).shape() == Shape{4, 2});
  CHECK(model.to_string() ==
        "Sequential           14 parameters\n"
        "  0: Flatten(1, -1)\n"
        "  1: Linear(6, 2)    14\n"
        "  2: Sigmoid\n"
        "  3: Softmax(0)");
}

TEST_CASE("sequential: a layer and its activation are one operation, with the same result") {
  Generator generator(12);
  const nn::LinearOptions options{.dtype = f64, .generator = &generator};
  nn::Sequential model(nn::Linear(3, 4, options), nn::Sigmoid(), nn::Linear(4, 5, options),
                       nn::Tanh(), nn::Linear(5, 4, options), nn::ReLU(), nn::Linear(4, 2, options),
                       nn::Sigmoid());
  const Tensor x = randn({6, 3}, generator, f64);
  const std::int64_t before = live_nodes();
  const Tensor y = model(x);
  CHECK(live_nodes() - before == 5);  // four layers, and the sigmoid at the end
  Tensor want = x;
  for (int i = 0; i < 8; ++i) want = model[i](want);
  CHECK(y.to_vector<double>() == want.to_vector<double>());
  // The sigmoid at the end is by itself, so that its logarithm is stable where it is 0 or 1.
  model.get<nn::Linear>(6).bias.set(tensor({-2000.0, 2000.0}, f64));
  const Tensor logarithm = log(model(x));
  CHECK(max(logarithm(all, 0)).item() < -1900);
  // What is derived from a layer keeps its own forward().
  class Negative : public nn::Linear {
   public:
    using nn::Linear::Linear;
    Tensor forward(const Tensor& in) override { return -nn::Linear::forward(in); }
  };
  nn::Sequential derived(Negative(2, 2, options), nn::ReLU());
  const Tensor z = randn({3, 2}, generator, f64);
  CHECK(derived(z).to_vector<double>() == relu(derived[0](z)).to_vector<double>());
}

TEST_SUITE_END();
