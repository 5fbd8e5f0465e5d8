// Functions of own ops in emitted code that are called as something else there.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/emission/emit.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

// x² under any name, as a function of its own.
struct Squared final : UnaryOp<Squared> {
  std::string definition;
  EigenForm form;
  explicit Squared(const char* name, EigenForm said = {.kind = EigenForm::Kind::function})
      : UnaryOp(name),
        definition(
            fmt::format("inline double {0}(double x) {{ return x * x; }}\n"
                        "inline MatrixXd {0}(const MatrixXd& x) {{ return x.array().square(); "
                        "}}",
                        name)),
        form(std::move(said)) {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::input(0);
  template <class T>
  static T value(T x) {
    return x * x;
  }
  static Tensor slope(const Application& r, const Tensor& g) { return 2.0 * g * r.in(0); }
  EigenForm eigen(const Parameters&) const override { return form; }
  const char* eigen_definition() const noexcept override { return definition.c_str(); }
  std::vector<Sample> samples() const override { return {}; }
};

std::string emitted(const Squared& op, const auto& loss) {
  const Tensor m = tensor({{0.5, -1.0}, {2.0, 1.5}}, f64).named("M").requires_grad_();
  return emit_cpp(loss(m, op(m, Where::current()))).header;
}
Tensor plain(const Tensor&, const Tensor& h) { return sum(sin(h)); }

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("emit_cpp: an own op's function stands as it is where its name is free") {
  const Squared op("bump");
  const std::string header = emitted(op, plain);
  CAPTURE(header);
  CHECK(has(header, "};\n\ninline double bump(double x)"));
  CHECK(has(header, " = bump(M);"));
  CHECK_FALSE(has(header, "ops"));
}

TEST_CASE("emit_cpp: an own op's function that is called as something else stands apart") {
  for (const char* name :
       {"placed", "above", "Forward", "Data", "forward", "result", "parameters", "matrix", "equal",
        "move", "count", "z", "ops", "exp_slope", "softmax_columns"}) {
    CAPTURE(name);
    const Squared op(name);
    const std::string header = emitted(op, plain);
    CHECK(has(header, fmt::format("\nnamespace ops {{\ninline double {}(double x)", name)));
    CHECK(has(header, "}\n}  // namespace ops\n"));
    CHECK(has(header, fmt::format(" = ops::{}(M);", name)));
  }
}

TEST_CASE("emit_cpp: beside such a function stands what has the name") {
  const Squared op("placed");
  const std::string header = emitted(
      op, [](const Tensor& m, const Tensor& h) { return sum(h) + sum(square(slice(m, 1, 0, 1))); });
  CAPTURE(header);
  CHECK(has(header, "namespace ops {\ninline double placed(double x)"));
  CHECK(has(header, "\ninline MatrixXd placed(const MatrixXd& block"));
  CHECK(has(header, "ops::placed(M)"));
}

TEST_CASE("emit_cpp: code that calls such a function does so there") {
  const Squared op("data", {.kind = EigenForm::Kind::elementwise,
                            .array = "{0}.unaryExpr([](double e) { return data(e); })",
                            .scalar = "data({0}) + 0.0 * std::data(x) + x.data()"});
  CHECK(has(emitted(op, plain), "return ops::data(e);"));
  const Tensor one = tensor(0.5, f64).named("one").requires_grad_();
  CHECK(has(emit_cpp(sin(op(one, Where::current()))).header,
            "ops::data(one) + 0.0 * std::data(x) + x.data()"));
}

TEST_SUITE_END();
