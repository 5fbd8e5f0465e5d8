#include <chainrule/graph/teaching/listing.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/graph/traversal.hpp>

namespace chainrule::teaching {

using derivation::Expr;
using derivation::Expression;
using derivation::Format;

namespace {

// A result without an equation is written out in a formula of up to so many symbols and operations.
constexpr int largest_written_out = 24;
// One of more gets an equation where the derivation needs it.
constexpr int largest_without_equation = 3;

}  // namespace

Listing::Listing(const derivation::Chain& chain)
    : trace_(chain.trace()), names_(trace_), users_(trace_.size()) {
  std::set<std::uint32_t> needed;
  for (const derivation::Chain::Link& link : chain.links()) {
    needed.insert(link.of);
    derivation::visit_parts(link.formula(), [&](const Expr& part) {
      const bool is_long = part->kind == Expression::Kind::tensor &&
                           derivation::size_of(written_out(part)) > largest_without_equation;
      if (part->kind == Expression::Kind::gradient || is_long) needed.insert(part->node);
    });
  }
  needed_ = std::move(needed);
  for (std::uint32_t i = 0; i < trace_.size(); ++i)
    if (has_equation(i))
      for (const std::uint32_t tensor : tensors_in_equation(i)) users_[tensor].push_back(i);
}

// Those that can be read there, and those that are written out. An op may have
// operands that it is not written with.
std::set<std::uint32_t> Listing::tensors_in_equation(std::uint32_t result) const {
  std::set<std::uint32_t> tensors;
  std::set<const Expression*> seen;
  std::vector<Expr> to_do{trace_.forward(result)};
  while (!to_do.empty()) {
    const Expr e = to_do.back();
    to_do.pop_back();
    if (!seen.insert(e.get()).second) continue;
    if (e->kind == Expression::Kind::tensor && tensors.insert(e->node).second &&
        trace_.forward(e->node) && !has_equation(e->node))
      to_do.push_back(trace_.forward(e->node));
    if (e->kind != Expression::Kind::operation) continue;
    for (const std::size_t k : derivation::operands_in(e->written()))
      if (k < e->operands.size() && e->operands[k]) to_do.push_back(e->operands[k]);
  }
  return tensors;
}

bool Listing::has_equation(std::uint32_t i) const {
  return trace_.forward(i) &&
         (i == trace_.loss() || !trace_.node(i).name().empty() || needed_.contains(i));
}

Expr Listing::written_out(const Expr& formula) const {
  Expr result = formula;
  while (true) {
    derivation::Replacements forms;
    derivation::visit_parts(result, [&](const Expr& part) {
      if (part->kind != Expression::Kind::tensor || has_equation(part->node)) return;
      const Expr& form = trace_.forward(part->node);
      if (form && form->shape == part->shape) forms.emplace(part.get(), form);
    });
    if (forms.empty()) return result;
    Expr longer = derivation::replaced(result, forms);
    if (derivation::size_of(longer) > std::max(largest_written_out, derivation::size_of(formula)))
      return result;
    result = std::move(longer);
  }
}

Exercise::Written Listing::in_all_formats(const Expr& formula) {
  derivation::visit_parts(formula, [&](const Expr& part) {
    if (part->is_symbol() && trace_.forward(part->node) && !has_equation(part->node))
      abbreviated_.insert(part->node);
  });
  return {names_.text_as_it_is(formula, Format::unicode),
          names_.text_as_it_is(formula, Format::latex),
          names_.text_as_it_is(formula, Format::mathml)};
}

Exercise::Written Listing::written(const Expr& formula) {
  return in_all_formats(written_out(formula));
}

Exercise::Written Listing::written(const Expr& formula, const Expression& symbol,
                                   const Expression& other) {
  const Expr shown = written_out(formula);
  const auto name = [&](const Expression& e) { return names_.symbol(&e == &symbol ? other : e); };
  const auto text = [&](Format format) {
    return derivation::text_of(shown, name, format, trace_.derivative());
  };
  return {text(Format::unicode), text(Format::latex), text(Format::mathml)};
}

std::string Listing::text(const Expr& formula) {
  return names_.text_as_it_is(written_out(formula));
}

Exercise::Written Listing::name(std::uint32_t i) {
  if (i == trace_.loss() && trace_.node(i).name().empty() && names_.tensor(i, "loss") == "loss")
    return {"loss", "\\text{loss}", "<mi>loss</mi>"};
  return in_all_formats(derivation::tensor_expression(i, trace_.node(i).shape()));
}

std::vector<Exercise::Named> Listing::program() {
  std::vector<std::uint32_t> given, computed;
  for (std::uint32_t i = 0; i < trace_.size(); ++i) {
    if (has_equation(i))
      computed.push_back(i);
    else if (!trace_.forward(i) && trace_.is_tensor(i) && !trace_.node(i).name().empty())
      given.push_back(i);
  }
  // As they come into the program: x, W1, b1, W2 …
  std::ranges::sort(given, {}, [&](std::uint32_t i) {
    return std::pair(users_[i].empty() ? Traversal::none : users_[i].front(), i);
  });
  std::vector<Exercise::Named> all;
  for (const std::uint32_t i : given) all.push_back({name(i), {}, trace_.node(i).shape()});
  for (const std::uint32_t i : computed)
    all.push_back({name(i), written(trace_.forward(i)), trace_.node(i).shape()});
  return all;
}

std::string Listing::equation(std::uint32_t result) {
  return fmt::format("{} = {}", name(result).text, text(trace_.forward(result)));
}

bool Listing::adjacent(std::uint32_t a, std::uint32_t b) const {
  return std::ranges::find(users_[a], b) != users_[a].end() ||
         std::ranges::find(users_[b], a) != users_[b].end();
}

std::vector<Derivation::Definition> Listing::definitions() {
  std::vector<Derivation::Definition> definitions;
  std::set<std::uint32_t> done;
  while (done.size() < abbreviated_.size())
    for (const std::uint32_t i : std::set<std::uint32_t>(abbreviated_))
      if (done.insert(i).second)  // and what its formula needs
        definitions.push_back({name(i), written(trace_.forward(i))});
  for (const Expr& data : std::vector<Expr>(names_.data())) {
    const std::string what = "data " + to_string(data->shape);
    definitions.push_back(
        {in_all_formats(data), {what, "\\text{" + what + "}", "<mtext>" + what + "</mtext>"}});
  }
  return definitions;
}

}  // namespace chainrule::teaching
