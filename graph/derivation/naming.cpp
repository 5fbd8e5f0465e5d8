#include <chainrule/graph/derivation/naming.hpp>

#include <fmt/format.h>

#include <algorithm>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/graph/derivation/layers.hpp>
#include <chainrule/graph/derivation/symbol_name.hpp>

namespace chainrule::derivation {

namespace {

// A result without a name is shown by its formula where that has up to so many symbols and
// operations, or all places where it stands in a formula together; one that only one operation uses
// also where it is larger.
constexpr int largest_inlined = 2, largest_inlined_in_all = 7, largest_inlined_of_one = 12;

}  // namespace

Naming::Naming(const Trace& trace)
    : trace_(trace), users_(trace.size()), user_(trace.size(), Traversal::none) {
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    if (!trace.forward(i)) continue;
    for (const Expr& operand : trace.forward(i)->operands) {
      if (!operand || operand->kind != Expression::Kind::tensor) continue;
      ++users_[operand->node];
      user_[operand->node] = i;
    }
  }
  // Of several with one name all but the first get a number.
  std::map<std::string, int> uses;
  std::set<std::string> given;
  std::vector<std::uint32_t> again;
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    const std::string name = detail::printable(trace.node(i).name());
    if (name.empty()) continue;
    given_names_[i] = name;
    if (!given.insert(plain(name)).second) again.push_back(i);
    take(name);
  }
  for (const Extent& axis : trace.extents()) take(axis.name);
  for (const std::uint32_t i : again) {
    const std::string name = given_names_[i];
    const char* between = detail::is_digit(name.back()) ? "_" : "";
    int& k = uses.try_emplace(name, 1).first->second;
    do given_names_[i] = fmt::format("{}{}{}", name, between, ++k);
    while (!is_free(given_names_[i]));
    take(given_names_[i]);
    numbered_.insert(i);
  }
}

std::string Naming::derivative_of(std::string_view name) const {
  return plain(symbol_text(name, Format::unicode, trace_.derivative()));
}

bool Naming::is_free(std::string_view name) const {
  return !taken_.contains(plain(name)) && !derivatives_.contains(plain(name)) &&
         !taken_.contains(derivative_of(name));
}

void Naming::take(std::string_view name) {
  taken_.insert(plain(name));
  derivatives_.insert(derivative_of(name));
}

Names Naming::names() {
  return [this](const Expression& e) {
    meet(e);
    return symbol(e);
  };
}

void Naming::meet(const Expression& e) {
  if (!e.is_symbol()) return;
  const bool has_name = !trace_.node(e.node).name().empty();
  if (has_name && !numbered_.contains(e.node)) return;
  if (trace_.forward(e.node))
    met_.insert(e.node);
  else if (given_.insert(e.node).second)
    data_.push_back(tensor_expression(e.node, trace_.node(e.node).shape()));
}

std::string Naming::text(const Expr& expression, Format format,
                         const std::optional<InLayer>& layer) {
  return text_of(inlined(expression), names(), format, trace_.derivative(), layer);
}

std::string Naming::definition(const Expr& expression, Format format,
                               const std::optional<InLayer>& layer) {
  return definition_of(inlined(expression), names(), format, layer);
}

std::string Naming::text_as_it_is(const Expr& expression, Format format) {
  return text_of(expression, names(), format, trace_.derivative());
}

Expr Naming::inlined(const Expr& expression) {
  std::vector<std::uint32_t> to_do;
  const auto need = [&](const Expr& e) {
    visit_parts(e, [&](const Expr& part) {
      if (part->kind == Expression::Kind::tensor && !in_place_.contains(part->node))
        to_do.push_back(part->node);
    });
  };
  need(expression);
  while (!to_do.empty()) {
    const std::uint32_t i = to_do.back();
    const std::size_t before = to_do.size();
    if (trace_.forward(i) && trace_.node(i).name().empty() && !in_place_.contains(i))
      need(trace_.forward(i));
    if (to_do.size() > before) continue;
    to_do.pop_back();
    if (!in_place_.contains(i)) in_place_[i] = in_place_of(i);
  }
  return with_inlined_operands(expression);
}

// Of a tensor all of whose operands are known.
Expr Naming::in_place_of(std::uint32_t i) {
  const Expr& formula = trace_.forward(i);
  // What has a gradient with a name has one, too.
  if (!formula || !trace_.node(i).name().empty() || trace_.is_named(i)) return nullptr;
  if (formula->shape != trace_.node(i).shape()) return nullptr;
  Expr shown = with_inlined_operands(formula);
  const int largest = users_[i] == 1 ? largest_inlined_of_one : largest_inlined_in_all;
  return size_of(shown) <= largest ? shown : nullptr;
}

