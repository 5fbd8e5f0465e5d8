#pragma once

#include <cstdint>

#include <chainrule/ops/kernels/reduce/lines.hpp>

/// Softmax and its relatives along the lines of row-major memory, for float and double. All of them
/// shift by the largest element m of a line, and with s = Σ exp(x − m) keep m and log s apart:
/// their sum would lose the digits of log s where m is large.
namespace chainrule::kernels {

/// out = exp(x − m) / s.
template <class T>
void softmax(T* out, const T* x, const Lines& lines);

/// out = (x − m) − log s.
template <class T>
void log_softmax(T* out, const T* x, const Lines& lines);

/// out = m + log s for each line; m where that is infinite.
template <class T>
void logsumexp(T* out, const T* x, const Lines& lines);

/// m and log s for each line.
template <class T>
void normalizers(T* m, T* log_s, const T* x, const Lines& lines);

/// out = p ⊗ (g − Σ p⊗g).
template <class T>
void softmax_slope(T* out, const T* g, const T* p, const Lines& lines);

/// out = g − exp(l) Σ g.
template <class T>
void log_softmax_slope(T* out, const T* g, const T* l, const Lines& lines);

}  // namespace chainrule::kernels
