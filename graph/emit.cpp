#include <chainrule/graph/emit.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>
#include <utility>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/graph/derivation/chain.hpp>
#include <chainrule/graph/emission/program.hpp>

namespace chainrule {

namespace {

using detail::joined;
using detail::width_of;
using emission::Code;
using emission::Program;

constexpr std::size_t width = 100;

// Text broken at spaces, where the fewest brackets are open; what follows the first line begins
// with `indent`.
std::string wrapped(std::string_view text, const std::string& indent) {
  std::string out, line(text);
  std::size_t begin = line.find_first_not_of(' ') + 2;  // behind which it may be broken
  while (width_of(line) > width) {
    std::size_t at = std::string::npos, columns = 0;
    int depth = 0, least = 1000;
    for (std::size_t i = 0; i < line.size(); ++i) {
      columns += (line[i] & 0xC0) != 0x80;
      if (columns > width && at != std::string::npos) break;
      if (line[i] == '(' || line[i] == '[' || line[i] == '{') ++depth;
      if (line[i] == ')' || line[i] == ']' || line[i] == '}') --depth;
      const bool far_enough = columns > width / 2 || depth == 0;
      if (line[i] != ' ' || i <= begin || !far_enough || depth > least) continue;
      at = i;
      least = depth;
    }
    if (at == std::string::npos) break;
    out += line.substr(0, at) + '\n';
    line = indent + line.substr(at + 1);
    begin = indent.size();
  }
  return out + line;
}

// A formula for a comment: names of tensors may have anything in them.
std::string comment(std::string_view formula) {
  std::string text;
  for (const char c : formula)
    text += static_cast<unsigned char>(c) < 0x20 || c == 0x7F || c == '\\' ? ' ' : c;
  return text;
}

std::string type_of(const Tensor& value) { return emission::type_of(value.shape()); }

template <class Variables>
std::string structure(const char* name, std::string_view comment, const Variables& variables) {
  std::string text = fmt::format("\n/// {}\nstruct {} {{\n", comment, name);
  for (const auto& [type, identifier, remark] : variables)
    text += fmt::format("  {} {};{}\n", type, identifier, remark == "()" ? "" : "  // " + remark);
  return text + "};\n";
}

struct Member {
  std::string type, identifier, remark;
};

std::vector<Member> members(const std::vector<Program::Variable>& variables) {
  std::vector<Member> result;
  for (const Program::Variable& v : variables)
    result.push_back({type_of(v.value), v.identifier,
                      fmt::format("{}{}{}", v.called == v.identifier ? "" : comment(v.called) + ' ',
                                  to_string(v.value.shape()), v.mask ? ", a mask" : "")});
  return result;
}

std::vector<Member> members(const std::vector<Program::Line>& lines) {
  std::vector<Member> result;
  for (const Program::Line& line : lines)
    if (line.returned)
      result.push_back({emission::type_of(line.shape), line.identifier, to_string(line.shape)});
  return result;
}

// const auto& [W1, b1] = parameters; nothing where the code needs none of them.
std::string binding(const char* how, const std::vector<Member>& of, const char* from,
                    const emission::Words& words) {
  std::vector<std::string> names;
  bool used = false;
  for (const Member& member : of) {
    names.push_back(member.identifier);
    used = used || words.contains(member.identifier);
  }
  if (!used) return "";
  return wrapped(fmt::format("  {} [{}] = {};", how, joined(names, ", "), from), "      ") + '\n';
}

emission::Words words_of(const std::vector<Program::Line>& lines) {
  emission::Words words;
  for (const Program::Line& line : lines) {
    words.insert(line.identifier);
    words.merge(emission::words_in(line.code));
  }
  return words;
}

// "const Data& data", without a name where it is not used.
std::string argument(const char* type, const char* name, const std::string& binding) {
  return binding.empty() ? fmt::format("const {}&", type) : fmt::format("const {}& {}", type, name);
}

std::string body(const std::vector<Program::Line>& lines, bool assigns) {
  std::string text;
  for (const Program::Line& line : lines) {
    const std::string left =
        line.returned && assigns
            ? line.identifier
            : fmt::format("const {} {}", emission::type_of(line.shape), line.identifier);
    const std::string code = fmt::format("  {} = {};", left, line.code);
    const std::string formula = comment(line.formula);
    if (formula.empty())
      text += wrapped(code, "      ");
    else if (width_of(code) + 4 + width_of(formula) <= width)
      text += fmt::format("{}  // {}", code, formula);
    else
      text += wrapped("  // " + formula, "  //     ") + '\n' + wrapped(code, "      ");
    text += '\n';
  }
  return text;
}

std::string header_of(const Program& program, const std::string& name) {
  const std::vector<Member> parameters = members(program.parameters()),
                            data = members(program.data()), results = members(program.forward()),
                            gradients = members(program.gradients());
  std::string text = fmt::format(
      "// The program that computed {}, and the chain rule for it, written down by chainrule.\n"
      "// Needs Eigen 3.4 and C++17. Valid for the program that ran: other branches of it may "
      "have\n"
      "// other derivatives.\n#pragma once\n\n#include <Eigen/Dense>\n\n#include <algorithm>\n"
      "#include <cmath>\n#include <limits>\n\nnamespace {} {{\n\n"
      "using Eigen::MatrixXd;\nusing Eigen::VectorXd;\n",
      program.loss().identifier, name);
  text += structure("Parameters", "What is learned.", parameters);
  const bool masks = std::ranges::any_of(program.data(), &Program::Variable::mask);
  text += structure("Data",
                    masks ? "What is given. A mask that the program computed from other tensors is "
                            "given, too:\n/// other data have another."
                          : "What is given.",
                    data);
  text += structure("Forward", "What forward() computes, and backward() reads.", results);
  text += structure("Gradients", "The gradient of the loss for each parameter.", gradients);
  text += program.functions();
  const auto function = [&](std::string_view type, std::string_view called,
                            const std::vector<std::string>& arguments, const std::string& inside) {
    text += wrapped(fmt::format("\ninline {} {}({}) {{", type, called, joined(arguments, ", ")),
                    "    ") +
            '\n' + inside + "}\n";
  };
  const auto bound = [&](const std::vector<Program::Line>& lines) {
    const emission::Words words = words_of(lines);
    return std::array{binding("const auto&", parameters, "parameters", words),
                      binding("const auto&", data, "data", words),
                      binding("const auto&", results, "forward", words)};
  };
  {
    const auto [p, d, f] = bound(program.forward());
    function("Forward", "forward",
             {argument("Parameters", "parameters", p), argument("Data", "data", d)},
             p + d + "  Forward result;\n" +
                 binding("auto&", results, "result", words_of(program.forward())) +
                 body(program.forward(), true) + "  return result;\n");
  }
  {
    const auto [p, d, f] = bound(program.backward());
    function("Gradients", "backward",
             {argument("Parameters", "parameters", p), argument("Data", "data", d),
              argument("Forward", "forward", f)},
             p + d + f + "  Gradients result;\n" +
                 binding("auto&", gradients, "result", words_of(program.backward())) +
                 body(program.backward(), true) + "  return result;\n");
  }
  if (!program.prediction().empty()) {
    const std::string p = bound(program.prediction())[0];
    std::vector<std::string> arguments{argument("Parameters", "parameters", p)};
    for (const Member& member : members(program.predicts_from()))
      arguments.push_back(member.type == "double"
                              ? fmt::format("double {}", member.identifier)
                              : fmt::format("const {}& {}", member.type, member.identifier));
    function(type_of(program.predicted().value), "predict", arguments,
             p + body(program.prediction(), false) +
                 fmt::format("  return {};\n", program.predicted().identifier));
  }
  return text + fmt::format("\n}}  // namespace {}\n", name);
}

// A matrix of numbers, as an array of its rows and what makes it one.
struct Numbers {
  std::string array;
  std::string value;
};

Numbers numbers_of(const Program::Variable& variable) {
  const Tensor& value = variable.value;
  const std::vector<double> elements = value.to_vector<double>();
  const Code extents{"", value.shape()};
  if (elements.empty())
    return {"", fmt::format("MatrixXd::Zero({}, {})", extents.rows(), extents.columns())};
  if (elements.size() == 1) return {"", emission::literal(elements[0])};
  const std::string name = variable.identifier + "_rows";
  std::string array = fmt::format("  static const double {}[] = {{", name), line = "\n     ";
  for (const double element : elements) {
    const std::string number = " " + emission::literal(element) + ",";
    if (line.size() + number.size() > width) array += std::exchange(line, "\n     ");
    line += number;
  }
  array += line;
  array.back() = '}';  // instead of the last comma
  return {array + ";\n",
          fmt::format("matrix({}, {}, {})", name, extents.rows(), extents.columns())};
}

std::string values_of(const Program& program, const std::string& name) {
  std::string text = fmt::format(
      "// The parameters and the data that chainrule recorded for {0}.hpp.\n#pragma once\n\n"
      "#include \"{0}.hpp\"\n\nnamespace {0} {{\n\n"
      "/// A matrix from its elements, row by row.\n"
      "inline MatrixXd matrix(const double* rows_first, Eigen::Index rows, Eigen::Index columns) "
      "{{\n"
      "  using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;\n"
      "  return Eigen::Map<const Rows>(rows_first, rows, columns);\n}}\n",
      name);
  const auto function = [&](const char* type, const char* called,
                            const std::vector<Program::Variable>& variables) {
    text += fmt::format("\ninline {} {}() {{\n  {} result;\n", type, called, type);
    for (const Program::Variable& variable : variables) {
      const Numbers numbers = numbers_of(variable);
      text += numbers.array;
      text += fmt::format("  result.{} = {};\n", variable.identifier, numbers.value);
    }
    text += "  return result;\n}\n";
  };
  function("Parameters", "trained_parameters", program.parameters());
  function("Data", "recorded_data", program.data());
  return text + fmt::format("\n}}  // namespace {}\n", name);
}

std::string test_of(const Program& program, const std::string& name) {
  std::string text = fmt::format(
      "// Compares {0}.hpp with what chainrule computed. With a main function:\n"
      "//     g++ -std=c++17 -I /usr/include/eigen3 {0}_test.cpp -o {0}_test && ./{0}_test\n"
      "#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN\n#include <doctest/doctest.h>\n\n"
      "#include \"{0}_values.hpp\"\n\nnamespace {0} {{\nnamespace {{\n\n"
      "// Whether two are equal but for rounding, which is part of the largest element.\n"
      "[[maybe_unused]] bool equal(double a, double b, double largest) {{\n"
      "  if (a == b || (std::isnan(a) && std::isnan(b))) return true;\n"
      "  return std::abs(a - b) <= 1e-9 * largest + 1e-12;\n}}\n"
      "[[maybe_unused]] bool equal(double a, double b) {{ return equal(a, b, std::abs(b)); }}\n"
      "[[maybe_unused]] bool equal(const MatrixXd& a, const MatrixXd& b) {{\n"
      "  if (a.rows() != b.rows() || a.cols() != b.cols()) return false;\n"
      "  double largest = 0;\n"
      "  for (const double x : b.reshaped())\n"
      "    if (std::isfinite(x)) largest = std::max(largest, std::abs(x));\n"
      "  for (Eigen::Index i = 0; i < a.size(); ++i)\n"
      "    if (!equal(a.reshaped()(i), b.reshaped()(i), largest)) return false;\n"
      "  return true;\n}}\n"
      "// Another point: every element a little further.\n"
      "[[maybe_unused]] void move(double& x) {{ x += 0.03125; }}\n"
      "template <class M>\n"
      "void move(M& x) {{\n"
      "  for (Eigen::Index i = 0; i < x.size(); ++i) x.data()[i] += std::sin(3.0 * i + 1.0) / "
      "16;\n}}\n"
      "[[maybe_unused]] double* elements(double& x) {{ return &x; }}\n"
      "template <class M>\n"
      "double* elements(M& x) {{ return x.data(); }}\n"
      "[[maybe_unused]] Eigen::Index count(const double&) {{ return 1; }}\n"
      "template <class M>\n"
      "Eigen::Index count(const M& x) {{ return x.size(); }}\n"
      "// Whether a gradient is that of forward() by central differences, for some of its "
      "elements.\n"
      "template <class P, class G>\n"
      "bool agrees(Parameters at, const Data& data, P Parameters::* parameter, G gradient) {{\n"
      "  const Eigen::Index n = count(gradient), step = n / 16 + 1;\n"
      "  for (Eigen::Index i = 0; i < n; i += step) {{\n"
      "    double& x = elements(at.*parameter)[i];\n"
      "    const double here = x, h = 1e-5;\n"
      "    const auto loss = [&](double value) {{\n"
      "      x = value;\n"
      "      return forward(at, data).{1};\n"
      "    }};\n"
      "    const double slope = (loss(here + h) - loss(here - h)) / (2 * h);\n"
      "    x = here;\n"
      "    const double mine = elements(gradient)[i];\n"
      "    if (std::isfinite(slope) && !(std::abs(slope - mine) <= 1e-5 * (1 + std::abs(slope))))\n"
      "      return false;\n"
      "  }}\n"
      "  return true;\n}}\n\n",
      name, program.loss().identifier);
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

}  // namespace

void EmittedCode::write(const std::filesystem::path& folder) const {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const auto put = [&](const std::string& file, const std::string& text) {
    const std::filesystem::path path = folder / file;
    std::ofstream out(path);
    out << text << std::flush;
    if (!out) throw IoError(fmt::format("emit_cpp: cannot write {}", path.string()));
  };
  put(name + ".hpp", header);
  put(name + "_values.hpp", values);
  put(name + "_test.cpp", test);
}

EmittedCode emit_cpp(const Tensor& loss, const EmitOptions& options, Where where) {
  if (!emission::Identifiers::is_namespace(options.name))
    throw ValueError(
        fmt::format("emit_cpp: \"{}\" cannot name a namespace of C++", options.name), where,
        "letters, digits and underscores, beginning with a letter, that mean nothing yet");
  const derivation::Chain chain(loss, "emit_cpp", where);
  const Program program(chain, options.predict, where);
  return {options.name, header_of(program, options.name), values_of(program, options.name),
          test_of(program, options.name)};
}

}  // namespace chainrule