Expr Naming::with_inlined_operands(const Expr& expression) const {
  std::map<std::uint32_t, int> places;
  visit_parts(expression, [&](const Expr& part) {
    for (const Expr& operand : part->operands)
      if (operand && operand->kind == Expression::Kind::tensor) ++places[operand->node];
  });
  Replacements formulas;
  visit_parts(expression, [&](const Expr& part) {
    if (part->kind == Expression::Kind::constant)
      if (const Expr made = trace_.in_named_data(part)) formulas.emplace(part.get(), made);
    if (part->kind != Expression::Kind::tensor) return;
    if (const std::uint32_t first = trace_.first_of(part->node); first != part->node)
      formulas.emplace(part.get(), tensor_expression(first, part->shape));
    const auto known = in_place_.find(part->node);
    if (known == in_place_.end() || !known->second) return;
    const int size = size_of(known->second);
    const int places_there = places[part->node];
    if (size <= largest_inlined || places_there <= 1 ||
        size * places_there <= largest_inlined_in_all)
      formulas[part.get()] = known->second;
  });
  return formulas.empty() ? expression : replaced(expression, formulas);
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
  if (const auto given = given_names_.find(i); given != given_names_.end()) return given->second;
  const auto [at, added] = short_names_.try_emplace(i);
  if (added) take(at->second = short_name(i));
  return at->second;
}

std::string Naming::tensor(std::uint32_t i, const std::string& name) {
  if (!given_names_.contains(i) && !short_names_.contains(i) && is_free(name))
    take(short_names_[i] = name);
  return tensor(i);
}

// What an activation h3 is computed from is a3; another result has the number of those with names
// that it was computed from.
std::string Naming::short_name(std::uint32_t i) {
  if (!trace_.forward(i)) return unused(trace_.node(i).requires_grad() ? "w" : "c");
  const std::uint32_t user = user_[i];
  const bool is_inside = users_[i] == 1 && trace_.forward(user)->operands.size() == 1;
  std::optional<int> number = is_inside ? number_of(user) : std::nullopt;
  std::vector<const char*> letters{"t", "u", "v", "q", "s"};
  if (number)
    letters.insert(letters.begin(), "a");
  else
    number = number_below(i, 0);
  // Several of one step have its number: t3, u3.
  for (const char* letter : letters)
    if (std::string name = fmt::format("{}{}", letter, number.value_or(0)); number && is_free(name))
      return name;
  return unused("t");
}

std::optional<int> Naming::number_of(std::uint32_t i) const {
  const auto given = given_names_.find(i);
  return given == given_names_.end() ? std::nullopt : layer_of(given->second);
}

// Whether a leaf is what steps with names begin with, as h0 in front of h1.
bool Naming::begins_steps(std::uint32_t leaf) const {
  const auto given = given_names_.find(leaf);
  if (given == given_names_.end() || !layer_of(given->second)) return false;
  return std::ranges::any_of(given_names_, [&](const auto& other) {
    return !trace_.node(other.first).is_leaf() && differ_in_layer(given->second, other.second);
  });
}

// The largest number of the results with names that one without was computed from.
std::optional<int> Naming::number_below(std::uint32_t i, int depth) const {
  constexpr int most_depth = 4;
  std::optional<int> largest;
  if (!trace_.forward(i) || depth == most_depth) return largest;
  for (const Expr& operand : trace_.forward(i)->operands) {
    if (!operand || operand->kind != Expression::Kind::tensor) continue;
    const std::uint32_t at = operand->node;
    if (trace_.node(at).is_leaf() && !begins_steps(at)) continue;
    const std::optional<int> number =
        trace_.node(at).name().empty() ? number_below(at, depth + 1) : number_of(at);
    if (number && *number > largest.value_or(-1)) largest = number;
  }
  return largest;
}

std::string Naming::in_the_program(const Expression& symbol) const {
  if (symbol.is_symbol())
    return numbered_.contains(symbol.node)
               ? ", also called " + detail::printable(trace_.node(symbol.node).name())
               : "";
  const std::uint32_t origin = trace_.named_like(symbol);
  return origin != Traversal::none
             ? ", the values of " + detail::printable(trace_.node(origin).name())
             : "";
}

std::string Naming::symbol(const Expression& e) {
  return e.kind == Expression::Kind::constant ? constant(e) : tensor(e.node);
}

std::string Naming::constant(const Expression& constant) {
  const auto [at, added] = constants_.try_emplace(constant.value.value_ref().get());
  if (added) {
    // What was detached from data with a name is that data here. What was detached from a result is
    // not that result, as no gradient goes through it.
    const std::uint32_t origin = trace_.named_like(constant);
    if (origin != Traversal::none && !trace_.node(origin).requires_grad())
      return at->second = tensor(origin);
    take(at->second = unused("c"));
    data_.push_back(std::make_shared<Expression>(constant));
  }
  return at->second;
}

std::string Naming::unused(const std::string& letter) {
  while (true) {
    std::string name = fmt::format("{}{}", letter, ++counts_[letter]);
    if (is_free(name)) return name;
  }
}

}  // namespace chainrule::derivation
