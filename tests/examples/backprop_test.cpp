// The derivation by hand: its formulas as text, their agreement with autograd and differences, and
// that wrong formulas are found.

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/chainrule.hpp>
#include <chainrule/examples/backprop_by_hand/check.hpp>
#include <chainrule/examples/backprop_by_hand/derivation.hpp>
#include <chainrule/examples/backprop_by_hand/differences.hpp>
#include <chainrule/examples/backprop_by_hand/network.hpp>
#include <chainrule/tests/core/error_of.hpp>

namespace {

using by_hand::HandFormula;
using by_hand::Kind;
using by_hand::Network;
using by_hand::Samples;
using by_hand::Terms;
using cr::Tensor;

struct Setting {
  Network network;
  Tensor x, y;
};

// A network of these widths with biases that are not 0, and N samples.
Setting setting(const std::vector<std::int64_t>& units, std::int64_t N, cr::DType dtype = cr::f64) {
  cr::Generator generator(5);
  Network network = by_hand::random_network(units, cr::f64, generator);
  std::vector<Tensor> values = network.parameters();
  for (std::size_t i = 1; i < values.size(); i += 2)
    values[i] = cr::uniform(-1, 1, values[i].shape(), generator, cr::f64);
  network.set_parameters(values);
  const Tensor x = cr::rand({units.front(), N}, generator, cr::f64);
  const Tensor y =
      cr::one_hot(cr::randint(0, units.back(), {N}, generator), units.back(), cr::f64).T();
  return {network.converted(dtype), cr::to(x, dtype), cr::to(y, dtype)};
}

std::vector<std::string> written(const std::vector<HandFormula>& chain) {
  std::vector<std::string> lines;
  for (const HandFormula& formula : chain)
    lines.push_back(fmt::format("{} = {}", formula.gradient, formula.text));
  return lines;
}

// The loss in long double, by plain loops.
long double plain_loss(const Setting& s) {
  const Network& network = s.network;
  const std::int64_t N = s.x.size(1);
  long double total = 0;
  for (std::int64_t n = 0; n < N; ++n) {
    std::vector<long double> h;
    for (std::int64_t i = 0; i < s.x.size(0); ++i) h.push_back(s.x.at({i, n}));
    for (int l = 1; l <= network.layers(); ++l) {
      std::vector<long double> z;
      for (std::int64_t i = 0; i < network.W[l].size(0); ++i) {
        z.push_back(network.b[l].at({i, 0}));
        for (std::size_t j = 0; j < h.size(); ++j)
          z.back() += network.W[l].at({i, static_cast<std::int64_t>(j)}) * h[j];
      }
      if (l < network.layers())
        for (long double& value : z) value = 1 / (1 + std::exp(-value));
      h = z;
    }
    long double sum = 0;
    for (const long double z : h) sum += std::exp(z);
    for (std::size_t i = 0; i < h.size(); ++i)
      total -= s.y.at({static_cast<std::int64_t>(i), n}) * std::log(std::exp(h[i]) / sum);
  }
  return total / N;
}

}  // namespace

TEST_SUITE_BEGIN("examples");

TEST_CASE("by hand: the formulas as they are written") {
  CHECK(written(by_hand::backward_chain(3, Samples::one)) ==
        std::vector<std::string>{"dz3 = p − y", "dW3 = dz3·(h2)ᵀ", "db3 = dz3", "dh2 = (W3)ᵀ·dz3",
                                 "dz2 = dh2 ⊗ σ'(z2)", "dW2 = dz2·(h1)ᵀ", "db2 = dz2",
                                 "dh1 = (W2)ᵀ·dz2", "dz1 = dh1 ⊗ σ'(z1)", "dW1 = dz1·xᵀ",
                                 "db1 = dz1"});
  CHECK(written(by_hand::backward_chain(2, Samples::batch)) ==
        std::vector<std::string>{"dZ2 = (P − Y)/N", "dW2 = dZ2·(H1)ᵀ", "db2 = row sums of dZ2",
                                 "dH1 = (W2)ᵀ·dZ2", "dZ1 = dH1 ⊗ σ'(Z1)", "dW1 = dZ1·Xᵀ",
                                 "db1 = row sums of dZ1"});
  CHECK(written(by_hand::backward_chain(1, Samples::one)) ==
        std::vector<std::string>{"dz1 = p − y", "dW1 = dz1·xᵀ", "db1 = dz1"});
  const auto deep = written(by_hand::backward_chain(12, Samples::one));
  CHECK(deep.size() == 47);
  CHECK(deep[4] == "dz11 = dh11 ⊗ σ'(z11)");
}

