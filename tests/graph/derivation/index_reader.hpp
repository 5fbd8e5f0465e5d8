#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

/// Reads formulas for one element as derive() prints them in Unicode, and computes what they say,
/// in plain loops over the letters. Knows nothing of expressions, ops and tensors of the library.
namespace index_reader {

/// Elements in row-major order; axes of extent 1 are left out, as in the formulas.
struct Array {
  std::vector<std::int64_t> shape;
  std::vector<double> elements;
};
using Arrays = std::map<std::string, Array>;

/// All elements of "dWᵢⱼ" for "Σₙ dzᵢₙ xⱼₙ". The extent of a letter is that of the shortest axis
/// on which it stands alone, of `right` or of `left` where that is among the arrays. Throws
/// std::runtime_error for what it cannot read: an unknown name, or a letter without an extent.
Array computed(const std::string& left, const std::string& right, const Arrays& arrays);

/// The name of the symbol that a left side has: "dW" of "dWᵢⱼ".
std::string name_in(const std::string& left);

}  // namespace index_reader
