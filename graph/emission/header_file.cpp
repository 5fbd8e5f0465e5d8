#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/graph/emission/files.hpp>

namespace chainrule::emission {

namespace {

using detail::joined;
using detail::width_of;

// Text broken at spaces, where the fewest brackets are open; what follows the first line begins
// with `indent`.
std::string wrapped(std::string_view text, const std::string& indent) {
  std::string out, line(text);
  std::size_t begin = line.find_first_not_of(' ') + 2;  // behind which it may be broken
  while (width_of(line) > line_width) {
    std::size_t at = std::string::npos, columns = 0;
    int depth = 0, least = 1000;
    for (std::size_t i = 0; i < line.size(); ++i) {
      columns += (line[i] & 0xC0) != 0x80;
      if (columns > line_width && at != std::string::npos) break;
      if (line[i] == '(' || line[i] == '[' || line[i] == '{') ++depth;
      if (line[i] == ')' || line[i] == ']' || line[i] == '}') --depth;
      const bool far_enough = columns > line_width / 2 || depth == 0;
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
    result.push_back({type_of(v.value.shape()), v.identifier,
                      fmt::format("{}{}{}", v.called == v.identifier ? "" : comment(v.called) + ' ',
                                  to_string(v.value.shape()), v.mask ? ", a mask" : "")});
  return result;
}

std::vector<Member> members(const std::vector<Program::Line>& lines) {
  std::vector<Member> result;
  for (const Program::Line& line : lines)
    if (line.returned)
      result.push_back({type_of(line.shape), line.identifier, to_string(line.shape)});
  return result;
}

// const auto& [W1, b1] = parameters; nothing where the code needs none of them.
std::string binding(const char* how, const std::vector<Member>& of, const char* from,
                    const Words& words) {
  std::vector<std::string> names;
  bool used = false;
  for (const Member& member : of) {
    names.push_back(member.identifier);
    used = used || words.contains(member.identifier);
  }
  if (!used) return "";
  return wrapped(fmt::format("  {} [{}] = {};", how, joined(names, ", "), from), "      ") + '\n';
}

Words words_of(const std::vector<Program::Line>& lines) {
  Words words;
  for (const Program::Line& line : lines) {
    words.insert(line.identifier);
    words.merge(words_in(line.code));
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
    const std::string left = line.returned && assigns
                                 ? line.identifier
                                 : fmt::format("const {} {}", type_of(line.shape), line.identifier);
    const std::string code = fmt::format("  {} = {};", left, line.code);
    const std::string formula = comment(line.formula);
    if (formula.empty())
      text += wrapped(code, "      ");
    else if (width_of(code) + 4 + width_of(formula) <= line_width)
      text += fmt::format("{}  // {}", code, formula);
    else
      text += wrapped("  // " + formula, "  //     ") + '\n' + wrapped(code, "      ");
    text += '\n';
  }
  return text;
}

}  // namespace

std::string header_file(const Program& program, const std::string& name) {
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
    const Words words = words_of(lines);
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
    function(type_of(program.predicted().value.shape()), "predict", arguments,
             p + body(program.prediction(), false) +
                 fmt::format("  return {};\n", program.predicted().identifier));
  }
  return text + fmt::format("\n}}  // namespace {}\n", name);
}

}  // namespace chainrule::emission
