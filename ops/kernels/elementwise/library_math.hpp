#pragma once

#include <cstdint>

/// Elementary functions of runs of adjacent numbers by SLEEF (N. Shibata and F. Petrogalli, SLEEF:
/// A Portable Vectorized Library of C Standard Mathematical Functions, IEEE TPDS 31 (2020)), in the
/// widest registers that the library is compiled for (of AVX2 and FMA together, else of SSE2); by
/// the C library where there is no SLEEF. A result does not depend on an element's position.
///
/// NaN, zeros, infinities, and numbers outside of the domain give what C says; a power within some
/// units of the largest number may be infinite. SLEEF's bounds are 1 unit in the last place.
namespace chainrule::kernels {

void sin(float* to, const float* x, std::int64_t n);
void sin(double* to, const double* x, std::int64_t n);
void cos(float* to, const float* x, std::int64_t n);
void cos(double* to, const double* x, std::int64_t n);
void erf(double* to, const double* x, std::int64_t n);
/// to[i] = x[i] to the power of y[i].
void pow(float* to, const float* x, const float* y, std::int64_t n);
void pow(double* to, const double* x, const double* y, std::int64_t n);

}  // namespace chainrule::kernels
