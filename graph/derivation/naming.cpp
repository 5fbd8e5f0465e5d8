#include <chainrule/graph/derivation/naming.hpp>

#include <fmt/format.h>

#include <chainrule/core/detail/text.hpp>

namespace chainrule::derivation {

Naming::Naming(const Trace& trace) : trace_(trace) {
  // Of several with one name all but the first get a number.
  std::map<std::string, int> uses;
  std::vector<std::uint32_t> again;
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    const std::string name = detail::printable(trace.node(i).name());
    if (name.empty()) continue;
    given_names_[i] = name;
    if (!taken_.insert(name).second) again.push_back(i);
  }
  for (const std::uint32_t i : again) {
    const std::string name = given_names_[i];
    const char* between = detail::is_digit(name.back()) ? "_" : "";
    int& k = uses.try_emplace(name, 1).first->second;
    do given_names_[i] = fmt::format("{}{}{}", name, between, ++k);
    while (!taken_.insert(given_names_[i]).second);
  }
}

Names Naming::names() {
  return [this](const Expression& e) -> std::string {
    if (e.kind == Expression::Kind::tensor && trace_.node(e.node).name().empty()) {
      if (trace_.forward(e.node))
        met_.insert(e.node);
      else if (given_.insert(e.node).second)
        data_.push_back(tensor_expression(e.node, trace_.node(e.node).shape()));
    }
    return symbol(e);
  };
}

std::string Naming::text(const Expr& expression, Format format) {
  return text_of(expression, names(), format, trace_.derivative());
}

std::set<std::uint32_t> Naming::abbreviated() {
  std::set<std::uint32_t> done;
  std::vector<std::uint32_t> to_do(met_.begin(), met_.end());
  while (!to_do.empty()) {
    const std::uint32_t i = to_do.back();
    to_do.pop_back();
    if (!done.insert(i).second) continue;
    // What the formula of one needs was met before, or is met now.
    met_.clear();
    text(trace_.forward(i));
    to_do.insert(to_do.end(), met_.begin(), met_.end());
  }
  met_ = done;
  return done;
}

std::string Naming::tensor(std::uint32_t i) {
  const Node& node = trace_.node(i);
  if (const auto given = given_names_.find(i); given != given_names_.end()) return given->second;
  const auto [at, added] = short_names_.try_emplace(i);
  if (added) at->second = unused(trace_.forward(i) ? "t" : node.requires_grad() ? "w" : "c");
  return at->second;
}

std::string Naming::symbol(const Expression& e) {
  return e.kind == Expression::Kind::constant ? constant(e) : tensor(e.node);
}

std::string Naming::constant(const Expression& constant) {
  const auto [at, added] = constants_.try_emplace(constant.value.value_ref().get());
  if (added) {
    at->second = unused("c");
    data_.push_back(std::make_shared<Expression>(constant));
  }
  return at->second;
}

std::string Naming::unused(const char* letter) {
  while (true) {
    std::string name = fmt::format("{}{}", letter, ++counts_[letter]);
    if (!taken_.contains(name)) return name;
  }
}

}  // namespace chainrule::derivation
