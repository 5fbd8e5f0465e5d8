#include <chainrule/ops/linalg/matmul.hpp>

#include <fmt/format.h>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/kernels/linalg/gemm.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule {

namespace {

using detail::input;

// One operand of a product: its matrices, and the axes in front of them.
struct Side {
  const Value& value;
  std::int64_t rows, columns, row_step, column_step;
  int batch_rank;

  // A vector is a row on the left side, and a column on the right one.
  Side(const Value& v, bool left, bool transposed = false) : value(v) {
    const std::int64_t *dims = v.dims(), *strides = v.strides();
    const int last = v.rank() - 1;
    if (v.rank() == 1) {
      rows = left ? 1 : dims[0];
      columns = left ? dims[0] : 1;
      row_step = left ? 0 : strides[0];
      column_step = left ? strides[0] : 0;
    } else {
      rows = dims[last - 1];
      columns = dims[last];
      row_step = strides[last - 1];
      column_step = strides[last];
    }
    if (transposed) {
      std::swap(rows, columns);
      std::swap(row_step, column_step);
    }
    batch_rank = std::max(v.rank() - 2, 0);
  }

  template <class T>
  kernels::MatrixView<T> view(std::int64_t offset = 0) const {
    return {value.data<T>() + offset, row_step, column_step};
  }
};

template <class T>
void multiply_all(const Side& a, const Side& b, std::span<const std::int64_t> batch, Value& out) {
  T* z = out.data<T>();
  const std::int64_t m = a.rows, n = b.columns, k = a.columns;
  if (batch.empty()) return kernels::gemm<T>(m, n, k, a.view<T>(), b.view<T>(), z);
  std::int64_t count = 1;
  for (const std::int64_t extent : batch) count *= extent;
  if (b.batch_rank == 0 && a.value.contiguous() && a.column_step == 1 && a.row_step == k)
    // One tall product instead of many.
    return kernels::gemm<T>(m * count, n, k, {a.value.data<T>(), k, 1}, b.view<T>(), z);
  const int batch_rank = static_cast<int>(batch.size());
  std::int64_t index[max_rank] = {};
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t offset[2] = {0, 0};
    const Side* sides[2] = {&a, &b};
    for (int s = 0; s < 2; ++s)
      for (int axis = 0; axis < sides[s]->batch_rank; ++axis) {
        const std::int64_t at = index[axis + batch_rank - sides[s]->batch_rank];
        if (sides[s]->value.dims()[axis] != 1) offset[s] += at * sides[s]->value.strides()[axis];
      }
    kernels::gemm<T>(m, n, k, a.view<T>(offset[0]), b.view<T>(offset[1]), z + i * m * n);
    for (int axis = batch_rank - 1;
         axis >= 0 && ++index[axis] == batch[static_cast<std::size_t>(axis)]; --axis)
      index[axis] = 0;
  }
}

void multiply(const Side& a, const Side& b, std::span<const std::int64_t> batch, Value& out) {
  if (out.dtype() == f32)
    multiply_all<float>(a, b, batch, out);
  else
    multiply_all<double>(a, b, batch, out);
}

constexpr const char* inner_differ = "inner dimensions differ";

[[noreturn]] void bad_shapes(const char* what, const Tensor& a, const Tensor& b,
                             const Where& where) {
  const Shape x = a.shape(), y = b.shape();
  const auto named = [](const Tensor& t, const char* other) {
    return t.name().empty() ? std::string(other) : std::string(t.name());
  };
  const std::string left = named(a, "a"), right = named(b, "b");
  std::string hint;
  if (x.empty() || y.empty())
    hint = "multiply by a number with *";
  else if (x.rank() >= 2 && y.rank() >= 2 && x.back() == y.back() && y[y.rank() - 2] != y.back())
    hint = fmt::format("{1} has one row per sample? use matmul({1}, {0}.T()), or pass {1}.T()",
                       left, right);
  else if (x.rank() == 2 && y.rank() >= 1 && x[0] == y[std::max(y.rank() - 2, 0)])
    hint = fmt::format("the first operand fits transposed: matmul({}.T(), {})", left, right);
  else if (what == inner_differ)
    hint = fmt::format("the last axis of {} is as long as the {} of {}", left,
                       y.rank() == 1 ? "only one" : "last but one", right);
  else
    hint = "axes in front of the matrices are equal, 1, or missing";
  throw ShapeError(fmt::format("matmul: {}: {} · {}", what, describe(a), describe(b)), where, hint);
}