TEST_CASE("by hand: the loss") {
  for (const std::int64_t N : {1, 4}) {
    const Setting s = setting({6, 5, 4, 3}, N);
    const by_hand::Pass pass = by_hand::forward(s.network, s.x);
    const double loss = by_hand::loss(pass.p, s.y).item();
    // Some ten sums and functions, each rounded once.
    CHECK(std::fabs(loss - static_cast<double>(plain_loss(s))) < 1e-14);
    // The same from anywhere on.
    for (int l = 1; l <= 3; ++l) {
      CHECK(by_hand::loss(by_hand::from_z(s.network, l, pass.z[l]), s.y).item() ==
            doctest::Approx(loss).epsilon(1e-14));
      CHECK(by_hand::loss(by_hand::from_h(s.network, l - 1, pass.h[l - 1]), s.y).item() ==
            doctest::Approx(loss).epsilon(1e-14));
    }
    CHECK(pass.z[2].name() == "z2");
    CHECK(pass.h[0].name() == "x");
    CHECK(pass.p.name() == "p");
    CHECK_FALSE(by_hand::predict(s.network, s.x).requires_grad());
  }
}

TEST_CASE("by hand: initial weights") {
  cr::Generator generator(3), again(3);
  const Network network = by_hand::random_network({64, 32, 10}, cr::f32, generator);
  CHECK(network.layers() == 2);
  CHECK(network.dtype() == cr::f32);
  CHECK(network.W[1].shape() == cr::Shape{32, 64});
  CHECK(network.b[2].shape() == cr::Shape{10, 1});
  CHECK(network.W[2].name() == "W2");
  CHECK(network.b[1].name() == "b1");
  CHECK(network.W[1].requires_grad());
  CHECK(network.W[1].is_leaf());
  CHECK(max(abs(network.b[1])).item() == 0);
  // 2048 and 320 uniform numbers come close to their bounds.
  const double a1 = 4 * std::sqrt(6.0 / 96), a2 = std::sqrt(6.0 / 42);
  CHECK(max(abs(network.W[1])).item() <= a1);
  CHECK(max(abs(network.W[1])).item() > 0.99 * a1);
  CHECK(max(abs(network.W[2])).item() <= a2);
  CHECK(max(abs(network.W[2])).item() > 0.97 * a2);
  // f32 is f64 rounded.
  const Network wide = by_hand::random_network({64, 32, 10}, cr::f64, again);
  CHECK(cr::to(wide.W[1], cr::f32).to_vector<float>() == network.W[1].to_vector<float>());
}

TEST_CASE("by hand: the formulas agree with autograd and differences") {
  const std::vector<std::vector<std::int64_t>> networks = {
      {64, 10}, {64, 1, 10}, {64, 9, 8, 10}, {5, 7, 6, 5, 4, 3}};
  for (const auto& units : networks)
    for (const std::int64_t N : {1, 5})
      for (const cr::DType dtype : {cr::f64, cr::f32}) {
        CAPTURE(fmt::format("{} layers, N = {}, {}", units.size() - 1, N, name_of(dtype)));
        const auto [network, x, y] = setting(units, N, dtype);
        const auto chain =
            by_hand::backward_chain(network.layers(), N == 1 ? Samples::one : Samples::batch);
        const by_hand::Report report = by_hand::check(network, x, y, chain);
        CHECK(report.ok());
        CHECK(report.rows.size() == chain.size());
        for (const by_hand::Row& row : report.rows) {
          CAPTURE(row.gradient);
          CHECK_FALSE(row.sampled);
          CHECK_FALSE(row.too_small);
          // Much closer than it must be: a few roundings.
          CHECK(row.formula.relative <= (dtype == cr::f64 ? 1e-14 : 1e-5));
          CHECK(row.differences.relative < 1e-8);
          CHECK(row.formula.scale > 0);
        }
        // A batch of one is a sample.
        if (N == 1)
          CHECK(by_hand::check(network, x, y,
                               by_hand::backward_chain(network.layers(), Samples::batch))
                    .ok());
      }
}

TEST_CASE("by hand: large networks are compared at some of their elements") {
  const auto [network, x, y] = setting({64, 300, 200, 10}, 64);
  const by_hand::Report report =
      by_hand::check(network, x, y, by_hand::backward_chain(3, Samples::batch));
  CHECK(report.ok());
  int sampled = 0;
  for (const by_hand::Row& row : report.rows) {
    sampled += row.sampled;
    CHECK(row.differences.scale > 0);
  }
  CHECK(sampled > 3);
  CHECK(report.to_string().find("* compared at some") != std::string::npos);
}

