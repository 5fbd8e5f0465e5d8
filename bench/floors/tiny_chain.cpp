#include <chainrule/bench/floors/tiny_chain.hpp>

#include <cmath>

namespace floors {

namespace {

// a·b, where element (i, p) of a stands at a[i·row + p·column], and so for b.
template <class T>
Matrix4<T> product(const Matrix4<T>& a, int a_row, int a_column, const Matrix4<T>& b, int b_row,
                   int b_column) {
  Matrix4<T> c{};
  for (int i = 0; i < 4; ++i)
    for (int p = 0; p < 4; ++p)
      for (int j = 0; j < 4; ++j)
        c.at[4 * i + j] += a.at[i * a_row + p * a_column] * b.at[p * b_row + j * b_column];
  return c;
}

}  // namespace

template <class T>
T tiny_chain(const TinyChain<T>& of, int rounds, std::vector<Matrix4<T>>& tape,
             TinyChain<T>& gradients) {
  tape.clear();
  Matrix4<T> h = of.x;
  for (int round = 0; round < rounds; ++round) {
    Matrix4<T> sum, s;
    for (int i = 0; i < 16; ++i) sum.at[i] = h.at[i] + of.b.at[i];
    for (int i = 0; i < 16; ++i) s.at[i] = T{1} / (T{1} + std::exp(-sum.at[i] * of.m.at[i]));
    h = product(s, 4, 1, of.w, 4, 1);
    tape.push_back(sum);
    tape.push_back(s);
  }
  T total = 0;
  for (T each : h.at) total += each;

  gradients = {};
  Matrix4<T> g;
  for (T& each : g.at) each = 1;
  for (int round = rounds; round-- > 0;) {
    const Matrix4<T>& sum = tape[static_cast<std::size_t>(2 * round)];
    const Matrix4<T>& s = tape[static_cast<std::size_t>(2 * round + 1)];
    const Matrix4<T> dw = product(s, 1, 4, g, 4, 1);     // sᵀ·g
    const Matrix4<T> ds = product(g, 4, 1, of.w, 1, 4);  // g·wᵀ
    for (int i = 0; i < 16; ++i) {
      const T du = ds.at[i] * s.at[i] * (1 - s.at[i]);
      gradients.w.at[i] += dw.at[i];
      gradients.m.at[i] += du * sum.at[i];
      g.at[i] = du * of.m.at[i];
      gradients.b.at[i] += g.at[i];
    }
  }
  gradients.x = g;
  return total;
}

template float tiny_chain(const TinyChain<float>&, int, std::vector<Matrix4<float>>&,
                          TinyChain<float>&);
template double tiny_chain(const TinyChain<double>&, int, std::vector<Matrix4<double>>&,
                           TinyChain<double>&);

}  // namespace floors
