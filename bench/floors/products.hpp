#pragma once

/// Products of row-major f32 matrices without gaps, as a program without any framework calls them.
namespace floors {

/// The library that multiplies.
enum class Engine { eigen, onednn };

/// "Eigen 3.4.0" or "oneDNN 2.6.3".
const char* name_of(Engine engine);

/// Whether this program was built with oneDNN.
bool has_onednn();

/// Which of the operands are transposed: a·b, aᵀ·b, a·bᵀ.
enum class Form { nn, tn, nt };

/// c = scale op(a)·op(b) or, with `add`, c += scale op(a)·op(b), where op(a) is (m, k), op(b)
/// (k, n), and c (m, n). One thread.
void multiply(Engine engine, Form form, int m, int n, int k, const float* a, const float* b,
              float* c, float scale = 1, bool add = false);

}  // namespace floors
