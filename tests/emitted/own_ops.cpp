#include <chainrule/tests/emitted/own_ops.hpp>

#include <cmath>

#include <chainrule/chainrule.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/reduce/reduced.hpp>

using namespace chainrule;

namespace {

enum class Written { elementwise, function, in_simpler_operations };

// φ(z) = z / (1 + |z|), and its slope g ⊗ (1 − |y|)² of g and y = φ(z), of which the code is said
// in each of the three ways.
template <Written how>
struct SoftsignSlope final : BinaryOp<SoftsignSlope<how>> {
  static constexpr const char* names[] = {"softsign_slope_a", "softsign_slope_b",
                                          "softsign_slope_c"};
  SoftsignSlope() : BinaryOp<SoftsignSlope>(names[static_cast<int>(how)]) {}
  static constexpr bool integers = false;
  static Node::SavedMask saved(bool, bool) { return Node::input(0) | Node::input(1); }
  template <class T>
  static T value(T g, T y) {
    return g * (1 - std::abs(y)) * (1 - std::abs(y));
  }
  Role role(const Parameters&) const override;
  void vjp(Vjp& r) const override {
    const Tensor y = r.in(1), u = 1.0 - abs(y);
    if (r.needs(0)) r.give(0, r.g() * u * u);
    if (r.needs(1)) r.give(1, -2.0 * r.g() * r.in(0) * u * sign(y));
  }
  Tensor jvp(Jvp& r) const override {
    const Tensor u = 1.0 - abs(r.in(1));
    Tensor tangent;
    if (r.has(0)) add_to(tangent, r.tangent(0) * u * u);
    if (r.has(1)) add_to(tangent, -2.0 * r.tangent(1) * r.in(0) * u * sign(r.in(1)));
    return tangent;
  }
  EigenForm eigen(const Parameters&) const override {
    if (how == Written::elementwise)
      return {.kind = EigenForm::Kind::elementwise,
              .array = "{0} * (1.0 - {1}.abs()).square()",
              .scalar = "{0} * (1 - std::abs({1})) * (1 - std::abs({1}))"};
    return {.kind = how == Written::function ? EigenForm::Kind::function : EigenForm::Kind::none};
  }
  const char* eigen_definition() const noexcept override {
    return how != Written::function ? "" : R"(
inline double softsign_slope_b(double g, double y) {
  return g * (1 - std::abs(y)) * (1 - std::abs(y));
}
inline MatrixXd softsign_slope_b(const MatrixXd& g, const MatrixXd& y) {
  return g.array() * (1 - y.array().abs()).square();
}
)";
  }
  Tensor written_out(const Node&, std::span<const Tensor> in) const override {
    if (how != Written::in_simpler_operations) return {};
    return in[0] * square(1.0 - abs(in[1]));
  }
  std::vector<Sample> samples() const override { return {}; }
};

template <Written how>
struct Softsign final : UnaryOp<Softsign<how>> {
  static constexpr const char* names[] = {"softsign_a", "softsign_b", "softsign_c"};
  Softsign() : UnaryOp<Softsign>(names[static_cast<int>(how)]) {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::output;
  template <class T>
  static T value(T x) {
    return x / (1 + std::abs(x));
  }
  static Tensor slope(const Application& r, Tensor g);
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("unaryExpr([](double e) { return e / (1 + std::abs(e)); })",
                             "{0} / (1 + std::abs({0}))");
  }
  std::vector<Sample> samples() const override { return {}; }
};

template <Written how>
const Softsign<how> softsign;
template <Written how>
const SoftsignSlope<how> softsign_slope;
template <Written how>
Role SoftsignSlope<how>::role(const Parameters&) const {
  return Role::slope_of(softsign<how>);
}
template <Written how>
Tensor Softsign<how>::slope(const Application& r, Tensor g) {
  return softsign_slope<how>(g, r.out(), r.where());
}

// Slopes at tensors of every kind of shape, with and without a factor in front of them.
template <Written how>
Tensor slopes_loss() {
  Tensor loss = tensor(0.0, f64);
  for (const Shape& shape : {Shape{3, 1}, Shape{1, 3}, Shape{3}, Shape{3, 2}, Shape{2, 2}, Shape{},
                             Shape{1, 1}, Shape{1}}) {
    const Tensor z =
        reshape(sin(arange(1, shape.numel() + 1, 1, f64)) * 2.0, shape).requires_grad_();
    loss = loss + sum(softsign<how>(z, Where::current())) +
           sum(square(softsign<how>(z * 0.5, Where::current())));
  }
  return loss;
}

// --- operations of which only the role says the code ---

template <Role::Kind kind>
struct ByRole final : UnaryOp<ByRole<kind>> {
  static constexpr bool squares = kind == Role::Kind::square,
                        takes_log = kind == Role::Kind::logarithm;
  ByRole() : UnaryOp<ByRole>(squares ? "my_square" : takes_log ? "my_log" : "my_exp") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::input(0);
  template <class T>
  static T value(T x) {
    return squares ? x * x : takes_log ? std::log(x) : std::exp(x);
  }
  static Tensor slope(const Application& r, Tensor g) {
    const Tensor x = r.in(0);
    return squares ? 2.0 * g * x : takes_log ? g / x : g * exp(x);
  }
  Role role(const Parameters&) const override { return kind; }
  std::vector<Sample> samples() const override { return {}; }
};

