#pragma once

#include <cstdint>
#include <string>

#include <chainrule/core/tensor.hpp>

namespace examples {

/// Images of handwritten digits with their labels.
struct Digits {
  static constexpr std::int64_t pixel_count = 64;  ///< 8×8
  static constexpr std::int64_t classes = 10;

  chainrule::Tensor pixels;  ///< (images, 64), f32 or f64, from 0 (paper) to 1 (ink)
  chainrule::Tensor labels;  ///< (images), i64, from 0 to 9

  std::int64_t size() const { return labels.size(0); }
  /// The images with these numbers, i64 (n).
  Digits pick(const chainrule::Tensor& which) const;
};

/// Reads a file of digits, plain or compressed with gzip: on each line the 64 pixels as numbers
/// from 0 to 16, row by row, then the label, a whole number from 0 to 9, with commas between; two
/// images or more. Throws chainrule::IoError, naming file and line, for anything else.
Digits read_digits(const std::string& path, chainrule::DType dtype);

/// Images to train with, and others to test what was learned.
struct Split {
  Digits train, test;
};

/// Holds every fifth image out for the test, rounded to the nearest number and at least one. Which
/// ones is random, but always the same for one number of images (two or more).
Split hold_out(const Digits& digits);

}  // namespace examples
