#pragma once

#include <cstddef>

/// Updates of n parameters w by their gradients g, each one pass over the memory.
namespace floors {

/// w ← w − rate g.
void sgd(float* w, const float* g, std::size_t n, float rate);

/// v ← momentum v + g, w ← w − rate v.
void sgd_momentum(float* w, const float* g, float* v, std::size_t n, float rate, float momentum);

/// Adam's step number t, counted from 1, with β₁ = 0.9, β₂ = 0.999 and ε = 1e-8: m ← β₁ m +
/// (1 − β₁) g, v ← β₂ v + (1 − β₂) g², w ← w − rate m̂ / (√v̂ + ε), where m̂ = m / (1 − β₁ᵗ) and
/// v̂ = v / (1 − β₂ᵗ). D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015,
/// algorithm 1.
void adam(float* w, const float* g, float* m, float* v, std::size_t n, int t, float rate);

}  // namespace floors
