#pragma once

#include <concepts>
#include <cstdint>
#include <limits>

#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// What an elementwise operation takes: a tensor, or a number that adapts to the other operand's
/// dtype. It also carries the line of the expression, which operators could not take otherwise.
/// Lives no longer than the call that it is an argument of.
class Operand {
 public:
  Operand(const Tensor& tensor, Where where = Where::current()) noexcept
      : tensor_(&tensor), where_(where) {}
  template <std::floating_point S>
  Operand(S number, Where where = Where::current()) noexcept
      : number_(static_cast<double>(number)), where_(where) {}
  template <std::integral S>
  Operand(S number, Where where = Where::current()) noexcept
      : number_(static_cast<double>(number)),
        integer_(static_cast<std::int64_t>(number)),
        integral_(fits_i64(number)),
        where_(where) {}

  bool is_number() const noexcept { return tensor_ == nullptr; }
  const Tensor& tensor() const noexcept { return *tensor_; }
  const Where& where() const noexcept { return where_; }
  /// The number as a scalar tensor for `op`. Throws DTypeError when the dtype cannot hold it, which
  /// is that of the tensor beside it.
  Tensor as_tensor(const char* op, DType dtype, const Tensor* beside = nullptr) const;

 private:
  template <std::integral S>
  static constexpr bool fits_i64(S number) noexcept {
    if constexpr (std::signed_integral<S> || sizeof(S) < sizeof(std::int64_t))
      return true;
    else
      return number <= static_cast<S>(std::numeric_limits<std::int64_t>::max());
  }

  const Tensor* tensor_ = nullptr;
  double number_ = 0;
  std::int64_t integer_ = 0;
  bool integral_ = false;
  Where where_;
};

}  // namespace chainrule
