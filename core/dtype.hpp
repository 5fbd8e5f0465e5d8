#pragma once

#include <cstddef>
#include <cstdint>

namespace chainrule {

/// The element types of a tensor: f32 (the default), f64, i64 for indices and labels, boolean for
/// masks. No operation converts between them silently; `to(x, f64)` does it in the open.
enum class DType : std::uint8_t { f32, f64, i64, boolean };

inline constexpr DType f32 = DType::f32;
inline constexpr DType f64 = DType::f64;
inline constexpr DType i64 = DType::i64;
inline constexpr DType boolean = DType::boolean;

/// "f32", "f64", "i64" or "boolean".
const char* name_of(DType dtype) noexcept;

/// Bytes of one element.
constexpr std::size_t size_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::f32:
      return sizeof(float);
    case DType::boolean:
      return sizeof(bool);
    default:
      return sizeof(std::int64_t);
  }
}

/// True for f32 and f64, the types that can carry gradients.
constexpr bool is_floating(DType dtype) noexcept {
  return dtype == DType::f32 || dtype == DType::f64;
}

/// The DType of a C++ element type: float, double, std::int64_t or bool.
template <class T>
inline constexpr DType dtype_of = [] {
  static_assert(sizeof(T) == 0,
                "chainrule: element types are float, double, std::int64_t and bool");
  return DType::f32;
}();
template <>
inline constexpr DType dtype_of<float> = DType::f32;
template <>
inline constexpr DType dtype_of<double> = DType::f64;
template <>
inline constexpr DType dtype_of<std::int64_t> = DType::i64;
template <>
inline constexpr DType dtype_of<bool> = DType::boolean;

/// Calls f with a zero of the C++ type that stands for dtype: `visit(x.dtype(), [&](auto zero) {
/// using T = decltype(zero); … })`.
template <class F>
decltype(auto) visit(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::i64:
      return f(std::int64_t{});
    default:
      return f(bool{});
  }
}

/// The same for dtypes known to be floating.
template <class F>
decltype(auto) visit_floating(DType dtype, F&& f) {
  return dtype == DType::f32 ? f(float{}) : f(double{});
}

}  // namespace chainrule