Shape batch_shape(const Tensor& a, const Tensor& b, const Where& where) {
  const Value &x = *a.value_ref(), &y = *b.value_ref();
  const int p = std::max(x.rank() - 2, 0), q = std::max(y.rank() - 2, 0);
  Shape batch;
  for (int i = std::max(p, q); i > 0; --i) {
    const std::int64_t left = i <= p ? x.dims()[p - i] : 1, right = i <= q ? y.dims()[q - i] : 1;
    if (left != right && left != 1 && right != 1)
      bad_shapes("batch axes do not broadcast", a, b, where);
    batch.push_back(left == 1 ? right : left);
  }
  return batch;
}

struct MatmulParameters {
  std::uint32_t a_transposed = 0, b_transposed = 0;  // 0 or 1
};

Tensor as_column(const Tensor& x) { return unsqueeze(x, -1); }
Tensor as_row(const Tensor& x) { return unsqueeze(x, -2); }

// The product of a and b, each transposed or not: operands of any rank when neither is, else
// matrices.
Tensor product(const Tensor& a, bool a_transposed, const Tensor& b, bool b_transposed,
               const Where& where = Where::current());

// The same as the gradient of an operand, laid out in memory as that node likes it.
Tensor product_for(const Node& node, const Tensor& a, bool a_transposed, const Tensor& b,
                   bool b_transposed) {
  if (detail::is_transpose(node)) return transpose(product(b, !b_transposed, a, !a_transposed));
  return product(a, a_transposed, b, b_transposed);
}

// out += a·b for matrices.
void add_product(Value& out, const Tensor& a, bool a_transposed, const Tensor& b,
                 bool b_transposed) {
  const Side left(*a.value_ref(), true, a_transposed), right(*b.value_ref(), false, b_transposed);
  visit_floating(out.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels::gemm<T>(left.rows, right.columns, left.columns, left.template view<T>(),
                     right.template view<T>(), out.data<T>(), kernels::Result::added_to);
  });
}

// dA where a or b is a vector, which takes part as a row on the left and as a column on the right.
Tensor gradient_with_vector_left(const Tensor& g, const Tensor& b, int a_rank,
                                 const MatmulParameters& p) {
  if (b.rank() != 1) return squeeze(product(as_row(g), false, b, !p.b_transposed), -2);
  if (a_rank == 1) return g * b;
  const Tensor gradient = as_column(g) * b;
  return p.a_transposed ? transpose(gradient) : gradient;
}

// dB in the same case.
Tensor gradient_with_vector_right(const Tensor& g, const Tensor& a, int b_rank,
                                  const MatmulParameters& p) {
  if (a.rank() != 1) return squeeze(product(a, !p.a_transposed, as_column(g), false), -1);
  if (b_rank == 1) return g * a;
  const Tensor gradient = as_column(a) * as_row(g);
  return p.b_transposed ? transpose(gradient) : gradient;
}

// The gradient of either operand is made with the other one.
Node::SavedMask reads_the_other(const Call& call) {
  return (call.needs_grad(0) ? input(1) : 0) | (call.needs_grad(1) ? input(0) : 0);
}

class Matmul final : public Op {
 public:
  Matmul() : Op("matmul", "{0}·{1}") {}
  bool follows_names() const noexcept override { return true; }

