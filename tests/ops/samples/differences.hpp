#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <chainrule/tests/ops/samples/samples.hpp>

/// Derivatives of functions of arrays by central differences.
namespace samples {

// Steps are taken relative to the size of an element, so that 0.01 and 1000 both stay on their side
// of 0.
inline Real scale(Real x) { return std::max(std::abs(x), 0x1p-10L); }

inline Array scaled_sum(const Array& a, Real factor, const Array& b) {
  Array out = a;
  for (std::size_t i = 0; i < out.v.size(); ++i) out.v[i] += factor * b.v[i];
  return out;
}

inline Arrays moved(const Arrays& x, Real step, const Arrays& along) {
  Arrays out;
  for (std::size_t i = 0; i < x.size(); ++i) out.push_back(scaled_sum(x[i], step, along[i]));
  return out;
}

// The derivative of f at x along a direction, by differences of fourth order: the error is
// step⁴/30 · f⁽⁵⁾.
template <class F>
Array along(const F& f, const Arrays& x, const Arrays& direction, Real step) {
  const Array right = f(moved(x, step, direction)), left = f(moved(x, -step, direction));
  const Array right2 = f(moved(x, 2 * step, direction)), left2 = f(moved(x, -2 * step, direction));
  Array out = right;
  for (std::size_t i = 0; i < out.v.size(); ++i)
    out.v[i] = (8 * (right.v[i] - left.v[i]) - (right2.v[i] - left2.v[i])) / (12 * step);
  return out;
}

inline Real dot(const Array& a, const Array& b) {
  Real sum = 0;
  for (std::size_t i = 0; i < a.v.size(); ++i) sum += a.v[i] * b.v[i];
  return sum;
}

// For every element of input i: ⟨v, derivative of f along it⟩.
template <class F>
Array projected(const F& f, const Arrays& x, std::size_t i, const Array& v, Real step) {
  Arrays unit;
  for (const Array& a : x) unit.emplace_back(a.shape);
  Array out(x[i].shape);
  for (std::size_t k = 0; k < out.v.size(); ++k) {
    const Real size = scale(x[i].v[k]);
    unit[i].v[k] = size;
    out.v[k] = dot(v, along(f, x, unit, step)) / size;
    unit[i].v[k] = 0;
  }
  return out;
}

}  // namespace samples
