#include <chainrule/graph/checking/changed_forms.hpp>

#include <fmt/format.h>

#include <chainrule/graph/checking/relation.hpp>
#include <chainrule/graph/checking/terms.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

}  // namespace

ChangedForms::ChangedForms(const Trace& trace, const Comparison& comparison, const Text& text)
    : trace_(trace), comparison_(comparison), text_(text) {
  keep(comparison.suspect().right);
  for (const Expr& form : comparison.right_forms()) keep(form);
  if (comparison.opened_form()) keep(comparison.opened_form());
  for (const Expr& form : std::vector<Expr>(forms_)) keep(without_unnamed(trace, form));
  for (const Expr& form : std::vector<Expr>(forms_)) keep(written_out(form, comparison.point(0)));
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    if (!trace.is_tensor(i) || trace.node(i).name().empty()) continue;
    tensors_.push_back(tensor_expression(i, trace.node(i).shape()));
    if (trace.gradient(i) && trace.is_named(i) && i != comparison.suspect().node)
      gradients_.push_back(gradient_expression(i, trace.node(i).shape()));
  }
}

void ChangedForms::keep(const Expr& form) {
  if (form && size_of(form) <= largest_form && seen_.insert(key_of(form)).second)
    forms_.push_back(form);
}

Replacements ChangedForms::everywhere(const Expr& e, const Expr& other) const {
  Replacements parts;
  const std::string key = key_of(e);
  for (const Expr& part : parts_)
    if (part->kind == e->kind && part->shape == e->shape && key_of(part) == key)
      parts[part.get()] = other;
  return parts;
}

Expr ChangedForms::readable(const Expr& e) const { return multiplied_out(trace_, e); }

std::string ChangedForms::in_the_place(const Expr& now, const Expr& right) const {
  std::string why = relation(trace_, comparison_, text_, now, right);
  if (why.empty()) why = factors_missing(now, right);
  if (why.empty()) why = data_missing(now, right);
  return with_right(fmt::format("{} stands in the place of {}{}{}", text_(readable(now)),
                                text_(right), why.empty() ? "" : ": ", why));
}
// What data that nothing was recorded of was made with, besides a tensor: y + θ.
std::string ChangedForms::data_missing(const Expr& part, const Expr& whole) const {
  if (whole->kind != Kind::constant || !part->is_symbol()) return "";
  for (const Expr& other : tensors_) {
    if (other->node == part->node || trace_.forward(other->node)) continue;
    const auto is = [&](auto f) {
      const Expr made =
          built([&](Builder& builder) { return f(builder.value(part), builder.value(other)); });
      return made && made->shape == whole->shape &&
             comparison_.same(evaluate(made, comparison_.point(0)), whole->value);
    };
    if (is([](const Tensor& a, const Tensor& b) { return a + b; }))
      return fmt::format("the term {} is missing", text_(other));
    if (is([](const Tensor& a, const Tensor& b) { return a - b; }))
      return fmt::format("the term −{} is missing", text_(other));
    if (is([](const Tensor& a, const Tensor& b) { return a * b; }))
      return fmt::format("the factor {} is missing", text_(other));
    if (is([](const Tensor& a, const Tensor& b) { return a / b; }))
      return fmt::format("the factor {} is missing", inverse_in_words(comparison_, text_, other));
  }
  return "";
}
// What a result or a gradient is a product of, besides a part of it.
std::string ChangedForms::factors_missing(const Expr& part, const Expr& whole) const {
  if (!whole->is_symbol()) return "";
  const Expr& formula =
      whole->kind == Kind::gradient ? trace_.gradient(whole->node) : trace_.forward(whole->node);
  if (!formula) return "";
  std::vector<Expr> to_do{formula};
  std::set<std::string> others;
  bool found = false;
  for (std::size_t k = 0; k < to_do.size() && k < 16; ++k) {
    const Expr e = to_do[k];
    if (e->is(Role::Kind::product)) {
      to_do.insert(to_do.end(), {e->operands[0], e->operands[1]});
    } else if (comparison_.same(evaluate(e, comparison_.point(0)),
                                evaluate(part, comparison_.point(0)))) {
      found = true;
    } else if (e->kind == Kind::tensor && trace_.forward(e->node) &&
               trace_.forward(e->node)->is(Role::Kind::product)) {
      to_do.push_back(trace_.forward(e->node));
    } else {
      others.insert(text_(e));
    }
  }
  if (!found || others.size() != 1) return "";
  return fmt::format("the factor {} is missing", *others.begin());
}

}  // namespace chainrule::derivation