  // The same as apply(), for two matrices without a detour.
  Tensor operator()(const Tensor& a, const Tensor& b, const MatmulParameters& p,
                    const Where& where) const {
    const Tensor* const inputs[] = {&a, &b};
    if (!a.defined() || !b.defined() || a.value_ref()->rank() != 2 || b.value_ref()->rank() != 2)
      return apply(*this, inputs, p, where);
    const Call call(*this, inputs, p, where);
    const Value &x = *a.value_ref(), &y = *b.value_ref();
    check_dtypes(name(), a, b, false, where);
    const Side left(x, true, p.a_transposed), right(y, false, p.b_transposed);
    if (left.columns != right.rows) bad_shapes(inner_differ, a, b, where);
    const std::int64_t dims[] = {left.rows, right.columns};
    Ref<Value> out = make_result(name(), x.dtype(), dims, 2, where);
    detail::naming_memory(name(), where, [&] { multiply(left, right, {}, *out); });
    return finish(*this, call, std::move(out));
  }

  void infer(Inference& call) const override {
    const Value &x = call.in(0), &y = call.in(1);
    const Tensor &a = call.tensor(0), &b = call.tensor(1);
    const Where& where = call.where();
    check_dtypes(name(), a, b, false, where);
    if (x.rank() == 0 || y.rank() == 0) bad_shapes("an operand is a scalar", a, b, where);
    const auto& p = call.parameters<MatmulParameters>();
    const Side left(x, true, p.a_transposed), right(y, false, p.b_transposed);
    if (left.columns != right.rows) bad_shapes(inner_differ, a, b, where);
    Shape shape;
    if (x.rank() > 2 || y.rank() > 2) shape = batch_shape(a, b, where);
    if (x.rank() > 1) shape.push_back(left.rows);
    if (y.rank() > 1) shape.push_back(right.columns);
    call.output(x.dtype(), shape);
  }
  void evaluate(Evaluation& call) const override {
    const Value &x = call.in(0), &y = call.in(1);
    Value& out = call.out();
    const auto& p = call.parameters<MatmulParameters>();
    const Side left(x, true, p.a_transposed), right(y, false, p.b_transposed);
    const int batch_rank = std::max(left.batch_rank, right.batch_rank);
    multiply(left, right, {out.dims(), static_cast<std::size_t>(batch_rank)}, out);
  }
  Node::SavedMask reads(const Call& call) const override { return reads_the_other(call); }

  // With g (…, m, n), dA (…, m, k) = g·Bᵀ and dB (…, k, n) = Aᵀ·g, where a transposed operand has a
  // transposed gradient; the traversal sums over batch axes that were broadcast.
  void vjp(Vjp& r) const override {
    const auto [ta, tb] = flags(r);
    if (r.needs(0)) {
      const Tensor& b = r.in(1);
      if (b.rank() == 1 || r.rank_of(0) == 1)
        r.give(0, gradient_with_vector_left(r.g(), b, r.rank_of(0), flags(r)));
      else
        ta ? detail::give_product(r, 0, b, tb, r.g(), true)
           : detail::give_product(r, 0, r.g(), false, b, !tb);
    }
    if (r.needs(1)) {
      const Tensor& a = r.in(0);
      if (a.rank() == 1 || r.rank_of(1) == 1)
        r.give(1, gradient_with_vector_right(r.g(), a, r.rank_of(1), flags(r)));
      else
        tb ? detail::give_product(r, 1, r.g(), true, a, ta)
           : detail::give_product(r, 1, a, !ta, r.g(), false);
    }
  }
  Tensor jvp(Jvp& r) const override {
    const auto times = [p = flags(r)](const Tensor& a, const Tensor& b) {
      return product(a, p.a_transposed, b, p.b_transposed);
    };
    if (!r.has(0)) return times(r.in(0), r.tangent(1));
    if (!r.has(1)) return times(r.tangent(0), r.in(1));
    return times(r.tangent(0), r.in(1)) + times(r.in(0), r.tangent(1));
  }

