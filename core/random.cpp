#include <chainrule/core/random.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <utility>

#include <chainrule/core/create.hpp>

namespace chainrule {

namespace {

__extension__ using u128 = unsigned __int128;

std::uint64_t join(std::uint32_t low, std::uint32_t high) {
  return std::uint64_t{high} << 32 | low;
}

double unit(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }
float unit(std::uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

// (0, 1], so that its logarithm is finite.
double positive_unit(std::uint64_t bits) { return static_cast<double>((bits >> 11) + 1) * 0x1p-53; }
double positive_unit(std::uint32_t bits) { return (static_cast<double>(bits) + 1) * 0x1p-32; }
double wide_unit(std::uint64_t bits) { return unit(bits); }
double wide_unit(std::uint32_t bits) { return static_cast<double>(bits) * 0x1p-32; }

// The two normal numbers of an even and the following odd place.
template <class Bits>
std::pair<double, double> box_muller(Bits even, Bits odd) {
  const double radius = std::sqrt(-2 * std::log(positive_unit(even)));
  const double angle = 2 * std::numbers::pi * wide_unit(odd);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

// A range of `size` numbers (0 stands for 2^64) mapped onto by 128 random bits: the high part of
// their product, whose bias is below 2^-64.
std::uint64_t below(std::uint64_t size, const std::array<std::uint32_t, 4>& words) {
  const std::uint64_t low = join(words[0], words[1]), high = join(words[2], words[3]);
  if (size == 0) return high;
  return static_cast<std::uint64_t>(
      (static_cast<u128>(high) * size + (static_cast<u128>(low) * size >> 64)) >> 64);
}

template <class T>
struct BitsOf {
  using type = std::uint32_t;
};
template <>
struct BitsOf<double> {
  using type = std::uint64_t;
};

// Calls f(i, a, b) for each pair of places (an even one and the next) that n numbers from the
// generator's place touch; i is the index of the even place's number, −1 when it is before the
// first. Moves the generator behind them. Behind the last block of the stream stands the first.
template <class Bits, class F>
void for_pairs(Generator& generator, std::int64_t n, F f) {
  constexpr std::uint64_t width = sizeof(Bits) / 4, in_block = 4 / width;
  constexpr std::uint64_t blocks = std::uint64_t{1} << 62;
  const std::uint64_t offset = generator.offset();
  const std::uint64_t place = offset / width + (offset % width == 0 ? 0 : 1);
  const auto count = static_cast<std::uint64_t>(n);
  const auto before = static_cast<std::int64_t>(place % in_block);
  std::uint64_t at = place / in_block;
  for (std::int64_t i = -before; i < n; i += in_block, ++at) {
    const auto words = generator.block(at % blocks);
    if constexpr (width == 1) {
      f(i, words[0], words[1]);
      f(i + 2, words[2], words[3]);
    } else {
      f(i, join(words[0], words[1]), join(words[2], words[3]));
    }
  }
  if (n > 0) generator.seek((place + count) * width);
}

// out[i] = number i of a draw; to_pair turns the bits of two places into two numbers.
template <class T, class F>
void fill_pairs(Generator& generator, T* out, std::int64_t n, F to_pair) {
  using Bits = typename BitsOf<T>::type;
  for_pairs<Bits>(generator, n, [&](std::int64_t i, Bits even, Bits odd) {
    if (i + 1 < 0 || i >= n) return;
    const auto [first, second] = to_pair(even, odd);
    if (i >= 0) out[i] = static_cast<T>(first);
    if (i + 1 < n) out[i + 1] = static_cast<T>(second);
  });
}

void check_floating(const char* op, DType dtype, const Where& where) {
  if (!is_floating(dtype))
    throw DTypeError(fmt::format("{}: makes f32 or f64, not {}", op, name_of(dtype)), where,
                     dtype == i64 ? "randint draws integers" : "rand(shape) < p draws a mask");
}

void check_range(const char* op, std::int64_t low, std::int64_t high, const Where& where) {
  if (low >= high)
    throw ValueError(fmt::format("{}: no integer in [{}, {})", op, low, high), where,
                     "the upper bound is not included");
}

Generator first_generator() {
  static std::atomic<std::uint64_t> threads{0};
  return Generator(0, threads.fetch_add(1));
}

}  // namespace

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> c,
                                        std::array<std::uint32_t, 2> k) noexcept {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
    k[0] += 0x9E3779B9;  // the golden ratio
    k[1] += 0xBB67AE85;  // √3 − 1
  }
  return c;
}

std::array<std::uint32_t, 4> Generator::block(std::uint64_t index) const noexcept {
  const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  const auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
  return philox4x32({low(index), high(index), low(stream_), high(stream_)},
                    {low(seed_), high(seed_)});
}

// Moves behind `words` words that start at a multiple of their number; returns their place.
std::uint64_t Generator::take(std::uint64_t words) noexcept {
  const std::uint64_t at = (offset_ + words - 1) / words * words;
  offset_ = at + words;
  return at;
}

std::uint32_t Generator::u32() noexcept {
  const std::uint64_t at = take(1);
  return block(at / 4)[at % 4];
}

std::uint64_t Generator::u64() noexcept {
  const std::uint64_t at = take(2);
  const auto words = block(at / 4);
  return join(words[at % 4], words[at % 4 + 1]);
}

double Generator::uniform() noexcept { return unit(u64()); }

double Generator::normal() noexcept {
  double out = 0;
  fill_pairs(*this, &out, 1, box_muller<std::uint64_t>);
  return out;
}

std::int64_t Generator::integer(std::int64_t low, std::int64_t high, Where where) {
  check_range("integer", low, high, where);
  const std::uint64_t size = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  const std::uint64_t pick = below(size, block(take(4) / 4));
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + pick);
}

