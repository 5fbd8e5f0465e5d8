#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <iosfwd>
#include <string>

#include <chainrule/core/tensor.hpp>

/// Tensors as text, in the layout of NumPy's repr:
///
///     >>> fmt::print("{}", W1)
///     W1 = tensor([[ 0.25, -1.5 ],
///                  [ 3.  ,  0.5 ]], dtype=f64)

namespace chainrule {

/// How a floating number is written.
enum class Notation : std::uint8_t {
  automatic,   ///< the fewest digits that tell the number, at most `precision` after the point
  fixed,       ///< exactly `precision` digits after the point
  scientific,  ///< a power of ten, and exactly `precision` digits after the point
};

/// The choices of NumPy's set_printoptions, with its defaults but for the precision. Numbers out of
/// their range count as its nearest: printing has no errors of its own.
struct PrintOptions {
  int precision = 4;  ///< digits after the point, 0 … 100
  Notation notation = Notation::automatic;
  std::int64_t threshold = 1000;  ///< more elements than this are shown as their edges and "..."
  std::int64_t edge_items = 3;    ///< how many elements, from 1, an axis shows at each edge then
  int line_width = 75;            ///< where rows are broken, in characters, behind one element
};

/// The tensor as text: its name if it has one, the elements in brackets for each axis, all columns
/// equally wide. What cannot be seen from the elements follows: the dtype when it is f64 (f32 is
/// the default; integers and true, false speak for themselves), or not f32 in an empty tensor; the
/// shape of an empty (but for `(0,)`) or abridged tensor; requires_grad. With automatic notation
/// all numbers are written with exponents if the largest magnitude is 1e8 or more, the smallest
/// other than 0 is below 1e-4, or they are more than a factor of 1000 apart. Throws MemoryError,
/// as do the others here, which know no line.
std::string to_string(const Tensor& tensor, const PrintOptions& options = {},
                      Where where = Where::current());

std::ostream& operator<<(std::ostream& stream, const Tensor& tensor);
std::ostream& operator<<(std::ostream& stream, const Shape& shape);
std::ostream& operator<<(std::ostream& stream, DType dtype);

}  // namespace chainrule

/// `{}`, or a precision and a notation: `{:.6f}` and `{:.3e}` for every number, `{:.6}` for at most
/// six digits.
template <>
struct fmt::formatter<chainrule::Tensor> {
  constexpr auto parse(fmt::format_parse_context& context) {
    auto at = context.begin();
    const auto end = context.end();
    if (at != end && *at == '.') {
      int precision = 0, digits = 0;
      for (++at; at != end && *at >= '0' && *at <= '9' && digits < 3; ++at, ++digits)
        precision = precision * 10 + (*at - '0');
      if (digits == 0 || precision > 100) return context.begin();  // which fmt reports
      options.precision = precision;
    }
    if (at != end && (*at == 'f' || *at == 'e'))
      options.notation =
          *at++ == 'f' ? chainrule::Notation::fixed : chainrule::Notation::scientific;
    return at;
  }
  template <class Context>
  auto format(const chainrule::Tensor& tensor, Context& context) const {
    auto out = context.out();
    for (const char c : chainrule::to_string(tensor, options, {})) *out++ = c;
    return out;
  }
  chainrule::PrintOptions options;
};

template <>
struct fmt::formatter<chainrule::Shape> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(const chainrule::Shape& shape, Context& context) const {
    auto out = context.out();
    for (const char c : chainrule::to_string(shape)) *out++ = c;
    return out;
  }
};

template <>
struct fmt::formatter<chainrule::DType> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(chainrule::DType dtype, Context& context) const {
    auto out = context.out();
    for (const char* c = chainrule::name_of(dtype); *c != 0; ++c) *out++ = *c;
    return out;
  }
};
