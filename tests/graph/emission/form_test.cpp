// What an op says of its code is an error that names it, where it cannot be.
#include <doctest/doctest.h>

#include <algorithm>
#include <regex>
#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/emission/emit.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/kernels/reduce/reduce.hpp>
#include <chainrule/ops/reduce/reduced.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

// Σ x² over the rows, whose code is what a test says.
struct Squares final : Op {
  EigenForm form;
  explicit Squares(EigenForm said) : Op("squares"), form(std::move(said)) {}
  void infer(Inference& call) const override { call.output(f64, {call.in(0).dims()[1]}); }
  void evaluate(Evaluation& call) const override {
    const NoGrad guard;
    const std::vector<double> sums = sum(square(call.tensor(0)), 0).to_vector<double>();
    for (std::size_t i = 0; i < sums.size(); ++i) call.out().data<double>()[i] = sums[i];
  }
  Node::SavedMask reads(const Call&) const override { return Node::input(0); }
  void vjp(Vjp& r) const override { r.give(0, 2.0 * r.g() * r.in(0)); }
  EigenForm eigen(const Parameters&) const override { return form; }
  const char* eigen_definition() const noexcept override {
    return "inline double squares(const MatrixXd& x) { return x.squaredNorm(); }\n";
  }
  std::vector<Sample> samples() const override { return {}; }
};

std::string refusal(const EigenForm& form) {
  const Squares op(form);
  const Tensor x = tensor({{0.5, -1.0, 2.0}, {1.5, 0.1, -0.7}}, f64).requires_grad_().named("x");
  const Tensor loss = sum(apply(op, {&x}, {}, Where::current()));
  return error_of<ValueError>([&] { emit_cpp(loss); });
}

}  // namespace

TEST_CASE("emit_cpp: code that cannot be is an error that names the op, the line and the remedy") {
  using enum EigenForm::Kind;
  const std::string undefined = refusal({.kind = reduction, .axes = 1});
  CAPTURE(undefined);
  CHECK(
      undefined.starts_with("emit_cpp: the eigen() of squares needs a function squares_columns, "
                            "which its eigen_definition() does not define\n  at "));
  CHECK(undefined.find("form_test.cpp:") != std::string::npos);
  CHECK(undefined.find("written_out()") != std::string::npos);
  CHECK(refusal({.kind = reduction, .array = "squaredNorm()", .axes = 2})
            .starts_with("emit_cpp: the eigen() of squares says a reduction that leaves (2,) of "
                         "(2, 3), but the result has (3,)\n"));
  CHECK(refusal({.kind = lines, .axes = 1})
            .starts_with("emit_cpp: the eigen() of squares says lines of (2, 3), but the result "
                         "has (3,)\n"));
  CHECK(
      refusal({.kind = elementwise, .array = "{0}.square()", .scalar = "{0} * {0}"})
          .starts_with("emit_cpp: the eigen() of squares says elementwise, but the result (3,) is "
                       "not what (2, 3) broadcast to\n"));
  CHECK(refusal({.kind = elementwise, .array = "{0} * {1}", .scalar = "{0}"})
            .starts_with("emit_cpp: the eigen() of squares names {1}, and the op has 1 operand\n"));
  CHECK(refusal({.kind = comparison, .array = "<", .scalar = ">"})
            .starts_with("emit_cpp: the eigen() of squares names {1}, and the op has 1 operand\n"));
}

