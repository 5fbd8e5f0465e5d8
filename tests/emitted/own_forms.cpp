#include <chainrule/tests/emitted/own_ops.hpp>

#include <algorithm>
#include <cmath>
#include <iterator>

#include <chainrule/chainrule.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/reduce/reduced.hpp>

// Every kind of EigenForm, with every kind of operand.

using namespace chainrule;

namespace {

// --- of two operands ---

struct Binary {
  const char* name;
  EigenForm form;
  const char* definition = "";
};

const EigenForm::Kind elementwise = EigenForm::Kind::elementwise;

// ln(eˣ + eʸ), each with other code.
const Binary binaries[] = {
    {"members_of_both",
     {.kind = elementwise,
      .array = "({0}.exp() + {1}.exp()).log()",
      .scalar = "std::log(std::exp({0}) + std::exp({1}))"}},
    {"sums_in_brackets",
     {.kind = elementwise,
      .array = "{0}.max({1}) + (-({0} - {1}).abs()).exp().log1p()",
      .scalar = "std::max({0}, {1}) + std::log1p(std::exp(-std::abs({0} - {1})))"}},
    {"chosen",
     {.kind = elementwise,
      .array = "({0}>{1}).select({0}, {1}) + (-({1} - {0}).abs()).exp().log1p()",
      .scalar = "{0}>{1}?{0} + std::log1p(std::exp({1} - {0})):"
                "{1} + std::log1p(std::exp({0} - {1}))"}},
    {"of_matrices",
     {.kind = elementwise,
      .array = "({0}.exp() + {1}.exp()).log()",
      .scalar = "std::log(std::exp({0}) + std::exp({1}))",
      .matrix = "{0}.cwiseMax({1}) + ({0} - {1}).unaryExpr([](double e) "
                "{ return std::log1p(std::exp(-std::abs(e))); })"}},
    {"by_functions",
     {.kind = EigenForm::Kind::function},
     R"(
inline double by_functions(double x, double y) { return std::log(std::exp(x) + std::exp(y)); }
inline MatrixXd by_functions(const MatrixXd& x, const MatrixXd& y) {
  return (x.array().exp() + y.array().exp()).log();
}
)"},
};

template <std::size_t which>
struct LogAddExp final : BinaryOp<LogAddExp<which>> {
  LogAddExp() : BinaryOp<LogAddExp>(binaries[which].name) {}
  static constexpr bool integers = false;
  static Node::SavedMask saved(bool, bool) {
    return Node::input(0) | Node::input(1) | Node::output;
  }
  template <class T>
  static T value(T x, T y) {
    return std::log(std::exp(x) + std::exp(y));
  }
  void vjp(Vjp& r) const override {
    for (const std::size_t i : {0, 1})
      if (r.needs(i)) r.give(i, r.g() * exp(r.in(i)-r.out()));
  }
  Tensor jvp(Jvp& r) const override {
    Tensor tangent;
    for (const std::size_t i : {0, 1})
      if (r.has(i)) add_to(tangent, r.tangent(i) * exp(r.in(i)-r.out()));
    return tangent;
  }
  EigenForm eigen(const Parameters&) const override { return binaries[which].form; }
  const char* eigen_definition() const noexcept override { return binaries[which].definition; }
  std::vector<Sample> samples() const override { return {}; }
};

// --- of one ---

struct Unary {
  const char* name;
  EigenForm form;
  const char* definition = "";
};

// x / (1 + |x|)
const Unary unaries[] = {
    {"quotient_of_arrays",
     {.kind = elementwise,
      .array = "{0} / (1.0 + {0}.abs())",
      .scalar = "{0} / (1.0 + std::abs({0}))"}},
    {"of_a_matrix",
     {.kind = elementwise,
      .array = "{0} / (1.0 + {0}.abs())",
      .scalar = "std::copysign(1.0, {0}) - {0} / (std::abs({0}) * (1.0 + std::abs({0})))",
      .matrix = "{0}.unaryExpr([](double e) { return e / (1.0 + std::abs(e)); })"}},
    {"by_function",
     {.kind = EigenForm::Kind::function},
     R"(
inline double by_function(double x) { return x / (1.0 + std::abs(x)); }
inline MatrixXd by_function(const MatrixXd& x) { return x.array() / (1.0 + x.array().abs()); }
)"},
};

template <std::size_t which>
struct Softsign final : UnaryOp<Softsign<which>> {
  Softsign() : UnaryOp<Softsign>(unaries[which].name) {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::output;
  template <class T>
  static T value(T x) {
    return x / (1 + std::abs(x));
  }
  static Tensor slope(const Application& r, Tensor g) { return g * square(1.0 - abs(r.out())); }
  EigenForm eigen(const Parameters&) const override { return unaries[which].form; }
  const char* eigen_definition() const noexcept override { return unaries[which].definition; }
  std::vector<Sample> samples() const override { return {}; }
};

// --- with boolean results ---

struct Beyond final : Op {
  Beyond() : Op("beyond") {}
  bool differentiable() const noexcept override { return false; }
  void infer(Inference& call) const override { infer_broadcast(call, boolean); }
  void evaluate(Evaluation& call) const override {
    kernels::map<bool, double, double>(call.out(), call.in(0), call.in(1),
                                       [](double x, double y) { return x > y; });
  }
  EigenForm eigen(const Parameters&) const override {
    return {.kind = EigenForm::Kind::comparison, .array = ">", .scalar = "<"};
  }
  std::vector<Sample> samples() const override { return {}; }
};

struct OnlyFirst final : Op {
  OnlyFirst() : Op("only_first") {}
  bool differentiable() const noexcept override { return false; }
  void infer(Inference& call) const override { infer_broadcast(call, boolean); }
  void evaluate(Evaluation& call) const override {
    kernels::map<bool, bool, bool>(call.out(), call.in(0), call.in(1),
                                   [](bool x, bool y) { return x && !y; });
  }
  EigenForm eigen(const Parameters&) const override {
    return {.kind = EigenForm::Kind::mask, .array = "{0} && !{1}", .scalar = "{0} && !{1}"};
  }
  std::vector<Sample> samples() const override { return {}; }
};

// --- along axes ---

// x by the root of Σ x² along an axis.
struct UnitLines final : Op {
  UnitLines() : Op("unit_lines") {}
  struct Axis {
    std::int64_t axis;
  };
  static Tensor computed(const Tensor& x, std::int64_t axis) {
    return x / sqrt(sum(square(x), axis, true));
  }
  void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
  void evaluate(Evaluation& call) const override {
    const NoGrad guard;
    kernels::copy(call.out(), *computed(call.tensor(0), call.parameters<Axis>().axis).value_ref());
  }
  Node::SavedMask reads(const Call&) const override { return Node::input(0); }
  void vjp(Vjp& r) const override {
    const std::int64_t axis = r.parameters<Axis>().axis;
    const Tensor x = r.in(0), y = computed(x, axis);
    r.give(0, (r.g() - y * sum(r.g() * y, axis, true)) / sqrt(sum(square(x), axis, true)));
  }
  EigenForm eigen(const Parameters& p) const override {
    return {.kind = EigenForm::Kind::lines, .axes = std::uint32_t{1} << p.as<Axis>().axis};
  }
  const char* eigen_definition() const noexcept override {
    return R"(
inline MatrixXd unit_lines_columns(const MatrixXd& x) { return x.colwise().normalized(); }
inline MatrixXd unit_lines_rows(const MatrixXd& x) { return x.rowwise().normalized(); }
)";
  }
  std::vector<Sample> samples() const override { return {}; }
};

struct SquaredNorm final : ReductionOp<SquaredNorm> {
  SquaredNorm() : ReductionOp("squared_norm") {}
  static constexpr bool needs_elements = false;
  DType checked(const Call& call) const { return call.in(0).dtype(); }
  static void compute(Value& out, const Ref<Value>& x, const detail::ReduceParameters& p) {
    const NoGrad guard;
    const Tensor t(x);
    kernels::copy(out, *detail::sum_mask(t * t, p.mask, p.keepdim, Where::current()).value_ref());
  }
  Node::SavedMask reads(const Call&) const override { return Node::input(0); }
  void vjp(Vjp& r) const override {
    const auto& p = r.parameters<detail::ReduceParameters>();
    r.give(0, spread(r.g(), r.shape_of(0), p) * 2.0 * r.in(0));
  }
  EigenForm eigen(const Parameters& p) const override {
    return eigen_reduction(p, "squaredNorm()");
  }
  std::vector<Sample> samples() const override { return {}; }
};

// --- functions that are not elementwise ---

// The sums of what stands before each element of a vector, or behind it, and itself.
struct RunningSum final : Op {
  bool behind;
  explicit RunningSum(bool from_behind)
      : Op(from_behind ? "running_sum_behind" : "running_sum"), behind(from_behind) {}
  static const RunningSum& of(bool behind) {
    static const RunningSum ops[] = {RunningSum(false), RunningSum(true)};
    return ops[behind ? 1 : 0];
  }
  void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
  void evaluate(Evaluation& call) const override {
    std::vector<double> sums = call.tensor(0).to_vector<double>();
    const auto add = [sum = 0.0](double& x) mutable { x = sum += x; };
    if (behind)
      std::for_each(sums.rbegin(), sums.rend(), add);
    else
      std::ranges::for_each(sums, add);
    std::ranges::copy(sums, call.out().data<double>());
  }
  void vjp(Vjp& r) const override {
    const Tensor g = r.g();
    r.give(0, apply(of(!behind), {&g}, {}, Where::current()));
  }
  EigenForm eigen(const Parameters&) const override { return {.kind = EigenForm::Kind::function}; }
  const char* eigen_definition() const noexcept override {
    return behind ? R"(
inline double running_sum_behind(double x) { return x; }
inline VectorXd running_sum_behind(VectorXd x) {
  for (Eigen::Index i = x.size() - 1; i > 0; --i) x(i - 1) += x(i);
  return x;
}
)"
                  : R"(
inline double running_sum(double x) { return x; }
inline VectorXd running_sum(VectorXd x) {
  for (Eigen::Index i = 1; i < x.size(); ++i) x(i) += x(i - 1);
  return x;
}
)";
  }
  std::vector<Sample> samples() const override { return {}; }
};

