#pragma once

#include <optional>
#include <string>

#include <chainrule/graph/checking/candidate.hpp>

namespace chainrule::derivation {

/// A vector that is broadcast along one axis of a matrix, and should be along the other.
struct WrongAxis {
  Expr right;         ///< the vector along the other axis
  std::string words;  ///< "broadcast along the wrong axis: v stands along axis 0, …"
};
/// Of an expression that may be such a vector.
std::optional<WrongAxis> along_other_axis(const Comparison& comparison, const Text& text,
                                          const Expr& e);

}  // namespace chainrule::derivation
