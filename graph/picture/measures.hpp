#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::picture {

/// What a picture says of a tensor's elements.
struct Statistics {
  double least = 0, most = 0, norm = 0;
  bool finite = true;
};

/// The values and gradients of a recorded graph, by its nodes.
struct Measures {
  explicit Measures(const derivation::Trace& trace);

  /// Blue where a gradient is much smaller than the median of all, red where it is much larger.
  std::string colour_of(double norm) const;

  std::vector<Statistics> values, gradients;
  double median = 0;  ///< of the norms of the gradients
  /// The first value that is not finite, in the order of the program, and the first gradient, in
  /// that of the backward sweep; Traversal::none when all are.
  std::uint32_t first_bad_value = Traversal::none, first_bad_gradient = Traversal::none;
};

}  // namespace chainrule::picture
