#include <chainrule/bench/floors/peak.hpp>

#include <chainrule/bench/measure.hpp>

namespace floors {

namespace {

#if defined(__AVX512F__)
constexpr int register_bytes = 64;
constexpr const char* instructions = "AVX-512";
#elif defined(__AVX__)
constexpr int register_bytes = 32;
#if defined(__FMA__)
constexpr const char* instructions = "AVX with FMA";
#else
constexpr const char* instructions = "AVX";
#endif
#else
constexpr int register_bytes = 16;
constexpr const char* instructions = "registers of 128 bits";
#endif

// Enough that no sum waits for its own last one: two units with a latency of five cycles take ten.
// With the two factors they fit into 16 registers.
constexpr int sums = 12;

template <class T>
using Vector [[gnu::vector_size(register_bytes)]] = T;

// Makes the compiler believe that registers were changed, so that it neither computes in advance
// nor stores anything.
#if defined(__x86_64__)
#define CHANGED(value) "+x"(value)
#else
#define CHANGED(value) "+w"(value)
#endif

// sum ← sum·factor + term, which stays near 1. (GCC would keep an array in memory.)
template <class T>
void multiply_add(int rounds) {
  using V = Vector<T>;
  V factor = V{} + T(0.5), term = factor;
  asm volatile("" : CHANGED(factor), CHANGED(term));
  V a = term, b = term, c = term, d = term, e = term, f = term, g = term, h = term, i = term,
    j = term, k = term, l = term;
  for (int round = 0; round < rounds; ++round) {
    for (V* each : {&a, &b, &c, &d, &e, &f, &g, &h, &i, &j, &k, &l}) *each = *each * factor + term;
    asm volatile(""
                 : CHANGED(a), CHANGED(b), CHANGED(c), CHANGED(d), CHANGED(e), CHANGED(f),
                   CHANGED(g), CHANGED(h), CHANGED(i), CHANGED(j), CHANGED(k), CHANGED(l));
  }
  const V total = a + b + c + d + e + f + g + h + i + j + k + l;
  bench::keep(total);
}

}  // namespace

const char* peak_instructions() { return instructions; }

template <class T>
double peak_flops() {
  constexpr int rounds = 20'000;  // some 0.1 ms
  std::vector<double> seconds;
  for (int sample = 0; sample < 51; ++sample)
    seconds.push_back(bench::time_of(1, [] { multiply_add<T>(rounds); }));
  return 2.0 * rounds * sums * (register_bytes / sizeof(T)) / bench::spread(seconds).median;
}
template double peak_flops<float>();
template double peak_flops<double>();

}  // namespace floors
