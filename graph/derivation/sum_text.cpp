#include <chainrule/graph/derivation/sum_text.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/graph/derivation/layers.hpp>

namespace chainrule::derivation {

namespace {

constexpr std::size_t fewest_terms = 3;
// A longer term tells a reader nothing, however often it comes.
constexpr int largest_term = 40;

struct Term {
  Expr expression;
  bool subtracted;
};

// −a and (−a) ⊗ b as what is subtracted.
Term without_minus(Expr e, bool subtracted) {
  constexpr int most_depth = 8;
  const auto turned = [](const auto& self, const Expr& part, int depth) -> Expr {
    if (part->is(Role::Kind::negation)) return part->operands[0];
    const bool carries_sign = part->is(Role::Kind::product) || part->is(Role::Kind::quotient) ||
                              part->is(Role::Kind::copy) || part->is(Role::Kind::total);
    if (!carries_sign || depth == most_depth) return nullptr;
    const Expr positive = self(self, part->operands[0], depth + 1);
    if (!positive) return nullptr;
    // Of u ⊗ u the other one keeps its sign.
    std::vector<Expr> operands = part->operands;
    operands[0] = positive;
    return operation_expression(part->application, std::move(operands), part->shape, part->output);
  };
  for (Expr positive = turned(turned, e, 0); positive; positive = turned(turned, e, 0)) {
    e = std::move(positive);
    subtracted = !subtracted;
  }
  return {std::move(e), subtracted};
}

std::vector<Term> terms_of(const Expression& sum) {
  std::vector<Term> terms;
  struct Part {
    const Expr* expression;
    bool subtracted;
  };
  std::vector<Part> to_do;
  const auto open = [&](const Expression& e, bool subtracted) {
    to_do.push_back({&e.operands[1], subtracted != e.is(Role::Kind::difference)});
    to_do.push_back({&e.operands[0], subtracted});
  };
  open(sum, false);
  while (!to_do.empty()) {
    const auto [expression, subtracted] = to_do.back();
    to_do.pop_back();
    const Expression& e = **expression;
    if (e.shape == sum.shape && (e.is(Role::Kind::sum) || e.is(Role::Kind::difference)))
      open(e, subtracted);
    else
      terms.push_back(without_minus(*expression, subtracted));
  }
  return terms;
}

// The number of the step that a term belongs to: that of the gradient in it, else the largest.
std::optional<int> step_of(const Expr& term, const Names& names) {
  std::optional<int> step;
  bool of_gradient = false;
  visit_parts(term, [&](const Expr& part) {
    if (!part->is_symbol()) return;
    const std::optional<int> number = layer_of(names(*part));
    const bool is_gradient = part->kind == Expression::Kind::gradient;
    if (!number || (of_gradient && !is_gradient)) return;
    step = step && of_gradient == is_gradient ? std::max(*step, *number) : *number;
    of_gradient = is_gradient;
  });
  return step;
}

// Terms that are the same in terms of their step's number: what they are, and the steps.
struct Alike {
  Written term;
  std::map<int, std::size_t> steps;
};

std::map<std::string, Alike> alike_of(const std::vector<Term>& terms, const Names& names,
                                      Format format, Mark derivative, bool positions) {
  std::map<std::string, Alike> alike;
  for (std::size_t k = 0; k < terms.size(); ++k) {
    const Expr& term = terms[k].expression;
    const std::optional<int> step =
        size_of(term) <= largest_term ? step_of(term, names) : std::nullopt;
    if (!step) continue;
    Written written = written_of(term, names, format, derivative, InLayer{*step, 't', positions});
    Alike& group = alike[(terms[k].subtracted ? "−" : "+") + written.text];
    group.term = std::move(written);
    group.steps.emplace(*step, k);
  }
  return alike;
}

bool runs(const std::pair<const std::string, Alike>& group) {
  const auto& steps = group.second.steps;
  const int apart = steps.rbegin()->first - steps.begin()->first;
  return steps.size() >= fewest_terms && apart == static_cast<int>(steps.size()) - 1;
}

}  // namespace

std::optional<Written> sum_with_sign(const Expression& sum, const WrittenParts& parts,
                                     const Names& names, Format format, Mark derivative) {
  const std::string notation = sum.written();
  if (notation != "{0} + {1}" && notation != "{0} − {1}") return std::nullopt;
  const bool subtracts = sum.is(Role::Kind::difference);
  const Term term = without_minus(sum.operands[1], subtracts);
  if (term.subtracted == subtracts) return std::nullopt;
  return read(
      term.subtracted ? "{0} − {1}" : "{0} + {1}",
      {parts.at(sum.operands[0].get()), written_of(term.expression, names, format, derivative)},
      style_of(format));
}

std::optional<Written> sum_over_steps(const Expression& sum, const WrittenParts& parts,
                                      const Names& names, Format format, Mark derivative) {
  const std::vector<Term> terms = terms_of(sum);
  if (terms.size() < fewest_terms) return std::nullopt;
  // Positions that are the same in all terms, or else positions that go with the steps.
  std::map<std::string, Alike> alike;
  auto found = alike.end();
  for (const bool positions : {false, true}) {
    alike = alike_of(terms, names, format, derivative, positions);
    found = std::ranges::find_if(alike, runs);
    const auto has_positions = [](const auto& group) {
      return group.first.find('[') != std::string::npos;
    };
    if (found != alike.end() || std::ranges::none_of(alike, has_positions)) break;
  }
  if (found == alike.end()) return std::nullopt;
  const auto& [term, steps] = found->second;
  const Style& style = style_of(format);
  const std::string sign = style.sum_over('t', steps.begin()->first, steps.rbegin()->first);
  const bool parentheses = term.strength < Strength::product;
  Written result{sign + (parentheses ? style.parenthesized(term.text) : term.text)};
  result.strength = Strength::product;
  result.open = parentheses ? Written::Open::no : Written::Open::linear;
  if (found->first.starts_with("−")) result = read("−{0}", {result}, style);
  const auto written = [&](const Expr& other) {
    const auto known = parts.find(other.get());
    return known != parts.end() ? known->second : written_of(other, names, format, derivative);
  };
  for (std::size_t k = 0; k < terms.size(); ++k) {
    const bool is_in_it =
        std::ranges::any_of(steps, [&](const auto& step) { return step.second == k; });
    if (is_in_it) continue;
    result = read(terms[k].subtracted ? "{0} − {1}" : "{0} + {1}",
                  {result, written(terms[k].expression)}, style);
  }
  return result;
}

}  // namespace chainrule::derivation