namespace {

// Σ x², or Σ x or mean of x without a code of its own, over the axes of the parameters.
struct OwnReduction final : ReductionOp<OwnReduction> {
  Role what;
  explicit OwnReduction(Role said) : ReductionOp("own_reduction"), what(said) {}
  static constexpr bool needs_elements = false;
  DType checked(const Call& call) const { return call.in(0).dtype(); }
  Role role(const Parameters&) const override { return what; }
  EigenForm eigen(const Parameters& p) const override {
    return what.is(Role::Kind::other) ? eigen_reduction(p, "squaredNorm()") : EigenForm{};
  }
  static void compute(Value& out, const Ref<Value>& x, const detail::ReduceParameters& p) {
    kernels::reduce(kernels::Fold::sum, out, *x, p.mask);
  }
  void vjp(Vjp& r) const override {
    r.give(0, spread(r.g(), r.shape_of(0), r.parameters<detail::ReduceParameters>()));
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("emit_cpp: a sum of one's own may be over an axis of extent 1, that goes or stays") {
  const OwnReduction total(Role::Kind::total);
  for (const Shape& shape : {Shape{1, 3}, Shape{3, 1}, Shape{1, 1}, Shape{2, 3}})
    for (const std::int64_t axis : {0, 1})
      for (const bool keepdim : {false, true}) {
        CAPTURE(to_string(shape));
        CAPTURE(axis);
        CAPTURE(keepdim);
        const Tensor x = full(shape, 0.5, f64).requires_grad_().named("x");
        const auto code = [&](const auto& sum_of) {
          const Tensor loss = sum(square(sum_of(x, axis, keepdim, Where::current())));
          return std::regex_replace(emit_cpp(loss).header, std::regex("// .*"), "");
        };
        // What stays is its operand: the op's own parameters are not known to say so.
        if (keepdim)
          CHECK_NOTHROW(code(total));
        else
          CHECK(code(total) == code(sum));
      }
}

TEST_CASE("emit_cpp: a member of matrices is asked of a matrix") {
  const OwnReduction squares(Role::Kind::other);
  const Tensor x = tensor({{0.5, -1.0}, {1.5, 0.1}}, f64).requires_grad_().named("x"),
               b = tensor({2.0, 3.0}, f64).named("b");
  for (const Axes& axes : {Axes(), Axes(0), Axes(1)}) {
    const Tensor loss = sum(squares(x * b - square(x), axes, false, Where::current()));
    const std::string header = emit_cpp(loss).header;
    CAPTURE(header);
    CHECK(header.find(".array().square()).squaredNorm()") == std::string::npos);
    CHECK(header.find("squaredNorm()") != std::string::npos);
    CHECK(header.find(".matrix()") != std::string::npos);
  }
}

TEST_CASE("emit_cpp: reductions over no axis are their operand, or have no code") {
  const Tensor x = tensor({{0.5, -1.0}, {1.5, 0.1}}, f64).requires_grad_().named("x");
  const Axes none = Axes::of_mask(0);
  for (const ReductionFunction f : {sum, mean, max, min, logsumexp})
    CHECK(derive(sum(square(f(x, none, false, Where::current())))).steps().back().formula().text ==
          "2 x");
  const OwnReduction squares(Role::Kind::other);
  const Tensor loss = sum(square(squares(x, none, false, Where::current())));
  CHECK(derive(loss).steps().back().formula().text == "2 own_reduction[no axis](x)");
  CHECK(error_of<ValueError>([&] {
          emit_cpp(loss);
        }).starts_with("emit_cpp: the eigen() of own_reduction says a reduction over no axis\n"));
}

namespace {

// 2 x + y, whose code is what a test says.
struct Mixed final : Op {
  EigenForm form;
  explicit Mixed(EigenForm said) : Op("mixed"), form(std::move(said)) {}
  void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
  void evaluate(Evaluation& call) const override {
    const NoGrad guard;
    kernels::copy(call.out(), *(2.0 * call.tensor(0) + call.tensor(1)).value_ref());
  }
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, 2.0 * r.g());
    if (r.needs(1)) r.give(1, r.g());
  }
  EigenForm eigen(const Parameters&) const override { return form; }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE(
    "emit_cpp: a string of an elementwise form that is empty is an error where it is needed") {
  const Tensor m = tensor({{0.5, -1.0}, {2.0, 1.5}}, f64).named("m").requires_grad_();
  const Tensor s = tensor(0.3, f64).named("s").requires_grad_();
  const auto emitted = [](const EigenForm& form, const Tensor& x) {
    const Mixed op(form);
    return emit_cpp(sum(sin(apply(op, {&x, &x}, {}, Where::current())))).header;
  };
  const std::string code = "2 * {0} + {1}";
  using enum EigenForm::Kind;
  const EigenForm of_arrays{.kind = elementwise, .array = code},
      of_doubles{.kind = elementwise, .scalar = code},
      of_matrices{.kind = elementwise, .matrix = code};
  const auto refusal = [&](const EigenForm& form, const Tensor& x) {
    return error_of<ValueError>([&] { emitted(form, x); });
  };
  const std::string needs_array = refusal(of_doubles, m);
  CAPTURE(needs_array);
  CHECK(
      needs_array.starts_with("emit_cpp: the eigen() of mixed needs .array for (2, 2), (2, 2), and "
                              "it is empty\n  at "));
  CHECK(needs_array.find("form_test.cpp:") != std::string::npos);
  CHECK(needs_array.find("\n  hint: give array for Eigen arrays, and scalar") != std::string::npos);
  CHECK(
      refusal(of_arrays, s).starts_with("emit_cpp: the eigen() of mixed needs .scalar for (), ()"));
  CHECK(refusal({.kind = comparison, .scalar = ">"}, m)
            .starts_with("emit_cpp: the eigen() of mixed needs .array"));
  CHECK(refusal({.kind = mask, .array = "!{0}"}, s)
            .starts_with("emit_cpp: the eigen() of mixed needs .scalar"));
  const std::string no_mask = refusal({.kind = mask, .array = "!{0}", .scalar = "!{0}"}, m);
  CAPTURE(no_mask);
  CHECK(no_mask.starts_with(
      "emit_cpp: the eigen() of mixed says a mask, but the result is f64\n  at "));
  CHECK(no_mask.find("form_test.cpp:") != std::string::npos);
  CHECK(no_mask.find("\n  hint: a mask is boolean") != std::string::npos);
  // What is not needed may be left out.
  CHECK(emitted(of_arrays, m).find("2 * m.array() + m.array()") != std::string::npos);
  CHECK(emitted(of_doubles, s).find("2 * s + s") != std::string::npos);
  CHECK(emitted(of_matrices, m).find("2 * m + m") != std::string::npos);
}

namespace {

// x in the reverse order, which is done element by element where a test says so.
struct Backwards final : Op {
  Backwards() : Op("backwards") {}
  void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
  void evaluate(Evaluation& call) const override {
    std::vector<double> numbers = call.tensor(0).to_vector<double>();
    std::ranges::reverse_copy(numbers, call.out().data<double>());
  }
  void vjp(Vjp& r) const override {
    const Tensor g = r.g();
    r.give(0, apply(*this, {&g}, {}, Where::current()));
  }
  EigenForm eigen(const Parameters&) const override { return {.kind = EigenForm::Kind::function}; }
  const char* eigen_definition() const noexcept override {
    return "inline VectorXd backwards(const VectorXd& x) { return x.reverse(); }\n";
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("emit_cpp: a function that is not elementwise gets all elements of its operands") {
  const Backwards op;
  const Tensor v = tensor({0.5, -1.0, 2.0}, f64).named("v").requires_grad_();
  const Tensor s = tensor(0.3, f64).named("s").requires_grad_();
  const auto backwards = [&](const Tensor& x) { return apply(op, {&x}, {}, Where::current()); };
  const auto code = [](const Tensor& loss) { return emit_cpp(loss).header; };
  CHECK(code(sum(backwards(v))).find("backwards(VectorXd::Ones(3))") != std::string::npos);
  CHECK(code(sum(0.3 * backwards(v))).find("backwards(VectorXd::Constant(3, 0.3))") !=
        std::string::npos);
  CHECK(code(sum(square(backwards(expand(s, {3}))))).find("backwards(VectorXd::Constant(3, s))") !=
        std::string::npos);
  // Formulas show what it is done to.
  const auto formula = [](const Tensor& loss) {
    return derive(loss).steps().back().formula().text;
  };
  CHECK(formula(sum(backwards(v))) == "backwards(𝟏₃)");
  CHECK(formula(mean(backwards(v))) == "backwards(𝟏₃ / 3)");
}

namespace {

// 2 x, of any name.
struct Doubled final : Op {
  EigenForm form;
  std::string definition;
  Doubled(const char* name, EigenForm said, std::string defined = "")
      : Op(name), form(std::move(said)), definition(std::move(defined)) {}
  void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
  void evaluate(Evaluation& call) const override {
    const NoGrad guard;
    kernels::copy(call.out(), *(2.0 * call.tensor(0)).value_ref());
  }
  void vjp(Vjp& r) const override { r.give(0, 2.0 * r.g()); }
  EigenForm eigen(const Parameters&) const override { return form; }
  const char* eigen_definition() const noexcept override { return definition.c_str(); }
  std::vector<Sample> samples() const override { return {}; }
};

std::string header_of(const Op& op) {
  const Tensor x = tensor({{0.5, -1.0}, {1.5, 0.1}}, f64).requires_grad_().named("x");
  return emit_cpp(sum(sin(apply(op, {&x}, {}, Where::current())))).header;
}

}  // namespace

TEST_CASE("emit_cpp: an op whose function cannot have its name in C++ is told so") {
  for (const char* name : {"class", "double", "2nd", "my op", "x-y", "Eigen"}) {
    CAPTURE(name);
    const Doubled op(name, {.kind = EigenForm::Kind::function},
                     "inline MatrixXd " + std::string(name) + "(const MatrixXd& x);\n");
    CHECK(error_of<ValueError>([&] { header_of(op); })
              .starts_with("emit_cpp: the eigen() of " + std::string(name) + " needs a function " +
                           name + ", and none can be called so in C++\n"));
  }
  const Doubled op("exp2", {.kind = EigenForm::Kind::function},
                   "inline MatrixXd exp2(const MatrixXd& x) { return 2.0 * x; }\n");
  CHECK(header_of(op).find("exp2(x)") != std::string::npos);
}

TEST_CASE("emit_cpp: a function that emitted code could not call is refused") {
  const auto refusal = [](const std::string& definition, const Tensor& x) {
    const Doubled op("doubled", {.kind = EigenForm::Kind::function}, definition);
    return error_of<ValueError>([&] { emit_cpp(sum(sin(apply(op, {&x}, {}, Where::current())))); });
  };
  const std::string of_number = "inline double doubled(double x) { return 2 * x; }\n",
                    of_matrix = "inline MatrixXd doubled(const MatrixXd& x) { return 2 * x; }\n",
                    needs = "emit_cpp: the eigen() of doubled needs a function doubled";
  const Tensor matrix = full({2, 3}, 0.5, f64).requires_grad_().named("X"),
               vector = full({3}, 0.5, f64).requires_grad_().named("v"),
               number = full({}, 0.5, f64).requires_grad_().named("s");
  for (const Tensor& x : {matrix, vector}) {
    CHECK(refusal(of_matrix, x) == "nothing was thrown");
    const std::string message = refusal(of_number, x);
    CAPTURE(message);
    CHECK(message.starts_with(needs + "(MatrixXd), which its eigen_definition() has for other "
                                      "arguments alone\n  at "));
    CHECK(message.find("written_out()") != std::string::npos);
    CHECK(refusal("inline double doubled(const MatrixXd& x) { return x.sum(); }", x)
              .starts_with(needs + "(MatrixXd) that gives MatrixXd, which its eigen_definition() "
                                   "has with another result alone\n"));
  }
  CHECK(refusal(of_number, number) == "nothing was thrown");
  CHECK(refusal(of_matrix, number)
            .starts_with(needs + "(double), which its eigen_definition() has for other "));
  CHECK(refusal("// " + of_matrix, matrix)
            .starts_with(needs + ", which its eigen_definition() does not define\n"));
  CHECK(refusal("inline MatrixXd doubled(const MatrixXd& x);\n", matrix)
            .starts_with(needs + ", which its eigen_definition() declares, but does not define\n"));
  // Of lines and reductions, too.
  const auto of_lines = [&](const std::string& definition) {
    const Doubled op("doubled", {.kind = EigenForm::Kind::lines, .axes = 1}, definition);
    return error_of<ValueError>([&] { header_of(op); });
  };
  CHECK(of_lines("inline MatrixXd doubled_columns(const MatrixXd& x) { return 2 * x; }\n") ==
        "nothing was thrown");
  CHECK(
      of_lines("inline double doubled_columns(double x) { return 2 * x; }\n")
          .starts_with(needs + "_columns(MatrixXd), which its eigen_definition() has for other "));
  CHECK(refusal(of_matrix + "inline MatrixXd doubled_columns(const MatrixXd& x);\n", matrix) ==
        "nothing was thrown");
}

TEST_CASE("emit_cpp: code of an op may end in a comment") {
  const Doubled op("doubled", {.kind = EigenForm::Kind::elementwise,
                               .array = "2.0 * {0}  // twice",
                               .scalar = "2.0 * {0}"});
  const std::string header = header_of(op);
  CAPTURE(header);
  CHECK(header.find("2.0 * x.array()  // twice\n") != std::string::npos);
}

TEST_CASE("emit_cpp: lines go along one axis") {
  const Doubled op("doubled", {.kind = EigenForm::Kind::lines, .axes = 3});
  CHECK(error_of<ValueError>([&] {
          header_of(op);
        }).starts_with("emit_cpp: the eigen() of doubled says lines along axes 3\n"));
}

TEST_SUITE_END();
