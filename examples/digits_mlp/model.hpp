#pragma once

#include <cstdint>
#include <vector>

#include <chainrule/core/random.hpp>
#include <chainrule/examples/common/batches.hpp>
#include <chainrule/examples/common/digits.hpp>
#include <chainrule/examples/common/progress.hpp>
#include <chainrule/nn/layers/sequential.hpp>
#include <chainrule/nn/optim/sgd.hpp>

/// The network of backprop_by_hand from ready-made layers. Here samples are rows, as everywhere in
/// nn: x is (N, 64), and a layer computes x·Wᵀ + b.
namespace digits_mlp {

/// Linear layers between `units`, from the pixels to the classes, with a sigmoid after each but the
/// last one. The initial weights are those of backprop_by_hand for the same generator, but for
/// rounding.
chainrule::nn::Sequential make_model(const std::vector<std::int64_t>& units, chainrule::DType dtype,
                                     chainrule::Generator& generator);

/// One update of the model's parameters by a batch. Returns the loss before it.
double step(chainrule::nn::Sequential& model, chainrule::nn::SGD& sgd,
            const examples::Digits& batch);

/// The mean loss and the accuracy on images.
examples::Score score(chainrule::nn::Sequential& model, const examples::Digits& digits);

/// Trains with one step for each batch. Throws chainrule::ValueError when a loss is not finite.
void train(chainrule::nn::Sequential& model, chainrule::nn::SGD& sgd, const examples::Split& digits,
           examples::Batches& batches, std::int64_t epochs, examples::Progress& progress);

}  // namespace digits_mlp
