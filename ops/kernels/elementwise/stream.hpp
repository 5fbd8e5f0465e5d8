#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace chainrule::kernels {

/// Results of so many bytes do not wait in a cache for who reads them next. Written past the caches
/// they cost only the writing; else the memory that they overwrite is read first.
inline constexpr std::size_t streamed_bytes = std::size_t{32} << 20;

/// Calls run(to, i, count) for blocks that together are the elements 0 … n - 1, where `to` is
/// memory that is written past the caches to out + i.
template <class R, class Run>
void streamed(R* out, std::int64_t n, Run run) {
  constexpr std::int64_t block = 64;
  alignas(64) R buffer[block];
  const auto misplaced = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(out) % 64);
  std::int64_t i = misplaced == 0 ? 0 : (64 - misplaced) / static_cast<std::int64_t>(sizeof(R));
  i = std::min(i, n);
  run(out, 0, i);
  for (; i + block <= n; i += block) {
    run(buffer, i, block);
#ifdef __SSE2__
    const auto* from = reinterpret_cast<const __m128i*>(buffer);
    auto* to = reinterpret_cast<__m128i*>(out + i);
    constexpr std::size_t count = block * sizeof(R) / sizeof(__m128i);
    for (std::size_t k = 0; k < count; ++k) _mm_stream_si128(to + k, _mm_load_si128(from + k));
#else
    std::memcpy(out + i, buffer, sizeof(buffer));
#endif
  }
  run(out + i, i, n - i);
#ifdef __SSE2__
  _mm_sfence();
#endif
}

/// Calls run(to, i, count) for blocks as streamed() does, or once for all n elements where the
/// `bytes` of the whole result do not go past the caches.
template <class R, class Run>
void written(R* out, std::int64_t n, std::size_t bytes, Run run) {
  if (bytes >= streamed_bytes)
    streamed(out, n, run);
  else
    run(out, std::int64_t{0}, n);
}

}  // namespace chainrule::kernels
