#include <chainrule/examples/find_the_mistake/mistakes.hpp>

#include <fmt/format.h>

#include <chainrule/chainrule.hpp>

namespace mistakes {

using cr::Tensor;

namespace {

// A network of `layers` layers of equal width, where every tensor fits in the place of another.
Perceptron equal_layers(int layers, std::int64_t samples, std::uint64_t seed,
                        Ending ending = Ending::softmax, Hidden hidden = Hidden::sigmoid) {
  return Perceptron(std::vector<std::int64_t>(static_cast<std::size_t>(layers) + 1, 4), samples,
                    seed, ending, hidden);
}

// The chain of a network with another value for one formula; what follows goes on from there.
using Wrong = std::function<Tensor(const Tensor& right, const Perceptron::Gradients& so_far)>;
Derived with(const Perceptron& net, const std::string& formula, const Wrong& wrong) {
  return {
      fmt::format("perceptron, {} layers", net.layers()), net.loss,
      net.chain([&](const std::string& name, Tensor right, const Perceptron::Gradients& so_far) {
        return name == formula ? wrong(right, so_far) : right;
      })};
}

Tensor slope(const Tensor& z) { return cr::sigmoid(z) * (1 - cr::sigmoid(z)); }

}  // namespace

std::vector<Planted> planted_mistakes() {
  std::vector<Planted> all;
  std::uint64_t seed = 100;
  // Plants `wrong` in a network that make(seed) gives.
  const auto plant = [&](std::string what, std::string formula, std::string expected, auto make,
                         auto wrong) {
    const Perceptron net = make(seed++);
    Derived derivation = with(net, formula, [&](const Tensor& right, const auto& so_far) {
      return wrong(net, right, so_far);
    });
    all.push_back(
        {std::move(what), std::move(formula), std::move(expected), std::move(derivation)});
  };
  const auto equal = [](int layers, std::int64_t samples) {
    return [=](std::uint64_t s) { return equal_layers(layers, samples, s); };
  };
  const auto sized = [](std::vector<std::int64_t> units, std::int64_t samples,
                        Ending ending = Ending::softmax, Hidden hidden = Hidden::sigmoid) {
    return [=](std::uint64_t s) { return Perceptron(units, samples, s, ending, hidden); };
  };
  using Net = const Perceptron&;
  using Old = const Tensor&;
  using Before = const Perceptron::Gradients&;

  // At the output.
  plant("y − p for p − y", "dz2", "the difference is the wrong way round: this is y − p",
        sized({4, 3, 2}, 1), [](Net net, Old, Before) { return net.y - net.p; });
  plant("the one-hot label is missing", "dz3", "the subtrahend is missing: this is p",
        sized({4, 3, 3, 2}, 1), [](Net net, Old, Before) { return net.p; });
  plant("the batch's 1/N is missing", "dz2", "a factor that is a number is missing: this is p − y",
        sized({4, 3, 2}, 6), [](Net net, Old, Before) { return net.p - net.y; });
  plant("the 2 of a square that the loss halves", "dz1", "too large by a factor of 2",
        sized({4, 3}, 5, Ending::squared), [](Net, Old right, Before) { return right * 2.0; });

  // Tensors of the wrong layer.
  plant("dz5·(h5)ᵀ for dW5", "dW5", "of the wrong layer or step: this is dz5·(h5)ᵀ", equal(6, 1),
        [](Net net, Old, Before d) { return matmul(d.at("dz5"), net.h[5].T()); });
  plant("dz5·(h5)ᵀ for dW5, in a batch", "dW5", "of the wrong layer or step: this is dz5·(h5)ᵀ",
        equal(6, 3), [](Net net, Old, Before d) { return matmul(d.at("dz5"), net.h[5].T()); });
  plant("dz6·(h4)ᵀ for dW5", "dW5", "of the wrong layer or step: this is dz6·(h4)ᵀ", equal(6, 1),
        [](Net net, Old, Before d) { return matmul(d.at("dz6"), net.h[4].T()); });
  plant("dz6·(h5)ᵀ for dW5", "dW5", "of the wrong layers or steps: this is dz6·(h5)ᵀ", equal(6, 1),
        [](Net net, Old, Before d) { return matmul(d.at("dz6"), net.h[5].T()); });
  plant("(W3)ᵀ·dz4 for dh3", "dh3", "of the wrong layer or step: this is (W3)ᵀ·dz4", equal(5, 1),
        [](Net net, Old, Before d) { return matmul(net.W[3].T(), d.at("dz4")); });
  plant("(W4)ᵀ·dz5 for dh3", "dh3", "of the wrong layer or step: this is (W4)ᵀ·dz5", equal(5, 2),
        [](Net net, Old, Before d) { return matmul(net.W[4].T(), d.at("dz5")); });
  plant("(W3)ᵀ·dz5 for dh3", "dh3", "of the wrong layers or steps: this is (W3)ᵀ·dz5", equal(5, 1),
        [](Net net, Old, Before d) { return matmul(net.W[3].T(), d.at("dz5")); });
  plant("dh5 ⊗ σ'(z5) for dz4", "dz4", "of the wrong layers or steps: this is dh5 ⊗ σ'(z5)",
        equal(6, 1), [](Net net, Old, Before d) { return d.at("dh5") * slope(net.z[5]); });

  // σ'.
  plant("σ' is missing", "dz2", "σ' is missing: this is dh2", sized({5, 4, 3, 2}, 1),
        [](Net, Old, Before d) { return d.at("dh2"); });
  plant("σ' at h", "dz2", "σ' is taken at another tensor: this is dh2 ⊗ σ'(h2)",
        sized({5, 4, 3, 2}, 4),
        [](Net net, Old, Before d) { return d.at("dh2") * slope(net.h[2]); });
  plant("σ' of another layer", "dz4", "σ' is taken at another tensor: this is dh4 ⊗ σ'(z5)",
        equal(6, 1), [](Net net, Old, Before d) { return d.at("dh4") * slope(net.z[5]); });
  plant("tanh' at h", "dz1", "tanh' is taken at another tensor: this is dh1 ⊗ tanh'(h1)",
        sized({4, 3, 2}, 1, Ending::softmax, Hidden::tanh),
        [](Net net, Old, Before d) { return d.at("dh1") * net.slope(net.h[1]); });
  plant("a slope of 0.1 where relu has none", "dz1", "wrong only where the gradient is 0",
        sized({6, 8, 2}, 3, Ending::softmax, Hidden::relu),
        [](Net net, Old, Before d) { return d.at("dh1") * (net.slope(net.z[1]) * 0.9 + 0.1); });

  // Products of matrices.
  plant("W is not transposed", "dh2", "a transpose is missing: this is W3·dz3", equal(3, 2),
        [](Net net, Old, Before d) { return matmul(net.W[3], d.at("dz3")); });
  plant("the outer product is the wrong way round", "dW2",
        "transposed: this is the transpose of dz2·(h1)ᵀ", sized({5, 4, 3}, 1),
        [](Net net, Old, Before d) { return matmul(net.h[1], d.at("dz2").T()); });
  plant("an elementwise product for a matrix product", "dh1",
        "an elementwise product in the place of a matrix product: this is W2 ⊗ dz2", equal(2, 4),
        [](Net net, Old, Before d) { return net.W[2] * d.at("dz2"); });

  // Signs, factors and sums.
  plant("a minus too much", "dW1", "the sign is wrong: this is −(dz1·xᵀ)", sized({4, 2}, 1),
        [](Net, Old right, Before) { return -right; });
  plant("the sum over the batch is missing", "db2", "the sum is missing: this is dz2",
        sized({5, 4, 3}, 6), [](Net, Old, Before d) { return d.at("dz2"); });
  plant("a mean over the batch for the sum", "db1",
        "too small by a factor of 7, which is the extent of axis 1 of", sized({5, 4, 3}, 7),
        [](Net, Old right, Before) { return right / 7.0; });
  plant("a constant factor", "dW3", "too small by a factor of 10/7", sized({5, 4, 4, 3}, 2),
        [](Net, Old right, Before) { return right * 0.7; });
  plant("a gradient accumulated twice", "dW2", "accumulated twice", sized({5, 4, 3}, 3),
        [](Net net, Old, Before) {
          net.loss.backward({.retain_graph = true});
          net.loss.backward({.retain_graph = true});
          return net.W[2].grad();
        });
  return all;
}

}  // namespace mistakes