  Role role(const Parameters& parameters) const override {
    const auto& p = parameters.as<MatmulParameters>();
    Role role = Role::Kind::matrix_product;
    role.transposed[0] = p.a_transposed;
    role.transposed[1] = p.b_transposed;
    return role;
  }
  std::string written(const Node& node) const override {
    const auto& p = node.parameters<MatmulParameters>();
    return fmt::format("{{0}}{}·{{1}}{}", p.a_transposed ? "ᵀ" : "", p.b_transposed ? "ᵀ" : "");
  }
  std::vector<Sample> samples() const override {
    std::vector<Sample> samples;
    add_samples<false, false>(samples, "");
    add_samples<true, false>(samples, "aᵀ·b: ");
    add_samples<false, true>(samples, "a·bᵀ: ");
    add_samples<true, true>(samples, "aᵀ·bᵀ: ");
    return samples;
  }

 private:
  static const MatmulParameters& flags(const Application& r) {
    return r.parameters<MatmulParameters>();
  }

  template <bool ta, bool tb>
  static void add_samples(std::vector<Sample>& samples, const std::string& how) {
    const Tensor m23 = tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64);
    const Tensor m32 = tensor({{1.2, -0.8}, {0.3, 1.7}, {-1.1, 0.5}}, f64);
    const Tensor cube =
        tensor({{{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, {{1.2, 0.8, -1.7}, {2.3, -0.9, 1.1}}}, f64);
    const auto apply = [](std::span<const Tensor> in) { return product(in[0], ta, in[1], tb); };
    const Tensor a = ta ? m32 : m23, b = tb ? m23 : m32;
    const auto add = [&](const char* label, const Tensor& x, const Tensor& y) {
      samples.push_back({how + label, {x, y}, apply});
    };
    add("matrix matrix", a, b);
    add("batch matrix", ta ? transpose(cube) : cube, b);
    add("matrix batch", a, tb ? cube : transpose(cube));
    add("batch batch, broadcast", ta ? transpose(cube) : cube, unsqueeze(b, 0));
    add("no inner extent", zeros(ta ? Shape{0, 2} : Shape{2, 0}, f64),
        zeros(tb ? Shape{3, 0} : Shape{0, 3}, f64));
    if (ta || tb) return;
    const Tensor v3 = tensor({-0.6, 1.4, 0.9}, f64), v2 = tensor({0.8, -1.5}, f64);
    add("matrix vector", m23, v3);
    add("vector matrix", v2, m23);
    add("vector vector", v3, v3);
    add("batch vector", cube, v3);
    add("vector batch", v2, cube);
  }
};
CHAINRULE_EARLY const Matmul matmul_op;

Tensor product(const Tensor& a, bool a_transposed, const Tensor& b, bool b_transposed,
               const Where& where) {
  return matmul_op(a, b, {a_transposed, b_transposed}, where);
}

void check_vectors(const char* op, const Tensor& a, const Tensor& b, const Where& where) {
  check_dtypes(op, a, b, false, where);
  if (a.rank() == 1 && b.rank() == 1) return;
  throw ShapeError(
      fmt::format("{}: vectors are needed, but got {} and {}", op, describe(a), describe(b)), where,
      "flatten(x) makes a vector; matmul(a, b) multiplies matrices");
}

struct Dot final : Op {
  Dot() : Op("dot", "{0}ᵀ·{1}") {}

