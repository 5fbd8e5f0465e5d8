#pragma once

#include <cstdint>
#include <vector>

#include <chainrule/core/random.hpp>
#include <chainrule/core/tensor.hpp>

namespace examples {

/// Goes through numbered samples in batches, each epoch in another order:
///
///     for (const Tensor& batch : batches.next_epoch()) … take(images, batch) …
///
/// The orders follow from the seed alone.
class Batches {
 public:
  Batches(std::int64_t samples, std::int64_t batch_size, std::uint64_t seed)
      : samples_(samples), batch_size_(batch_size), generator_(seed, stream) {}

  /// Every sample once: the numbers of those in each batch, i64 (batch size). The last batch has
  /// what remains.
  std::vector<chainrule::Tensor> next_epoch();

 private:
  static constexpr std::uint64_t stream = 1;  // stream 0 of the seed is for the weights

  std::int64_t samples_, batch_size_;
  chainrule::Generator generator_;
};

}  // namespace examples
