#pragma once

#include <cstdint>
#include <vector>

#include <chainrule/core/tensor.hpp>
#include <chainrule/examples/backprop_by_hand/derivation.hpp>

namespace by_hand {

/// A gradient by central differences of the loss. To see how it changes with an element of z2, say,
/// the forward pass starts anew from a changed z2, as if z2 were given.
struct Differences {
  std::vector<std::int64_t> elements;  ///< which ones, in row-major order
  std::vector<double> slopes;          ///< d loss / d element for each of them
};

/// For a network, samples and labels of f64. The slope is that of the fourth-order formula
///
///     f'(a) = (f(a − 2h) − 8 f(a − h) + 8 f(a + h) − f(a + 2h)) / 12h + O(h⁴)
///
/// (M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions", eq. 25.3.6) with h = 1/256. Of
/// a tensor with more than `most_elements`, that many are taken, spread evenly and at random.
Differences central_differences(const Network& network, const Pass& pass,
                                const chainrule::Tensor& y, Symbol of, std::int64_t most_elements);

}  // namespace by_hand
