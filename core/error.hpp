#pragma once

#include <cstddef>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

namespace chainrule {

/// Where in the user's program an operation was called. Every public operation takes one as a last,
/// defaulted argument, so that errors and the graph name the user's line.
using Where = std::source_location;

class Error;

namespace detail {

/// Where an error that passes through an operation names another line than the user's, as what an
/// op's own code throws: adds a line to the message, "in the vjp rule of scale at my_model.cpp:41";
/// `part` is "the vjp rule of ", or empty. The user's line is the place of an error without one.
void name_operation(Error& error, const char* part, const char* op, const Where& where) noexcept;

}  // namespace detail

/// The base of all exceptions of this library. `what()` reads
///
///     matmul: inner dimensions differ: W1 (32, 64) · x (1, 64)
///       in Attention encoder.attention
///       at my_model.cpp:41
///       hint: x has one row per sample; use matmul(x, W1.T())
///
/// where all lines but the first are there when known.
class Error : public std::runtime_error {
 public:
  explicit Error(std::string_view message);
  Error(std::string_view message, const Where& where, std::string_view hint = {});
  /// A copy shares the text. To move one is to copy it: what was moved from still says it all.
  Error(const Error&) noexcept = default;
  Error& operator=(const Error&) noexcept = default;

  /// Says in what greater whole it happened, in a line between the message and the place; an empty
  /// context leaves none. This and set_hint() are for those who catch an error and know more of it
  /// than the operation did:
  ///
  ///     catch (Error& error) {
  ///       if (!error.has_context()) error.set_context("in fc1");
  ///       throw;  // the same object, whatever its class
  ///     }
  void set_context(std::string_view context);
  bool has_context() const noexcept { return context_end_ > message_end_; }
  /// Whether it says where.
  bool has_place() const noexcept { return place_end_ > context_end_; }
  /// Replaces the hint; an empty one leaves none.
  void set_hint(std::string_view hint);

 private:
  friend void detail::name_operation(Error& error, const char* part, const char* op,
                                     const Where& where) noexcept;
  void set_text(const std::string& text);

  // Where the parts of the text end; the hint is the rest. The text itself stays with the base,
  // which shares it among copies: copying an exception must not fail.
  std::size_t message_end_, context_end_, place_end_;
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
