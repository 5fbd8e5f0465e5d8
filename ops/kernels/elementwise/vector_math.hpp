#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

/// Elementary functions of float and double without branches and calls, so that loops over them are
/// vectorised on every processor. A remainder of a loop computes with the same arithmetic: a result
/// does not depend on an element's position.
///
/// NaN gives NaN; zeros keep their sign; infinities, denormal numbers, overflow and underflow give
/// what the exact function rounds to. The largest errors in units in the last place, measured
/// against long double (double) and double (float) at millions of arguments of all sizes, with and
/// without fused multiply-add:
///
///     exp  0.91    expm1  1.63    sigmoid  2.34    softplus  1.56
///     log  0.83    log1p  0.83    tanh     2.50    erf (float) 1.44
///
/// Polynomials are minimax, fitted by Remez' exchange in 60 digits. The forms follow the classic
/// ones of W. J. Cody and W. Waite, Software Manual for the Elementary Functions (1980), and P. T.
/// P. Tang, ACM TOMS 15 (1989) and 16 (1990).
namespace chainrule::kernels {

namespace detail {

template <class T>
struct Format;

template <>
struct Format<float> {
  using Bits = std::uint32_t;
  static constexpr int mantissa = 23;
  static constexpr Bits bias = 127;
  // Beyond these exp() is infinite or rounds to 0, and expm1() to −1.
  static constexpr float exp_most = 89, exp_least = -104, expm1_least = -20;
  // Beyond the first e^2x may be infinite; there e^(2x − shift) is not, up to the second.
  static constexpr float tanh_most = 44, tanh_far = 56, tanh_shift = 24;
  static constexpr float exp_of_shift = 0x1.4c1078p-35f;  // e^−shift
  static constexpr float log2_e = 0x1.715476p+0f;
  // ln 2 in two parts; multiples of the first by an exponent are exact.
  static constexpr float ln2 = 0x1.62ep-1f, ln2_rest = 0x1.0bfbe8p-15f;
  // (exp(r) − 1 − r) / r² for |r| ≤ ln 2 / 2.
  static constexpr float exp_terms[] = {0x1.fffffcp-2f, 0x1.555494p-3f, 0x1.5558dep-5f,
                                        0x1.12385ep-7f, 0x1.6a2b0cp-10f};
  // (2 atanh(s) − 2s) / s³ in s², for |s| ≤ tanh(ln 2 / 4).
  static constexpr float log_terms[] = {0x1.555556p-1f, 0x1.999a76p-2f, 0x1.2439a0p-2f,
                                        0x1.e2ddf6p-3f};
  // erf(x) / x − 1 in x² for |x| ≤ 1, and ln(1 − erf(x)) for 1 ≤ x ≤ 4.
  static constexpr float erf_terms[] = {0x1.06eba8p-3f,  -0x1.81273ep-2f, 0x1.ce2d20p-4f,
                                        -0x1.b7fbb4p-6f, 0x1.5419f6p-8f,  -0x1.a485ecp-11f,
                                        0x1.4ae4d0p-14f};
  static constexpr float log_erfc_terms[] = {-0x1.72e6dcp-12f, -0x1.2085b2p+0f, -0x1.46c584p-1f,
                                             -0x1.a60a84p-4f,  0x1.654222p-6f,  -0x1.814cdcp-9f,
                                             0x1.852d4ap-13f};
};

template <>
struct Format<double> {
  using Bits = std::uint64_t;
  static constexpr int mantissa = 52;
  static constexpr Bits bias = 1023;
  static constexpr double exp_most = 710, exp_least = -746, expm1_least = -40;
  static constexpr double tanh_most = 354.5, tanh_far = 384.5, tanh_shift = 60;
  static constexpr double exp_of_shift = 0x1.5ae191a99585ap-87;
  static constexpr double log2_e = 0x1.71547652b82fep+0;
  static constexpr double ln2 = 0x1.62e42fefap-1, ln2_rest = 0x1.cf79abc9e3b3ap-40;
  static constexpr double exp_terms[] = {
      0x1.0000000000008p-1,  0x1.55555555554ffp-3, 0x1.55555555510f9p-5,  0x1.11111111273aep-7,
      0x1.6c16c182a3f2fp-10, 0x1.a01a012a406p-13,  0x1.a0199d9516333p-16, 0x1.71df2a14eb9fbp-19,
      0x1.28aa9528c7943p-22, 0x1.ad72919ed0e9cp-26};
  static constexpr double log_terms[] = {
      0x1.555555555558bp-1, 0x1.9999999981a4cp-2, 0x1.24924940a558p-2, 0x1.c71c52ef9502cp-3,
      0x1.7466158b7311fp-3, 0x1.39a5718b0366cp-3, 0x1.2ee3a379feb43p-3};
};

template <class T>
using Bits = typename Format<T>::Bits;

template <class T>
[[gnu::always_inline]] inline Bits<T> bits_of(T x) {
  return std::bit_cast<Bits<T>>(x);
}

// terms[0] + terms[1] x + …
template <class T, std::size_t N>
[[gnu::always_inline]] inline T polynomial(const T (&terms)[N], T x) {
  T sum = terms[N - 1];
  for (std::size_t i = N - 1; i-- > 0;) sum = terms[i] + x * sum;
  return sum;
}

// x = k ln 2 + r + rest with |r| ≤ ln 2 / 2, and exp(r + rest) − 1 − r. The exponent k is biased
// twice, so that it is positive.
template <class T>
struct ExpParts {
  Bits<T> k;
  T r, remainder;
};

template <class T>
[[gnu::always_inline]] inline ExpParts<T> exp_parts_within(T y) {
  using F = Format<T>;
  // Adding 1.5 · 2^mantissa rounds to an integer, in the lowest bits.
  constexpr T magic = T{3} * static_cast<T>(Bits<T>{1} << (F::mantissa - 1));
  const T shifted = y * F::log2_e + magic;
  const T k = shifted - magic;
  const T high = y - k * F::ln2;
  const T r = high - k * F::ln2_rest;
  const T rest = (high - r) - k * F::ln2_rest;
  return {bits_of(shifted) - bits_of(magic) + 2 * F::bias, r,
          r * r * polynomial(F::exp_terms, r) + rest};
}

// The same for any x: above exp_most and below `least` as there.
template <class T>
[[gnu::always_inline]] inline ExpParts<T> exp_parts(T x, T least) {
  const T y = x > Format<T>::exp_most ? Format<T>::exp_most : x;
  return exp_parts_within(y < least ? least : y);
}

// 2^k in two factors, of which neither is denormal or infinite.
template <class T>
struct PowerOfTwo {
  T one, other;
};

template <class T>
[[gnu::always_inline]] inline PowerOfTwo<T> power_of_two(Bits<T> biased_twice) {
  using F = Format<T>;
  const Bits<T> half = biased_twice >> 1;
  return {std::bit_cast<T>(half << F::mantissa),
          std::bit_cast<T>((biased_twice - half) << F::mantissa)};
}

// log(u) + correction for a normal u > 0, whose logarithm is also lessened by `less` ln 2.
template <class T>
[[gnu::always_inline]] inline T log_normal(T u, T correction, T less) {
  using F = Format<T>;
  constexpr Bits<T> one = F::bias << F::mantissa;
  constexpr Bits<T> mask = (Bits<T>{1} << F::mantissa) - 1;
  const Bits<T> sqrt_half = bits_of(T{0.70710678118654752440L});
  constexpr T integers = static_cast<T>(Bits<T>{1} << F::mantissa);
  // u = 2^k m with m from √½ to √2.
  const Bits<T> moved = bits_of(u) + (one - sqrt_half);
  const T k = std::bit_cast<T>((moved >> F::mantissa) | bits_of(integers)) -
              (integers + static_cast<T>(F::bias)) - less;
  const T f = std::bit_cast<T>((moved & mask) + sqrt_half) - 1;
  const T s = f / (2 + f), w = s * s, half = T{0.5} * f * f;
  const T series = s * (half + w * polynomial(F::log_terms, w));
  return k * F::ln2 - ((half - (series + (k * F::ln2_rest + correction))) - f);
}

// log(1 + x) for x > −1, but not the sign of zero.
template <class T>
[[gnu::always_inline]] inline T log1p_normal(T x) {
  const T u = 1 + x, back = u - 1;
  const T lost = (1 - (u - back)) + (x - back);  // 1 + x = u + lost, exactly
  return log_normal(u, lost / u, T{0});
}

}  // namespace detail

/// eˣ.
template <class T>
[[gnu::always_inline]] inline T exp(T x) {
  const auto parts = detail::exp_parts(x, detail::Format<T>::exp_least);
  const auto power = detail::power_of_two<T>(parts.k);
  return (1 + (parts.r + parts.remainder)) * power.one * power.other;
}

/// eˣ − 1, exact also near 0.
template <class T>
[[gnu::always_inline]] inline T expm1(T x) {
  using F = detail::Format<T>;
  const auto parts = detail::exp_parts(x, F::expm1_least);
  const auto power = detail::power_of_two<T>(parts.k);
  const auto inverse = detail::power_of_two<T>(4 * F::bias - parts.k);
  const T y = (parts.r + parts.remainder) + (1 - inverse.one * inverse.other);
  return x == 0 ? x : y * power.one * power.other;
}

/// ln x; −∞ at ±0, NaN below.
template <class T>
[[gnu::always_inline]] inline T log(T x) {
  constexpr T infinity = std::numeric_limits<T>::infinity();
  constexpr T up = static_cast<T>(std::uint64_t{1} << 60);  // makes denormal numbers normal
  const bool denormal = x < std::numeric_limits<T>::min();
  const T y = detail::log_normal(denormal ? x * up : x, T{0}, denormal ? T{60} : T{0});
  const T inside = x < infinity ? y : x;
  const T outside = x == 0 ? -infinity : std::numeric_limits<T>::quiet_NaN();
  return x <= 0 ? outside : inside;
}

/// ln |x| within 0.06, of normal numbers; some number for others.
template <class T>
[[gnu::always_inline]] inline T rough_log(T x) {
  using F = detail::Format<T>;
  using Bits = detail::Bits<T>;
  // The exponent, and the mantissa for the logarithm's fraction, as the digits of an integer.
  constexpr int shift = 8 * sizeof(T) - F::mantissa, fraction = F::mantissa - shift;
  constexpr T integers = static_cast<T>(Bits{1} << F::mantissa);
  const Bits digits = detail::bits_of(std::abs(x)) >> shift;
  const T exponent = std::bit_cast<T>(digits | detail::bits_of(integers)) - integers;
  return (exponent * (T{1} / static_cast<T>(Bits{1} << fraction)) - static_cast<T>(F::bias)) *
         T{0.693147180559945309417L};
}

/// ln(1 + x), exact also near 0; −∞ at −1, NaN below.
template <class T>
[[gnu::always_inline]] inline T log1p(T x) {
  constexpr T infinity = std::numeric_limits<T>::infinity();
  const T y = detail::log1p_normal(x);
  const T inside = x < infinity && x != 0 ? y : x;
  const T outside = x == -1 ? -infinity : std::numeric_limits<T>::quiet_NaN();
  return x <= -1 ? outside : inside;
}

/// A function that is flat far from 0, and how far its size still is from 1 there: the digits that
/// the value has lost.
template <class T>
struct Flat {
  T value, short_of_one;
};

/// 1 / (1 + e⁻ˣ), and 1 / (1 + e^|x|).
template <class T>
[[gnu::always_inline]] inline Flat<T> flat_sigmoid(T x) {
  const T e = kernels::exp(-std::abs(x)), rest = e / (1 + e);
  return {x >= 0 ? 1 - rest : rest, rest};
}
/// 1 / (1 + e⁻ˣ).
template <class T>
[[gnu::always_inline]] inline T sigmoid(T x) {
  return flat_sigmoid(x).value;
}

namespace detail {

// tanh x, from t = e²ˣ − 1: t / (t + 2), or 1 − 2 / (t + 2) where that is the larger half; and
// 1 − |tanh x|, `far` also where t may be infinite.
template <bool far, class T>
[[gnu::always_inline]] inline Flat<T> tanh(T x) {
  using F = Format<T>;
  constexpr T most = F::tanh_most, end = far ? F::tanh_far : most;
  const T size = std::abs(x);
  const bool shifted = far && size > most;
  // expm1() where 2^k is a number, and its inverse a normal one or 0.
  const auto parts =
      exp_parts_within(2 * (size > end ? end : size) - (shifted ? F::tanh_shift : T{0}));
  const T power = std::bit_cast<T>((parts.k - F::bias) << F::mantissa);
  const T inverse = std::bit_cast<T>((3 * F::bias - parts.k) << F::mantissa);
  const T t = ((parts.r + parts.remainder) + (1 - inverse)) * power;
  const bool large = t > 2;
  const T q = (large ? T{2} : t) / (t + 2);
  const T rest = 1 - q;
  return {std::copysign(large ? rest : q, x),
          (large ? q : rest) * (shifted ? F::exp_of_shift : T{1})};
}

}  // namespace detail

/// tanh x, and 1 − |tanh x|.
template <class T>
[[gnu::always_inline]] inline Flat<T> flat_tanh(T x) {
  return detail::tanh<true>(x);
}
/// tanh x.
template <class T>
[[gnu::always_inline]] inline T tanh(T x) {
  return detail::tanh<false>(x).value;
}

/// The error function, of float alone: a double takes polynomials of more pieces, which a library
/// has. From |x| = 4 on it rounds to 1.
[[gnu::always_inline]] inline float erf(float x) {
  using F = detail::Format<float>;
  const float size = std::abs(x), a = size > 4 ? 4.0F : size;
  const float near = x + x * detail::polynomial(F::erf_terms, a * a);
  const auto parts = detail::exp_parts_within(detail::polynomial(F::log_erfc_terms, a));
  const float power = std::bit_cast<float>((parts.k - F::bias) << F::mantissa);
  const float far = 1 - (1 + (parts.r + parts.remainder)) * power;
  return size < 1 ? near : std::copysign(far, x);
}

/// ln(1 + eˣ).
template <class T>
[[gnu::always_inline]] inline T softplus(T x) {
  return (x > 0 ? x : T{0}) + detail::log1p_normal(kernels::exp(-std::abs(x)));
}

}  // namespace chainrule::kernels