// i xᵢ, as code of arrays and doubles.
struct Weighed final : Op {
  Weighed() : Op("with_weights") {}
  static Tensor weights(const Shape& shape) {
    return reshape(arange(1, static_cast<double>(shape.numel() + 1), 1, f64), shape);
  }
  void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
  void evaluate(Evaluation& call) const override {
    const NoGrad guard;
    const Tensor x = call.tensor(0);
    kernels::copy(call.out(), *(x * weights(x.shape())).value_ref());
  }
  void vjp(Vjp& r) const override {
    const Tensor g = r.g();
    r.give(0, apply(*this, {&g}, {}, Where::current()));
  }
  EigenForm eigen(const Parameters&) const override {
    return {.kind = EigenForm::Kind::elementwise,
            .array = "{0} * Eigen::ArrayXd::LinSpaced({0}.size(), 1.0, double({0}.size()))",
            .scalar = "{0}"};
  }
  std::vector<Sample> samples() const override { return {}; }
};

// --- the operands ---

Tensor leaf(const char* name, const Shape& shape, double first) {
  const Tensor numbers = sin(arange(first, first + static_cast<double>(shape.numel()), 1, f64));
  return reshape(numbers * 0.9, shape).detach().named(name).requires_grad_();
}

struct Operands {
  Tensor m = leaf("m", {2, 3}, 1), v = leaf("v", {3}, 7), w = leaf("w", {3, 2}, 3),
         column = leaf("column", {2, 1}, 2), s = leaf("s", {}, 4), one = leaf("one", {1, 1}, 8);

