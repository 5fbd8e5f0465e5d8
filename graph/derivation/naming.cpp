#include <chainrule/graph/derivation/naming.hpp>

#include <fmt/format.h>

namespace chainrule::derivation {

std::string Naming::text(const Expr& expression, Format format) {
  const auto name = [&](const Expression& e) -> std::string {
    if (e.kind == Expression::Kind::constant) return constant(e);
    const bool result = e.kind == Expression::Kind::tensor && trace_.forward(e.node);
    if (result && trace_.node(e.node).name().empty()) met_.insert(e.node);
    return tensor(e.node);
  };
  return text_of(expression, name, format);
}

std::set<std::uint32_t> Naming::abbreviated() {
  std::set<std::uint32_t> done;
  while (done.size() < met_.size())
    for (const std::uint32_t i : std::set(met_))
      if (done.insert(i).second) text(trace_.forward(i));
  return done;
}

std::string Naming::tensor(std::uint32_t i) {
  const Node& node = trace_.node(i);
  if (!node.name().empty()) return std::string(node.name());
  const auto [at, added] = short_names_.try_emplace(i);
  if (added) at->second = unused(node.is_leaf() ? "w" : "t");
  return at->second;
}

std::string Naming::constant(const Expression& constant) {
  const auto [at, added] = constants_.try_emplace(constant.value.value_ref().get());
  if (added) {
    at->second = unused("c");
    data_.push_back(std::make_shared<const Expression>(constant));
  }
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
