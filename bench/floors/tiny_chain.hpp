#pragma once

#include <vector>

/// The chain of bench/tiny_ops on plain arrays: no tensors, no graph, a tape of what the derivative
/// needs. In f64 it is the reference for the gradients, in f32 what the arithmetic alone costs.
namespace floors {

/// A 4×4 matrix, row-major.
template <class T>
struct Matrix4 {
  T at[16];
};

/// The input and the three parameters of the chain, or the gradients for them.
template <class T>
struct TinyChain {
  Matrix4<T> x, b, m, w;
};

/// h₀ = x, h ← σ((h + b) ⊗ m)·w, `rounds` times (four operations each); returns Σ h. Fills
/// `gradients`. `tape` is scratch that keeps its memory from call to call.
template <class T>
T tiny_chain(const TinyChain<T>& of, int rounds, std::vector<Matrix4<T>>& tape,
             TinyChain<T>& gradients);

}  // namespace floors
