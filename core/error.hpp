#pragma once

#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

namespace chainrule {

/// Where in the user's program an operation was called. Every public operation takes one as a last,
/// defaulted argument, so that errors and the graph name the user's line.
using Where = std::source_location;

/// The base of all exceptions of this library. `what()` reads
///
///     matmul: inner dimensions differ: W1 (32, 64) · x (1, 64)
///       at my_model.cpp:41
///       hint: x has one row per sample; use matmul(x, W1.T())
///
/// where the last two lines are there when known.
class Error : public std::runtime_error {
 public:
  explicit Error(std::string_view message);
  Error(std::string_view message, const Where& where, std::string_view hint = {});
};

/// Shapes that do not fit the operation.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// Element types that do not fit the operation or each other.
class DTypeError : public Error {
 public:
  using Error::Error;
};

/// A gradient that cannot be computed: no graph, not a scalar, a released graph, a changed value.
class GradError : public Error {
 public:
  using Error::Error;
};

/// An index or axis out of range.
class IndexError : public Error {
 public:
  using Error::Error;
};

/// An argument outside of its domain.
class ValueError : public Error {
 public:
  using Error::Error;
};

/// A file that cannot be read, written or understood.
class IoError : public Error {
 public:
  using Error::Error;
};

/// Memory that the system does not give.
class MemoryError : public Error {
 public:
  using Error::Error;
};

}  // namespace chainrule
