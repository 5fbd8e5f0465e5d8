// References of the products of vectors and matrices.
#include <algorithm>
#include <cmath>

#include <chainrule/tests/ops/references/references.hpp>

namespace reference {

namespace {

using In = std::span<const Array>;
using Label = std::string_view;

Array dot(In in, Label) {
  Array out;
  for (std::size_t i = 0; i < in[0].v.size(); ++i) out.v[0] += in[0].v[i] * in[1].v[i];
  return out;
}

Array outer(In in, Label) {
  return generate({in[0].shape[0], in[1].shape[0]},
                  [&](const Shape& i) { return in[0].at({i[0]}) * in[1].at({i[1]}); });
}

// The last two axes exchanged.
Array turned(const Array& a) {
  const int m = a.rank() - 2, n = a.rank() - 1;
  Shape shape = a.shape;
  shape[m] = a.shape[n];
  shape[n] = a.shape[m];
  return generate(shape, [&](const Shape& index) {
    Shape from = index;
    from[m] = index[n];
    from[n] = index[m];
    return a.at(from);
  });
}

// A stack of matrices without the matrices' own axes.
Array batch_of(const Array& a) {
  Shape shape = a.shape;
  shape.erase(a.rank() - 1);
  shape.erase(a.rank() - 2);
  return Array(shape);
}

// Vectors stand for matrices of one row on the left, of one column on the right.
Array product(Array a, Array b) {
  const bool row = a.rank() == 1, column = b.rank() == 1;
  if (row) a.shape = {1, a.shape[0]};
  if (column) b.shape = {b.shape[0], 1};
  const Array batches[] = {batch_of(a), batch_of(b)};
  Shape shape = broadcast(batches);
  shape.push_back(a.shape[a.rank() - 2]);
  shape.push_back(b.shape[b.rank() - 1]);
  const std::int64_t inner = a.shape[a.rank() - 1];
  Array out = generate(shape, [&](const Shape& index) {
    const int last = index.rank() - 1;
    Shape left = index, right = index;
    Real sum = 0;
    for (std::int64_t k = 0; k < inner; ++k) {
      left[last] = right[last - 1] = k;
      // spread() takes the matrices' own axes as they are, unless their extent is 1.
      sum += a.spread(left) * b.spread(right);
    }
    return sum;
  });
  if (column) out.shape.erase(out.rank() - 1);
  if (row) out.shape.erase(out.rank() - (column ? 1 : 2));
  return out;
}

// The label says which operands are transposed.
Array matmul(In in, Label label) {
  const bool a = label.starts_with("aᵀ"), b = label.find("bᵀ") != label.npos;
  return product(a ? turned(in[0]) : in[0], b ? turned(in[1]) : in[1]);
}

Array layer(In in, Label label) {
  Array z = product(in[0], turned(in[1]));
  const std::size_t units = static_cast<std::size_t>(in[1].shape[0]);
  for (std::size_t i = 0; i < z.v.size(); ++i) {
    if (in.size() > 2) z.v[i] += in[2].v[i % units];
    if (label.starts_with("sigmoid")) z.v[i] = 1 / (1 + std::exp(-z.v[i]));
    if (label.starts_with("tanh")) z.v[i] = std::tanh(z.v[i]);
    if (label.starts_with("relu")) z.v[i] = std::max(z.v[i], Real{0});
  }
  return z;
}

constexpr Entry entries[] = {
    {"dot", dot},
    {"linear", layer},
    {"matmul", matmul},
    {"outer", outer},
};

}  // namespace

std::span<const Entry> linear() { return entries; }

}  // namespace reference