template <Role::Kind kind>
struct MyReduction final : ReductionOp<MyReduction<kind>, LinearMap<MyReduction<kind>>> {
  static constexpr bool averages = kind == Role::Kind::mean;
  using Base = ReductionOp<MyReduction, LinearMap<MyReduction>>;
  MyReduction() : Base(averages ? "my_mean" : "my_sum") {}
  Role role(const Parameters&) const override { return kind; }
  static constexpr bool needs_elements = false;
  DType checked(const Call& call) const { return call.in(0).dtype(); }
  static void compute(Value& out, const Ref<Value>& x, const detail::ReduceParameters& p) {
    mean_into(out, *x, p.mask);
    const double scale = averages ? 1 : static_cast<double>(reduced_count(x->shape(), p.mask));
    for (std::int64_t i = 0; i < out.numel(); ++i) out.data<double>()[i] *= scale;
  }
  Tensor adjoint(const Application& r, const Tensor& g) const {
    const auto& p = r.parameters<detail::ReduceParameters>();
    const Shape shape = r.shape_of(0);
    return spread(averages ? g / static_cast<double>(reduced_count(shape, p.mask)) : g, shape, p);
  }
  std::vector<Sample> samples() const override { return {}; }
};

// Σ x³, over axes, by a function of its own: of one element, too.
struct SumOfCubes final : ReductionOp<SumOfCubes> {
  SumOfCubes() : ReductionOp("sum_of_cubes") {}
  static constexpr bool needs_elements = false;
  DType checked(const Call& call) const { return call.in(0).dtype(); }
  static void compute(Value& out, const Ref<Value>& x, const detail::ReduceParameters& p) {
    const NoGrad guard;
    const Tensor t(x), cubes = detail::sum_mask(t * t * t, p.mask, p.keepdim, Where::current());
    for (std::int64_t i = 0; i < out.numel(); ++i)
      out.data<double>()[i] = cubes.to_vector<double>()[static_cast<std::size_t>(i)];
  }
  Node::SavedMask reads(const Call&) const override { return Node::input(0); }
  void vjp(Vjp& r) const override {
    const auto& p = r.parameters<detail::ReduceParameters>();
    r.give(0, spread(r.g(), r.shape_of(0), p) * 3.0 * square(r.in(0)));
  }
  EigenForm eigen(const Parameters& p) const override { return eigen_reduction(p); }
  const char* eigen_definition() const noexcept override {
    return R"(
inline double sum_of_cubes(const MatrixXd& m) { return m.array().cube().sum(); }
inline MatrixXd sum_of_cubes_columns(const MatrixXd& m) {
  return m.array().cube().colwise().sum();
}
inline MatrixXd sum_of_cubes_rows(const MatrixXd& m) { return m.array().cube().rowwise().sum(); }
)";
  }
  std::vector<Sample> samples() const override { return {}; }
};

Tensor roles_loss() {
  static const ByRole<Role::Kind::square> my_square;
  static const ByRole<Role::Kind::exponential> my_exp;
  static const ByRole<Role::Kind::logarithm> my_log;
  static const MyReduction<Role::Kind::total> my_sum;
  static const MyReduction<Role::Kind::mean> my_mean;
  static const SumOfCubes sum_of_cubes;
  const auto where = Where::current();
  const Tensor x = tensor({{0.5, 2.0, 1.5}, {1.1, 0.3, 0.9}}, f64).requires_grad_().named("x");
  const Tensor one = tensor(0.7, f64).requires_grad_().named("one");
  Tensor loss = tensor(0.0, f64);
  for (const Tensor& t : {x, one, tensor({0.2, 0.4}, f64).requires_grad_().named("v")})
    loss = loss + sum(my_square(t, where) + 2.0 * my_exp(t, where) + 3.0 * my_log(t, where)) +
           square(my_sum(t, {}, false, where)) + square(my_mean(t, {}, false, where)) +
           square(sum_of_cubes(t, {}, false, where));
  for (const bool keepdim : {false, true})
    for (const int axis : {0, 1})
      loss = loss + sum(square(my_sum(x, axis, keepdim, where))) +
             sum(square(my_mean(x, axis, keepdim, where))) +
             sum(square(sum_of_cubes(x, axis, keepdim, where)));
  return loss;
}

}  // namespace

std::vector<std::pair<const char*, Tensor>> own_op_losses() {
  return {{"own slopes, elementwise", slopes_loss<Written::elementwise>()},
          {"own slopes, functions", slopes_loss<Written::function>()},
          {"own slopes, written out", slopes_loss<Written::in_simpler_operations>()},
          {"own ops by their roles", roles_loss()}};
}
