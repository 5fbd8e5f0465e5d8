#include <fmt/format.h>

#include <chainrule/graph/emission/files.hpp>

namespace chainrule::emission {

namespace {

// What the test cases call.
constexpr const char* functions =
    R"(// Whether two are equal but for rounding, which is part of the largest element.
[[maybe_unused]] bool equal(double a, double b, double largest) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return true;
  return std::abs(a - b) <= 1e-9 * largest + 1e-12;
}
[[maybe_unused]] bool equal(double a, double b) { return equal(a, b, std::abs(b)); }
[[maybe_unused]] bool equal(const MatrixXd& a, const MatrixXd& b) {
  if (a.rows() != b.rows() || a.cols() != b.cols()) return false;
  double largest = 0;
  for (const double x : b.reshaped())
    if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
  for (Eigen::Index i = 0; i < a.size(); ++i)
    if (!equal(a.reshaped()(i), b.reshaped()(i), largest)) return false;
  return true;
}
// Another point: every element a little further.
[[maybe_unused]] void move(double& x) { x += 0.03125; }
template <class M>
void move(M& x) {
  for (Eigen::Index i = 0; i < x.size(); ++i) x.data()[i] += std::sin(3.0 * i + 1.0) / 16;
}
[[maybe_unused]] double* elements(double& x) { return &x; }
template <class M>
double* elements(M& x) { return x.data(); }
[[maybe_unused]] Eigen::Index count(const double&) { return 1; }
template <class M>
Eigen::Index count(const M& x) { return x.size(); }
// Whether a gradient is that of forward() by central differences, for some of its elements.
template <class P, class G>
bool agrees(Parameters at, const Data& data, P Parameters::* parameter, G gradient) {
  const Eigen::Index n = count(gradient), step = n / 16 + 1;
  for (Eigen::Index i = 0; i < n; i += step) {
    double& x = elements(at.*parameter)[i];
    const double here = x, h = 1e-5;
    const auto loss = [&](double value) {
      x = value;
      return forward(at, data).*the_loss;
    };
    const double slope = (loss(here + h) - loss(here - h)) / (2 * h);
    x = here;
    const double mine = elements(gradient)[i];
    if (std::isfinite(slope) && !(std::abs(slope - mine) <= 1e-5 * (1 + std::abs(slope))))
      return false;
  }
  return true;
}

)";

}  // namespace

std::string test_file(const Program& program, const std::string& name) {
  std::string text = fmt::format(
      "// Compares {0}.hpp with what chainrule computed. With a main function:\n"
      "//     g++ -std=c++17 -I /usr/include/eigen3 {0}_test.cpp -o {0}_test && ./{0}_test\n"
      "#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN\n#include <doctest/doctest.h>\n\n"
      "#include \"{0}_values.hpp\"\n\nnamespace {0} {{\nnamespace {{\n\n"
      "// The loss among the results.\n"
      "[[maybe_unused]] constexpr double Forward::* the_loss = &Forward::{1};\n",
      name, program.loss().identifier);
  text += functions;
  const auto check = [&](const std::string& mine, const Program::Variable& theirs) {
    const Numbers numbers = numbers_of(theirs);
    text += numbers.array;
    text += fmt::format("  CHECK(equal({}, {}));\n", mine, numbers.value);
  };
  text += fmt::format(
      "TEST_CASE(\"{}: the loss\") {{\n"
      "  const Forward results = forward(trained_parameters(), recorded_data());\n",
      name);
  check("results." + program.loss().identifier, program.loss());
  text += fmt::format(
      "}}\n\nTEST_CASE(\"{}: the gradients\") {{\n"
      "  const Parameters parameters = trained_parameters();\n"
      "  const Data data = recorded_data();\n"
      "  const Gradients gradients = backward(parameters, data, forward(parameters, data));\n",
      name);
  for (const Program::Variable& gradient : program.gradients())
    check("gradients." + gradient.identifier, gradient);
  text += fmt::format(
      "}}\n\nTEST_CASE(\"{}: the gradients elsewhere, by differences\") {{\n"
      "  Parameters parameters = trained_parameters();\n",
      name);
  for (const Program::Variable& parameter : program.parameters())
    text += fmt::format("  move(parameters.{});\n", parameter.identifier);
  text +=
      "  const Data data = recorded_data();\n"
      "  const Gradients gradients = backward(parameters, data, forward(parameters, data));\n";
  for (const auto& [gradient, parameter] : program.pairs())
    text += fmt::format("  CHECK(agrees(parameters, data, &Parameters::{}, gradients.{}));\n",
                        parameter, gradient);
  text += "}\n\n";
  if (!program.prediction().empty()) {
    std::string arguments = "trained_parameters()";
    for (const Program::Variable& variable : program.predicts_from())
      arguments += fmt::format(", data.{}", variable.identifier);
    text += fmt::format(
        "TEST_CASE(\"{}: the prediction\") {{\n"
        "  [[maybe_unused]] const Data data = recorded_data();\n",
        name);
    check(fmt::format("predict({})", arguments), program.predicted());
    text += "}\n\n";
  }
  return text + fmt::format("}}  // namespace\n}}  // namespace {}\n", name);
}

}  // namespace chainrule::emission
