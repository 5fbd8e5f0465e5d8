#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/gather.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

/// A perceptron with named tensors as textbooks write it: samples in columns, sigmoid, softmax, and
/// the loss −yᵀ log p or its mean over a batch. Layers count from 1.
struct TextbookNetwork {
  using Tensor = chainrule::Tensor;
  std::vector<Tensor> W{{}}, b{{}}, z{{}}, h;
  Tensor x, y, p, loss;

  TextbookNetwork(const std::vector<std::int64_t>& units, std::int64_t samples,
                  std::uint64_t seed = 1) {
    using namespace chainrule;
    Generator generator(seed);
    const auto name = [](char letter, std::size_t layer) {
      return fmt::format("{}{}", letter, layer);
    };
    const std::size_t layers = units.size() - 1;
    x = randn({units[0], samples}, generator, f64).named("x");
    y = one_hot(randint(0, units.back(), {samples}, generator), units.back(), f64).T().named("y");
    h.push_back(x);
    for (std::size_t l = 1; l <= layers; ++l) {
      W.push_back(
          randn({units[l], units[l - 1]}, generator, f64).named(name('W', l)).requires_grad_());
      b.push_back(randn({units[l], 1}, generator, f64).named(name('b', l)).requires_grad_());
      z.push_back((matmul(W[l], h[l - 1]) + b[l]).named(name('z', l)));
      if (l < layers) h.push_back(sigmoid(z[l]).named(name('h', l)));
    }
    p = softmax(z[layers], 0).named("p");
    loss = samples == 1 ? -sum(y * log(p)) : mean(-sum(y * log(p), 0));
  }
};