Generator& default_generator() {
  static thread_local Generator generator = first_generator();
  return generator;
}

void seed(std::uint64_t seed) { default_generator() = Generator(seed); }

Tensor rand(const Shape& shape, Generator& generator, DType dtype, Where where) {
  check_floating("rand", dtype, where);
  Ref<Value> value = detail::make_value("rand", shape, dtype, where);
  visit_floating(dtype, [&](auto zero) {
    using T = decltype(zero);
    fill_pairs(generator, value->data<T>(), value->numel(),
               [](auto even, auto odd) { return std::pair(unit(even), unit(odd)); });
  });
  return Tensor(std::move(value));
}

Tensor uniform(double low, double high, const Shape& shape, Generator& generator, DType dtype,
               Where where) {
  check_floating("uniform", dtype, where);
  if (!(low <= high) || !std::isfinite(low) || !std::isfinite(high))
    throw ValueError(fmt::format("uniform: no range [{}, {})", low, high), where,
                     "the bounds are finite, the lower one first");
  if (dtype == f32 && std::max(std::abs(low), std::abs(high)) > std::numeric_limits<float>::max())
    throw ValueError(fmt::format("uniform: no range [{}, {}) in f32", low, high), where,
                     "f32 ends at 3.4e+38: ask for f64");
  Ref<Value> value = detail::make_value("uniform", shape, dtype, where);
  const bool wide = !std::isfinite(high - low);
  visit_floating(dtype, [&](auto zero) {
    using T = decltype(zero);
    const T first = static_cast<T>(low), end = static_cast<T>(high);
    // Rounding may reach the upper bound, which is not included.
    const T last = first < end ? std::nextafter(end, first) : first;
    const auto stretch = [=](double u) {
      const double x = wide ? low * (1 - u) + high * u : low + (high - low) * u;
      return std::min(static_cast<T>(x), last);
    };
    fill_pairs(generator, value->data<T>(), value->numel(), [&](auto even, auto odd) {
      return std::pair(stretch(unit(even)), stretch(unit(odd)));
    });
  });
  return Tensor(std::move(value));
}

Tensor randn(const Shape& shape, Generator& generator, DType dtype, Where where) {
  check_floating("randn", dtype, where);
  Ref<Value> value = detail::make_value("randn", shape, dtype, where);
  visit_floating(dtype, [&](auto zero) {
    using T = decltype(zero);
    fill_pairs(generator, value->data<T>(), value->numel(), box_muller<typename BitsOf<T>::type>);
  });
  return Tensor(std::move(value));
}

Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, Generator& generator,
               Where where) {
  check_range("randint", low, high, where);
  Ref<Value> value = detail::make_value("randint", shape, i64, where);
  std::int64_t* out = value->data<std::int64_t>();
  for (std::int64_t i = 0; i < value->numel(); ++i) out[i] = generator.integer(low, high, where);
  return Tensor(std::move(value));
}

Tensor permutation(std::int64_t n, Generator& generator, Where where) {
  if (n < 0)
    throw ValueError(fmt::format("permutation: of {} numbers", n), where,
                     "x.size(0) says how many rows there are to permute");
  Ref<Value> value = detail::make_value("permutation", {n}, i64, where);
  std::int64_t* out = value->data<std::int64_t>();
  std::iota(out, out + n, std::int64_t{0});
  for (std::int64_t i = n - 1; i > 0; --i)
    std::swap(out[i], out[generator.integer(0, i + 1, where)]);
  return Tensor(std::move(value));
}

Tensor rand(const Shape& shape, DType dtype, Where where) {
  return rand(shape, default_generator(), dtype, where);
}
Tensor uniform(double low, double high, const Shape& shape, DType dtype, Where where) {
  return uniform(low, high, shape, default_generator(), dtype, where);
}
Tensor randn(const Shape& shape, DType dtype, Where where) {
  return randn(shape, default_generator(), dtype, where);
}
Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, Where where) {
  return randint(low, high, shape, default_generator(), where);
}
Tensor permutation(std::int64_t n, Where where) {
  return permutation(n, default_generator(), where);
}

}  // namespace chainrule