  // With names and without, numbers, and views.
  std::vector<Tensor> all() const {
    return {m, v, column, s, one, tensor(-0.5, f64), m[1], w.T(), s * 2.0 - one};
  }
};

bool broadcasts(const Shape& a, const Shape& b) {
  for (int i = 1; i <= std::min(a.rank(), b.rank()); ++i) {
    const std::int64_t x = a[a.rank() - i], y = b[b.rank() - i];
    if (x != y && x != 1 && y != 1) return false;
  }
  return true;
}

// With another factor for each element, so that none stands in another's place.
Tensor weighed(const Tensor& x) {
  const Tensor weights =
      reshape(cos(arange(1, static_cast<double>(x.numel()) + 1, 1, f64)), x.shape());
  return sum(x * weights);
}

// f of every third pair that broadcasts, for other ops others: all of them take minutes to compile.
Tensor over_pairs(std::size_t which, const auto& f) {
  const std::vector<Tensor> operands = Operands().all();
  Tensor loss = tensor(0.0, f64);
  std::size_t pair = which;
  for (const Tensor& a : operands)
    for (const Tensor& b : operands)
      if (broadcasts(a.shape(), b.shape()) && (a.requires_grad() || b.requires_grad()) &&
          pair++ % 3 == 0)
        loss = loss + weighed(f(a, b));
  return loss;
}
Tensor over_all(const auto& f) {
  Tensor loss = tensor(0.0, f64);
  for (const Tensor& x : Operands().all())
    if (x.requires_grad()) loss = loss + weighed(f(x));
  return loss;
}

