#pragma once

#include <chainrule/examples/backprop_by_hand/network.hpp>
#include <chainrule/examples/common/batches.hpp>
#include <chainrule/examples/common/digits.hpp>
#include <chainrule/examples/common/progress.hpp>

namespace by_hand {

/// The samples of a batch as columns: x (64, N), and labels y (10, N) that are 1 for the right
/// class and else 0.
struct Columns {
  chainrule::Tensor x, y;
};
Columns columns(const examples::Digits& digits);

/// One step of gradient descent on a batch: W ← W − η dW, b ← b − η db. Returns the loss before it.
double step(Network& network, const Columns& batch, double rate);

/// The mean loss and the accuracy on images.
examples::Score score(const Network& network, const examples::Digits& digits);

/// Trains with one step for each batch. Throws chainrule::ValueError when a loss is not finite.
void train(Network& network, const examples::Split& digits, examples::Batches& batches,
           std::int64_t epochs, double rate, examples::Progress& progress);

}  // namespace by_hand