TEST_CASE("by hand: gradients that vanish are said to be too small for differences") {
  // Twenty layers of one unit: each takes a factor of some 1/4 · W away.
  Setting s = setting(std::vector<std::int64_t>(21, 1), 1);
  std::vector<Tensor> values = s.network.parameters();
  for (Tensor& value : values) value = cr::full(value.shape(), 0.5, cr::f64);
  values.back() = cr::zeros({2, 1}, cr::f64);
  values[values.size() - 2] = cr::tensor({{0.3}, {-0.2}}, cr::f64);
  s.network.set_parameters(values);
  const by_hand::Report report = by_hand::check(s.network, s.x, cr::tensor({{1.0}, {0.0}}, cr::f64),
                                                by_hand::backward_chain(20, Samples::one));
  CHECK(report.ok());
  CHECK_FALSE(report.rows.front().too_small);
  CHECK(report.rows.back().too_small);
  CHECK(report.rows.back().formula.relative < 1e-12);
  CHECK(report.to_string().find("so small that the differences are rounding errors") !=
        std::string::npos);
}

TEST_CASE("by hand: the wrong answers that people give are found") {
  // Eight layers of equal width, so that wrong layers have the right shapes.
  const auto [network, x, y] = setting(std::vector<std::int64_t>(9, 10), 1);
  const auto chain = by_hand::backward_chain(8, Samples::one);
  const auto slope = [](const Tensor& z) { return sigmoid(z) * (1 - sigmoid(z)); };
  struct Wrong {
    by_hand::Symbol of;
    const char* text;
    std::function<Tensor(const Terms&)> compute;
  };
  const std::vector<Wrong> wrong = {
      {{Kind::W, 5}, "dz5·(h5)ᵀ", [](const Terms& t) { return matmul(t.dz[5], t.h[5].T()); }},
      {{Kind::W, 5}, "dz6·(h4)ᵀ", [](const Terms& t) { return matmul(t.dz[6], t.h[4].T()); }},
      {{Kind::W, 5}, "h4·(dz5)ᵀ", [](const Terms& t) { return matmul(t.h[4], t.dz[5].T()); }},
      {{Kind::h, 7}, "(W7)ᵀ·dz8", [](const Terms& t) { return matmul(t.W[7].T(), t.dz[8]); }},
      {{Kind::h, 6}, "(W6)ᵀ·dz7", [](const Terms& t) { return matmul(t.W[6].T(), t.dz[7]); }},
      {{Kind::h, 6}, "(W7)ᵀ·dz8", [](const Terms& t) { return matmul(t.W[7].T(), t.dz[8]); }},
      {{Kind::h, 6}, "W7·dz7", [](const Terms& t) { return matmul(t.W[7], t.dz[7]); }},
      {{Kind::z, 4}, "dh4 ⊗ σ'(z5)", [=](const Terms& t) { return t.dh[4] * slope(t.z[5]); }},
      {{Kind::z, 4}, "dh5 ⊗ σ'(z4)", [=](const Terms& t) { return t.dh[5] * slope(t.z[4]); }},
      {{Kind::z, 4}, "dh4 ⊗ σ'(h4)", [=](const Terms& t) { return t.dh[4] * slope(t.h[4]); }},
      {{Kind::z, 4}, "dh4", [](const Terms& t) { return t.dh[4]; }},
      {{Kind::z, 8}, "y − p", [](const Terms& t) { return t.y - t.p; }},
      {{Kind::z, 8}, "p", [](const Terms& t) { return t.p; }},
      {{Kind::b, 3}, "dh3", [](const Terms& t) { return t.dh[3]; }},
      // Right but for the twelfth digit.
      {{Kind::b, 3}, "dz3 (1 + 2e-12)", [](const Terms& t) { return t.dz[3] * (1 + 2e-12); }},
  };
  for (const Wrong& w : wrong) {
    CAPTURE(w.text);
    auto changed = chain;
    std::size_t at = 0;
    while (changed[at].of.kind != w.of.kind || changed[at].of.layer != w.of.layer) ++at;
    changed[at].text = w.text;
    changed[at].compute = w.compute;
    const by_hand::Report report = by_hand::check(network, x, y, changed);
    CHECK_FALSE(report.ok());
    for (std::size_t i = 0; i < at; ++i) CHECK(report.rows[i].formula_ok);
    CHECK_FALSE(report.rows[at].formula_ok);
    CHECK_FALSE(report.rows[at].inherited);
    CHECK(report.rows[at].differences_ok);
    // What comes later is wrong at most because it builds on this one.
    for (std::size_t i = at + 1; i < chain.size(); ++i)
      CHECK((report.rows[i].formula_ok || report.rows[i].inherited));
    CHECK(report.to_string().find(fmt::format("  ✗ {} = {}: wrong: autograd and differences agree",
                                              changed[at].gradient, w.text)) != std::string::npos);
  }
}