template <std::size_t which>
Tensor of_binary() {
  static const LogAddExp<which> op;
  return over_pairs(which,
                    [](const Tensor& a, const Tensor& b) { return op(a, b, Where::current()); });
}
template <std::size_t which>
Tensor of_unary() {
  static const Softsign<which> op;
  return over_all([](const Tensor& x) { return op(x, Where::current()); });
}

Tensor of_masks() {
  static const Beyond beyond;
  static const OnlyFirst only_first;
  const auto on = [](const Op& op, const Tensor& x, const Tensor& y) {
    return apply(op, {&x, &y}, {}, Where::current());
  };
  return over_pairs(0, [&](const Tensor& a, const Tensor& b) {
    const Tensor only = on(only_first, on(beyond, a, tensor(0.1, f64)), on(beyond, a, b));
    return where(only, a * b, a + b) + where(on(beyond, b, a), square(a), b);
  });
}

Tensor of_lines() {
  static const UnitLines lines;
  static const SquaredNorm norm;
  return over_all([](const Tensor& x) {
    const auto here = Where::current();
    Tensor all = square(norm(x, {}, false, here));
    for (int axis = 0; axis < x.shape().rank(); ++axis)
      all = all + weighed(apply(lines, {&x}, UnitLines::Axis{axis}, here)) +
            weighed(square(norm(x, axis, false, here))) +
            weighed(square(norm(x, axis, true, here)));
    return all;
  });
}

// Of what is one number in every element: their gradients of ones, and a number that is spread.
Tensor of_constants() {
  static const Weighed weighs;
  const auto on = [](const Op& op, const Tensor& x) {
    return apply(op, {&x}, {}, Where::current());
  };
  const Operands o;
  Tensor loss = tensor(0.0, f64);
  for (const Op* op : std::initializer_list<const Op*>{&RunningSum::of(false), &weighs})
    loss = loss + sum(on(*op, o.v)) + mean(on(*op, o.v * 0.3)) + weighed(on(*op, expand(o.s, {4})));
  return loss;
}

}  // namespace

std::vector<std::pair<const char*, Tensor>> own_form_losses() {
  static_assert(std::size(binaries) == 5 && std::size(unaries) == 3);
  return {{"own forms, members of both", of_binary<0>()},
          {"own forms, sums in brackets", of_binary<1>()},
          {"own forms, chosen", of_binary<2>()},
          {"own forms, of matrices", of_binary<3>()},
          {"own forms, functions of two", of_binary<4>()},
          {"own forms, quotient of arrays", of_unary<0>()},
          {"own forms, of a matrix", of_unary<1>()},
          {"own forms, functions of one", of_unary<2>()},
          {"own forms, masks", of_masks()},
          {"own forms, along axes", of_lines()},
          {"own forms, of constants", of_constants()}};
}
