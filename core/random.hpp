#pragma once

#include <array>
#include <cstdint>

#include <chainrule/core/tensor.hpp>

/// Seeded random numbers. The generator is counter-based: number i of a stream is a function of
/// seed, stream and i alone, so that a draw does not depend on how it is cut into calls, and a
/// saved position is three numbers.

namespace chainrule {

/// Four 32-bit words from a 128-bit counter and a 64-bit key: Philox4x32-10, equations of
/// J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2,
/// 3", SC 2011, section 3.3.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) noexcept;

/// A position in a stream of 2^64 32-bit words. Word p of a stream is word p mod 4 of
/// philox4x32(counter = (p div 4, stream), key = seed), low halves first. A 32-bit number takes one
/// word, a 64-bit number the next two whose first is even, randint() the next four whose first is a
/// multiple of four. Behind the last word comes the first again. Copies draw the same numbers. One
/// thread at a time.
class Generator {
 public:
  /// Streams of one seed are independent of each other.
  explicit Generator(std::uint64_t seed = 0, std::uint64_t stream = 0) noexcept
      : seed_(seed), stream_(stream) {}

  std::uint64_t seed() const noexcept { return seed_; }
  std::uint64_t stream() const noexcept { return stream_; }
  /// How many words have been drawn; seek() goes there, forward or back, in constant time.
  std::uint64_t offset() const noexcept { return offset_; }
  void seek(std::uint64_t offset) noexcept { offset_ = offset; }

  /// The next 32 or 64 random bits.
  std::uint32_t u32() noexcept;
  std::uint64_t u64() noexcept;
  /// Uniform in [0, 1), a multiple of 2^-53: what rand() draws for f64.
  double uniform() noexcept;
  /// Of mean 0 and variance 1: what randn() draws for f64.
  double normal() noexcept;
  /// Uniform in [low, high): what randint() draws. Throws ValueError unless low < high.
  std::int64_t integer(std::int64_t low, std::int64_t high, Where where = Where::current());

  /// Words 4·index … 4·index + 3 of the stream.
  std::array<std::uint32_t, 4> block(std::uint64_t index) const noexcept;

 private:
  std::uint64_t take(std::uint64_t words) noexcept;

  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t offset_ = 0;
};

/// The calling thread's generator, from which everything below draws unless another is given. It
/// begins with seed 0 and a stream of its own: 0 in the first thread that draws, 1 in the second …
Generator& default_generator();
/// Starts the calling thread's generator anew with this seed, on stream 0. One seed makes a run
/// repeatable, bit for bit; give further threads seeds of their own.
void seed(std::uint64_t seed);

/// Uniform in [0, 1): multiples of 2^-24 for f32, of 2^-53 for f64. Throws DTypeError unless
/// floating, as do uniform and randn.
Tensor rand(const Shape& shape, DType dtype = f32, Where where = Where::current());
Tensor rand(const Shape& shape, Generator& generator, DType dtype = f32,
            Where where = Where::current());

/// Uniform in [low, high); low where both are equal. Throws ValueError for bounds in the wrong
/// order, NaN, infinite or beyond the dtype.
Tensor uniform(double low, double high, const Shape& shape, DType dtype = f32,
               Where where = Where::current());
Tensor uniform(double low, double high, const Shape& shape, Generator& generator, DType dtype = f32,
               Where where = Where::current());

/// Normal with mean 0 and variance 1, by the transform of G. E. P. Box and M. E. Muller, Ann. Math.
/// Stat. 29 (1958) 610, in f64 throughout: z = √(−2 ln u₁) · (cos, sin)(2π u₂) for the numbers at
/// an even and the following odd place of the stream. Of f32 |z| < 6.67, of f64 |z| < 8.58.
Tensor randn(const Shape& shape, DType dtype = f32, Where where = Where::current());
Tensor randn(const Shape& shape, Generator& generator, DType dtype = f32,
             Where where = Where::current());

/// Integers (i64) uniform in [low, high), from 128 random bits each: no number is more frequent
/// than another by more than 2^-64. Throws ValueError unless low < high.
Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape,
               Where where = Where::current());
Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, Generator& generator,
               Where where = Where::current());

/// The numbers 0 … n−1 (i64) in random order, by the shuffle of R. Durstenfeld, Comm. ACM 7 (1964)
/// 420. Throws ValueError for a negative n.
Tensor permutation(std::int64_t n, Where where = Where::current());
Tensor permutation(std::int64_t n, Generator& generator, Where where = Where::current());

}  // namespace chainrule
