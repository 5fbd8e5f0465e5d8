#include <chainrule/graph/derivation/naming.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace chainrule::derivation {

namespace {

bool is_word(std::string_view name) {
  return std::ranges::all_of(name, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80);
  });
}

}  // namespace

std::string Naming::text(const Expr& expression) {
  return text_of(expression, [&](const Expression& e) -> std::string {
    if (e.kind == Expression::Kind::gradient) return gradient(e.node);
    if (e.kind == Expression::Kind::constant) return constant(e.value);
    if (trace_.node(e.node).name().empty() && trace_.forward(e.node)) met_.insert(e.node);
    return tensor(e.node);
  });
}

std::vector<std::pair<std::string, std::string>> Naming::definitions() {
  std::map<std::uint32_t, std::string> formulas;
  while (formulas.size() < met_.size())
    for (const std::uint32_t i : std::set(met_))
      if (!formulas.contains(i)) formulas[i] = text(trace_.forward(i));
  std::vector<std::pair<std::string, std::string>> definitions;
  for (auto& [i, formula] : formulas) definitions.emplace_back(tensor(i), std::move(formula));
  return definitions;
}

std::string Naming::tensor(std::uint32_t i) {
  const Node& node = trace_.node(i);
  if (!node.name().empty()) return std::string(node.name());
  const auto [at, added] = short_names_.try_emplace(i);
  if (added) at->second = unused(node.is_leaf() ? "w" : "t");
  return at->second;
}

std::string Naming::gradient(std::uint32_t i) {
  const std::string of = tensor(i);
  return is_word(of) ? "d" + of : "d(" + of + ")";
}

std::string Naming::constant(const Tensor& value) {
  const auto [at, added] = constants_.try_emplace(value.value_ref().get());
  if (added) at->second = unused("c");
  return at->second;
}

std::string Naming::unused(const char* letter) {
  while (true) {
    std::string name = fmt::format("{}{}", letter, ++counts_[letter]);
    bool taken = false;
    for (std::uint32_t i = 0; i < trace_.size(); ++i) taken |= trace_.node(i).name() == name;
    if (!taken) return name;
  }
}

}  // namespace chainrule::derivation