TEST_CASE("by hand: wrong formulas for a batch are found") {
  const auto [network, x, y] = setting({6, 5, 4}, 7);
  const auto check_with = [&, &network = network, &x = x, &y = y](std::size_t at, auto compute) {
    auto chain = by_hand::backward_chain(2, Samples::batch);
    chain[at].compute = compute;
    return by_hand::check(network, x, y, chain);
  };
  // The mean is forgotten: all that follows is wrong, too.
  const by_hand::Report no_mean = check_with(0, [](const Terms& t) { return t.p - t.y; });
  for (const by_hand::Row& row : no_mean.rows) {
    CHECK_FALSE(row.formula_ok);
    CHECK(row.inherited == (row.gradient != "dZ2"));
    CHECK(row.formula.relative == doctest::Approx(1 - 1 / 7.0));
  }
  // The batch is averaged where it should be summed.
  const by_hand::Report mean =
      check_with(2, [](const Terms& t) { return cr::mean(t.dz[2], 1, true); });
  CHECK(no_mean.to_string().find("  ✗ dW1 = dZ1·Xᵀ: right in itself, but it builds on") !=
        std::string::npos);
  CHECK_FALSE(mean.ok());
  CHECK_FALSE(mean.rows[2].formula_ok);
  CHECK(mean.rows[3].formula_ok);
  // It is not summed at all.
  CHECK(error_of<cr::ShapeError>([&] { check_with(2, [](const Terms& t) { return t.dz[2]; }); }) ==
        "db2 = row sums of dZ2: has shape (4, 7), but its gradient has (4, 1)");
  // NaN agrees with nothing.
  CHECK_FALSE(
      check_with(2, [](const Terms& t) { return sum(t.dz[2], 1, true) * std::nan(""); }).ok());
}

TEST_CASE("by hand: how far two gradients are apart") {
  const by_hand::Distance d = by_hand::distance({1, -4, 0.5}, {1, -5, 0.25});
  CHECK(d.absolute == 1);
  CHECK(d.relative == 0.2);
  CHECK(d.scale == 5);
  CHECK(by_hand::distance({0, 0}, {0, 0}).relative == 0);
  CHECK(by_hand::distance({}, {}).absolute == 0);
  CHECK(by_hand::distance({1, 0}, {0, 0}).relative == std::numeric_limits<double>::infinity());
  CHECK(std::isnan(by_hand::distance({std::nan(""), 0}, {0, 1}).absolute));
  CHECK(std::isnan(by_hand::distance({0, 1}, {0, std::nan("")}).relative));
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(std::isnan(by_hand::distance({infinity, 1}, {infinity, 1}).relative));
  CHECK(by_hand::limits(cr::f64).formula == 1e-12);
  CHECK(by_hand::limits(cr::f32).formula == 1e-4);
  CHECK(by_hand::limits(cr::f32).differences == 1e-6);
}

TEST_CASE("by hand: the table") {
  by_hand::Report report{cr::f64, {}};
  report.rows.push_back({.gradient = "dz2",
                         .text = "p − y",
                         .shape = {10, 1},
                         .formula = {0, 0, 1},
                         .differences = {2.5e-13, 5e-13, 0.5}});
  report.rows.push_back({.gradient = "dW2",
                         .text = "dz2·(h2)ᵀ",
                         .shape = {10, 32},
                         .formula = {0.25, 0.5, 0.5},
                         .differences = {1e-14, 2e-14, 0.5},
                         .formula_ok = false,
                         .sampled = true});
  report.rows.push_back({.gradient = "db2",
                         .text = "dz2",
                         .shape = {10, 1},
                         .formula = {1e-16, 2e-16, 0.5},
                         .differences = {1e-3, 2e-3, 0.5},
                         .differences_ok = false});
  CHECK(report.to_string() ==
        "                            from the formula    from differences\n"
        "formula          shape     absolute  relative  absolute  relative\n"
        "────────────────────────────────────────────────────────────────────\n"
        "dz2 = p − y      (10, 1)          0         0   2.5e-13  5.0e-13   ✓\n"
        "dW2 = dz2·(h2)ᵀ  (10, 32)   2.5e-01   5.0e-01   1.0e-14  2.0e-14*  ✗\n"
        "db2 = dz2        (10, 1)    1.0e-16   2.0e-16   1.0e-03  2.0e-03   ✗\n"
        "These do not agree:\n"
        "  ✗ dW2 = dz2·(h2)ᵀ: wrong: autograd and differences agree with each other\n"
        "  ✗ db2 = dz2: autograd and formula agree, but not with differences\n"
        "* compared at some of the elements, spread evenly\n");
}

TEST_SUITE_END();