  void infer(Inference& call) const override {
    const Value &x = call.in(0), &y = call.in(1);
    check_vectors(name(), call.tensor(0), call.tensor(1), call.where());
    if (x.numel() != y.numel())
      throw ShapeError(fmt::format("dot: lengths differ: {} and {}", describe(call.tensor(0)),
                                   describe(call.tensor(1))),
                       call.where(), "dot multiplies element by element; matmul takes matrices");
    call.output(x.dtype(), Shape());
  }
  void evaluate(Evaluation& call) const override {
    multiply(Side(call.in(0), true), Side(call.in(1), false), {}, call.out());
  }
  Node::SavedMask reads(const Call& call) const override { return reads_the_other(call); }
  Role role(const Parameters&) const override { return Role::Kind::inner_product; }
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, r.g() * r.in(1));
    if (r.needs(1)) r.give(1, r.g() * r.in(0));
  }
  Tensor jvp(Jvp& r) const override {
    if (!r.has(0)) return dot(r.in(0), r.tangent(1));
    if (!r.has(1)) return dot(r.tangent(0), r.in(1));
    return dot(r.tangent(0), r.in(1)) + dot(r.in(0), r.tangent(1));
  }
  std::vector<Sample> samples() const override {
    const auto apply = [](std::span<const Tensor> in) { return dot(in[0], in[1]); };
    return {{"three", {tensor({-0.6, 1.4, 0.9}, f64), tensor({1.1, 0.2, -0.7}, f64)}, apply},
            {"empty", {zeros({0}, f64), zeros({0}, f64)}, apply}};
  }
};
CHAINRULE_EARLY const Dot dot_op;

struct Outer final : Op {
  Outer() : Op("outer", "{0}·{1}ᵀ") {}

  void infer(Inference& call) const override {
    const Value &x = call.in(0), &y = call.in(1);
    check_vectors(name(), call.tensor(0), call.tensor(1), call.where());
    call.output(x.dtype(), {x.numel(), y.numel()});
  }
  void evaluate(Evaluation& call) const override {
    const Value &x = call.in(0), &y = call.in(1);
    visit_floating(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T *p = x.data<T>(), *q = y.data<T>();
      const std::int64_t rows = x.numel(), columns = y.numel();
      const std::int64_t p_step = x.strides()[0], q_step = y.strides()[0];
      T* __restrict to = call.out().template data<T>();
      for (std::int64_t i = 0; i < rows; ++i)
        for (std::int64_t j = 0; j < columns; ++j)
          to[i * columns + j] = p[i * p_step] * q[j * q_step];
    });
  }
  Node::SavedMask reads(const Call& call) const override { return reads_the_other(call); }
  Role role(const Parameters&) const override { return Role::Kind::outer_product; }
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, matmul(r.g(), r.in(1)));
    if (r.needs(1)) r.give(1, matmul(transpose(r.g()), r.in(0)));
  }
  Tensor jvp(Jvp& r) const override {
    if (!r.has(0)) return outer(r.in(0), r.tangent(1));
    if (!r.has(1)) return outer(r.tangent(0), r.in(1));
    return outer(r.tangent(0), r.in(1)) + outer(r.in(0), r.tangent(1));
  }
  std::vector<Sample> samples() const override {
    const auto apply = [](std::span<const Tensor> in) { return outer(in[0], in[1]); };
    return {{"three by two", {tensor({-0.6, 1.4, 0.9}, f64), tensor({1.1, 0.2}, f64)}, apply},
            {"empty", {zeros({0}, f64), tensor({1.1, 0.2}, f64)}, apply}};
  }
};
CHAINRULE_EARLY const Outer outer_op;

}  // namespace

Tensor detail::product(const Tensor& a, bool a_transposed, const Tensor& b, bool b_transposed,
                       const Where& where) {
  return chainrule::product(a, a_transposed, b, b_transposed, where);
}

void detail::give_product(Vjp& r, std::size_t i, const Tensor& a, bool a_transposed,
                          const Tensor& b, bool b_transposed) {
  if (a.value_ref()->rank() == 2 && b.value_ref()->rank() == 2)
    if (Value* sum = r.sum_of(i)) return add_product(*sum, a, a_transposed, b, b_transposed);
  r.give(i, product_for(*r.node().inputs()[i], a, a_transposed, b, b_transposed));
}

Tensor matmul(const Tensor& a, const Tensor& b, Where where) {
  return product(a, false, b, false, where);
}
Tensor dot(const Tensor& a, const Tensor& b, Where where) {
  return apply(dot_op, {&a, &b}, {}, where);
}
Tensor outer(const Tensor& a, const Tensor& b, Where where) {
  return apply(outer_op, {&a, &b}, {}, where);
}

}  // namespace chainrule
