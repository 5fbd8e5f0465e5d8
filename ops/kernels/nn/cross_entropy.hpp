#pragma once

#include <cstdint>

#include <chainrule/ops/kernels/reduce/lines.hpp>

/// Cross entropy along the lines of row-major logits x, for float and double; m and log_s are what
/// normalizers() of softmax.hpp gives for each line.
namespace chainrule::kernels {

/// What is expected of each line: a label (labels[line]), or, where that is null, probabilities in
/// the shape of the logits.
template <class T>
struct Target {
  const std::int64_t* labels;
  const T* probabilities;
};

/// loss = −Σ q ⊗ ((x − m) − log s) for each line; a q of 0 gives 0 also where x is −∞.
template <class T>
void cross_entropy(T* loss, const T* x, Target<T> target, const T* m, const T* log_s,
                   const Lines& lines);

/// out = (p Σq − q) · g · scale with p = exp((x − m) − log s), where g is g[line · g_step].
template <class T>
void cross_entropy_slope(T* out, const T* x, Target<T> target, const T* m, const T* log_s,
                         const T* g, std::int64_t g_step, T scale, const Lines& lines);

}  // namespace chainrule::kernels
