#include <chainrule/examples/common/batches.hpp>

#include <chainrule/chainrule.hpp>

namespace examples {

std::vector<cr::Tensor> Batches::next_epoch() {
  const cr::Tensor order = cr::permutation(samples_, generator_);
  std::vector<cr::Tensor> batches;
  for (std::int64_t i = 0; i < samples_; i += batch_size_)
    batches.push_back(order[cr::slice(i, i + batch_size_)]);
  return batches;
}

}  // namespace examples
