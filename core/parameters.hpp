#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

#include <chainrule/core/error.hpp>
#include <chainrule/core/shape.hpp>

namespace chainrule {

namespace detail {

// As many bytes are looked at one by one; of more it is known whether there is padding where they
// are whole numbers.
inline constexpr std::size_t most_bytes_seen = std::size_t{150} << 10;
template <class P>
inline constexpr bool can_be_seen =
    sizeof(P) <= most_bytes_seen || std::has_unique_object_representations_v<P>;

// To read a byte of padding, or of a pointer, is no constant expression. (One loop over all bytes
// of a large type would be longer than compilers allow.)
template <class P>
consteval bool every_byte_counts() {
  if constexpr (sizeof(P) > most_bytes_seen) return true;
  const auto bytes = std::bit_cast<std::array<unsigned char, sizeof(P)>>(P{});
  unsigned char all = 0;
  for (std::size_t begin = 0; begin < sizeof(P); begin += 1024)
    for (std::size_t i = begin; i < begin + 1024 && i < sizeof(P); ++i) all |= bytes[i];
  static_cast<void>(all);
  return true;
}
template <class P>
concept WithoutPadding = requires { typename std::bool_constant<every_byte_counts<P>()>; };
[[noreturn]] void throw_parameter_size(std::size_t asked, std::size_t recorded,
                                       const char* op = "parameters", const Where& where = Where());

}  // namespace detail

/// The parameters of one application of an op (axes, bounds, a shape …), as bytes that somebody
/// else keeps: of a trivially copyable struct, or a list of numbers. Two are equal when their bytes
/// are, so that there may be no padding between or behind the members: order them by their size,
/// and fill up with a member that is 0.
class Parameters {
 public:
  Parameters() noexcept = default;
  explicit Parameters(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}
  /// The extents of a shape, as a list.
  Parameters(const Shape& list) noexcept
      : bytes_(std::as_bytes(std::span(list.data(), list.size()))) {}
  template <class P>
    requires(!std::is_base_of_v<Parameters, P>)
  Parameters(const P& parameters) noexcept : bytes_(std::as_bytes(std::span(&parameters, 1))) {
    static_assert(std::is_trivially_copyable_v<P>, "parameters are copied as bytes");
    static_assert(alignof(P) <= 8, "parameters are kept on multiples of 8 bytes");
    static_assert(std::is_default_constructible_v<P>,
                  "parameters need a constructor without arguments: their bytes are looked at");
    static_assert(
        detail::can_be_seen<P>,
        "parameters of that many bytes cannot be looked at: hand them over as an operand");
    if constexpr (std::is_default_constructible_v<P> && detail::can_be_seen<P>)
      static_assert(detail::WithoutPadding<P>,
                    "parameters are compared as bytes: they have no pointers and unions, and no "
                    "padding between or behind the members, which would make them random: order "
                    "them by size, and fill up with a member that is 0");
  }

  /// As the type that they are of. Throws GradError for a type of another size.
  template <class P>
  const P& as() const {
    static_assert(std::is_trivially_copyable_v<P> && alignof(P) <= 8);
    if (bytes_.size() != sizeof(P)) detail::throw_parameter_size(sizeof(P), bytes_.size());
    return *reinterpret_cast<const P*>(bytes_.data());
  }
  /// As a list of numbers.
  template <class T>
  std::span<const T> list() const noexcept {
    return {reinterpret_cast<const T*>(bytes_.data()), bytes_.size() / sizeof(T)};
  }
  Shape shape() const { return Shape(list<std::int64_t>()); }

  std::size_t size() const noexcept { return bytes_.size(); }
  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  friend bool operator==(const Parameters& a, const Parameters& b) noexcept {
    return a.size() == b.size() &&
           (a.size() == 0 || std::memcmp(a.bytes_.data(), b.bytes_.data(), a.size()) == 0);
  }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace chainrule
