#include <chainrule/graph/checking/changes.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <vector>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/checking/changed_forms.hpp>
#include <chainrule/graph/checking/mutate.hpp>
#include <chainrule/graph/checking/relation.hpp>
#include <chainrule/graph/checking/wrong_axis.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/graph/derivation/role_check.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

class ChangedOperations : public ChangedForms {
 public:
  using ChangedForms::ChangedForms;

  std::string find() {
    using Self = ChangedOperations;
    return first_of(*this, {&Self::axes, &Self::all_axes, &Self::along_another, &Self::transposes,
                            &Self::slopes, &Self::slices});
  }
  std::string find_left_out(const std::vector<Expr>& forms) {
    forms_ = forms;
    return first_of(*this, {&ChangedOperations::left_out});
  }
  std::string find_exchanged() {
    using Self = ChangedOperations;
    return first_of(
        *this, {&Self::exchanged, &Self::left_out, &Self::computations, &Self::values_for_slopes});
  }

 private:
  // A sum, a mean or softmax over the other axis of a matrix; and one summand for all.
  std::string axes(const Expr& form, const Expr& e) {
    // A named result is what it was computed by.
    if (e->kind == Kind::tensor && trace_.forward(e->node) &&
        trace_.forward(e->node)->shape == e->shape)
      return other_axis(form, e, trace_.forward(e->node));
    if (e->kind != Kind::operation || e->operands.size() != 1 || !e->operands[0]) return "";
    const Expr& of = e->operands[0];
    if (std::string found = one_for_all(form, e); !found.empty()) return found;
    if (of->shape.rank() != 2) return "";
    if (e->is(Role::Kind::total) || e->is(Role::Kind::mean)) {
      const bool is_mean = e->is(Role::Kind::mean);
      for (int axis = 0; axis < 2; ++axis)
        for (const bool keep : {true, false})
          for (const bool scaled : {false, true}) {  // a mean, as a sum that is divided elsewhere
            if (is_mean && scaled) continue;
            if (Expr other = built([&](Builder& builder) {
                  const Tensor x = builder.value(of);
                  const double count = static_cast<double>(x.shape()[1 - axis]);
                  return is_mean  ? mean(x, axis, keep)
                         : scaled ? mean(x, axis, keep) * count
                                  : sum(x, axis, keep);
                });
                other && key_of(other) != key_of(e) && fits(form, e, other))
              return over_wrong_axis(other, e);
          }
      return "";
    }
    return other_axis(form, e, e);
  }
  std::string other_axis(const Expr& form, const Expr& e, const Expr& computed) {
    if (computed->kind != Kind::operation || computed->operands.size() != 1 ||
        !computed->operands[0] || e->shape.rank() != 2 ||
        computed->operands[0]->shape != e->shape || computed->op()->elementwise())
      return "";
    const Expr other = built([&](Builder& builder) {
      const Tensor x = builder.value(computed->operands[0]).T();
      return apply_again(*computed->application, std::span(&x, 1)).T();
    });
    if (!other || key_of(other) == key_of(e)) return "";
    return fits(form, e, other) || comparison_.gives(replaced(form, everywhere(e, other)))
               ? with_right(fmt::format("over the wrong axis: {} is taken over the other one",
                                        text_(computed)))
               : "";
  }
  // The first or the last summand in the place of all.
  std::string one_for_all(const Expr& form, const Expr& e) {
    if (!e->is(Role::Kind::total)) return "";
    const Expr& of = e->operands[0];
    for (int axis = 0; axis < of->shape.rank(); ++axis) {
      if (of->shape[axis] < 2 || of->shape.numel() / of->shape[axis] != e->shape.numel()) continue;
      for (const bool last : {false, true}) {
        const Expr one = built([&](Builder& builder) {
          const std::vector<Tensor> slices = split(builder.value(of), 1, axis);
          return reshape(last ? slices.back() : slices.front(), e->shape);
        });
        if (fits(form, e, one))
          return with_right(fmt::format("the {} of the summands alone stands in the place of {}",
                                        last ? "last" : "first", text_(e)));
      }
    }
    return "";
  }
  // All sums and means at once.
  std::string all_axes(const Expr& form, const Expr& e) {
    if (e != form) return "";
    for (const int axis : {0, 1}) {
      Expr changed = form;
      std::size_t places = 0;
      for (const Expr& part : parts_) {
        if (!(part->is(Role::Kind::total) || part->is(Role::Kind::mean))) continue;
        Expr now;
        visit_parts(changed, [&](const Expr& one) {
          if (one->application == part->application) now = one;
        });
        if (!now || now->operands[0]->shape.rank() != 2) return "";
        const Expr other = built([&](Builder& builder) {
          const Tensor x = builder.value(now->operands[0]);
          return now->is(Role::Kind::mean) ? mean(x, axis, true) : sum(x, axis, true);
        });
        if (!other) return "";
        changed = replaced(changed, {{now.get(), other}});
        ++places;
      }
      if (places > 1 && comparison_.gives(changed))
        return with_right(fmt::format("the sums are over the wrong axis, over axis {}", axis));
    }
    return "";
  }
  std::string over_wrong_axis(const Expr& now, const Expr& right) const {
    return with_right(fmt::format("over the wrong axis: {} stands in the place of {}",
                                  text_(readable(now)), text_(right)));
  }

  // A vector of n in a matrix of n rows and n columns.
  std::string along_another(const Expr& form, const Expr& e) {
    if (e == form) return "";
    // Said of the right vector: the person's stands along the other axis.
    const std::optional<WrongAxis> other = along_other_axis(comparison_, text_, e);
    if (!other || !fits(form, e, other->right)) return "";
    const std::optional<WrongAxis> back = along_other_axis(comparison_, text_, other->right);
    return back ? with_right(back->words) : "";
  }

  // A square matrix, transposed.
  std::string transposes(const Expr& form, const Expr& e) {
    if (e->shape.rank() != 2 || e->shape[0] != e->shape[1] || e->shape[0] < 2 || e == form ||
        e->kind == Kind::number)
      return "";
    const Expr other = built([&](Builder& builder) { return builder.value(e).T(); });
    return other && fits(form, e, other)
               ? with_right(fmt::format("an operand is transposed: {} stands in the place of {}",
                                        text_(other), text_(e)))
               : "";
  }

  // φ(g) for g ⊗ φ'(z); and the slope with another tensor in the place of φ(z).
  std::string slopes(const Expr& form, const Expr& e) {
    if (e->is(Role::Kind::product))
      for (const std::size_t k : {0, 1}) {
        const Expr &slope = e->operands[k], &other = e->operands[1 - k];
        if (!slope || slope->kind != Kind::slope || !other) continue;
        if (fits(form, e, built([&](Builder& builder) {
                   return builder.value(
                       operation_expression(slope->application, {other}, other->shape));
                 })))
          return with_right(fmt::format(
              "{} is taken of {}: the factor {} belongs there",
              slope_name(*slope->application).substr(0, slope_name(*slope->application).size() - 1),
              text_(other), text_(slope)));
      }
    if (e->kind != Kind::slope) return "";
    for (const NamedFunction& slope : named_slopes())
      if (fits(form, e,
               built([&](Builder& builder) { return slope.of(builder.value(e->operands[0])); })))
        return with_right(fmt::format("{} in the place of {}: of {}", slope.name,
                                      slope_name(*e->application), text_(e->operands[0])));
    // The form of it in φ(z), as y ⊗ (1 − y).
    for (const WrongSlope& form_of : wrong_slopes()) {
      const Expr same = form_of.made(e, comparison_.point(0));
      if (!same || !comparison_.same(evaluate(same, comparison_.point(0)),
                                     evaluate(e, comparison_.point(0))))
        continue;
      for (const Expr& other : tensors_)
        if (broadcast(other->shape, e->shape) == e->shape &&
            fits(form, e, built([&](Builder& builder) {
                   return form_of.of(expand(builder.value(other), e->shape),
                                     builder.value(e->operands[0]), builder.value(e));
                 })))
          return with_right(
              fmt::format("in {}, {} stands in the place of {}", text_(e), text_(other),
                          text_(operation_expression(e->application, e->operands, e->shape))));
    }
    return "";
  }

  // A slice of other places, as the program or the formula has one.
  std::string slices(const Expr& form, const Expr& e) {
    if (!e->is(Role::Kind::slice) && e->kind != Kind::constant) return "";
    for (const Expr& other : slices_of_program()) {
      if (other->shape != e->shape || other->kind != e->kind || key_of(other) == key_of(e))
        continue;
      if (e->kind != Kind::constant && key_of(other->operands[0]) != key_of(e->operands[0]))
        continue;
      if (fits(form, e, other)) return in_the_place(other, e);
    }
    return "";
  }

  // Two symbols in the place of each other, and two parts that are put somewhere.
  std::string exchanged(const Expr& form, const Expr& e) {
    const bool scatters = e->is(Role::Kind::scatter);
    if (const std::string functions = exchanged_functions(form, e); !functions.empty())
      return functions;
    if (!e->is_symbol() && !scatters) return "";
    for (const Expr& other : parts_) {
      if (other == e) break;  // each pair once
      if (other->kind != e->kind || key_of(other) == key_of(e)) continue;
      const Expr &a = scatters ? e->operands[0] : e, &b = scatters ? other->operands[0] : other;
      if (!a || !b || a->shape != b->shape) continue;
      Replacements parts;
      if (scatters) {
        if (!other->is(Role::Kind::scatter) || other->op() != e->op() || e->shape != other->shape)
          continue;
        parts[e.get()] = with_operand(e, a, b);
        parts[other.get()] = with_operand(other, b, a);
      } else {
        parts = everywhere(a, b);
        parts.merge(everywhere(b, a));
      }
      if (comparison_.gives(replaced(form, parts)))
        return with_right(fmt::format("{} and {} are exchanged", text_(b), text_(a)));
    }
    return "";
  }

  // Two functions of the same operand, as sin and cos.
  std::string exchanged_functions(const Expr& form, const Expr& e) {
    if (!is_function(e)) return "";
    for (const Expr& other : parts_) {
      if (other == e) break;  // each pair once
      if (!is_function(other) || other->op() == e->op() ||
          key_of(other->operands[0]) != key_of(e->operands[0]))
        continue;
      Replacements parts = everywhere(e, other);
      parts.merge(everywhere(other, e));
      if (comparison_.gives(replaced(form, parts)))
        return with_right(fmt::format("{} and {} are exchanged", text_(other), text_(e)));
    }
    return "";
  }

  // A symbol left out wherever it stands: as a factor, or as a term.
  std::string left_out(const Expr& form, const Expr& e) {
    if (!e->is_symbol()) return "";
    const auto is_term = [&](const Expr& part) {
      const std::vector<Expr> users = users_of(part, parts_);
      return std::ranges::all_of(users, [](const Expr& user) {
        return user->is(Role::Kind::sum) || user->is(Role::Kind::difference);
      });
    };
    const bool terms = std::ranges::all_of(parts_, [&](const Expr& part) {
      return part->kind != e->kind || part->node != e->node || is_term(part);
    });
    const double instead = terms ? 0 : 1;
    if (comparison_.gives(replaced(form, everywhere(e, number_expression(instead, e->shape)))))
      return with_right(fmt::format("the {} {} is missing wherever it stands",
                                    instead == 1 ? "factor" : "term", text_(e)));
    return "";
  }

  // Whether a tensor stands in comparisons alone: whatever has its signs serves there as well.
  bool is_compared_alone(const Expr& e) const {
    return std::ranges::all_of(parts_, [&](const Expr& user) {
      return user->is(Role::Kind::comparison) ||
             std::ranges::none_of(user->operands, [&](const Expr& operand) {
               return operand && operand->kind == e->kind && operand->node == e->node;
             });
    });
  }

  // A tensor of the formula, computed with a mistake.
  std::string computations(const Expr& form, const Expr& e) {
    if (e->kind != Kind::tensor || !trace_.forward(e->node) || is_compared_alone(e)) return "";
    std::string found;
    Expr of = without_unnamed(trace_, trace_.forward(e->node));
    for (const bool deeper : {false, true}) {
      if (deeper) {
        Replacements parts;
        visit_parts(of, [&](const Expr& part) {
          if (part->kind == Kind::tensor && trace_.forward(part->node))
            parts[part.get()] = without_unnamed(trace_, trace_.forward(part->node));
        });
        if (parts.empty()) break;
        of = replaced(of, parts);
      }
      if (size_of(of) > largest_form) break;
      const auto explains = [&](const Mutant& mutant) {
        if (comparison_.exhausted()) return true;
        if (mutant.formula->shape != e->shape ||
            !comparison_.gives(replaced(form, everywhere(e, mutant.formula))))
          return false;
        std::string words = mutant.mistake;
        if (mutant.now)
          if (const std::string missing =
                  missing_beside(comparison_, text_, mutant.before, mutant.now);
              !missing.empty())
            words = missing;
        found = with_right(
            fmt::format("{} in {}: {} stands in {}", words, text_(e),
                        text_(mutant.now ? mutant.now : mutant.formula),
                        mutant.now ? "the place of " + text_(mutant.before) : "its place"));
        return true;
      };
      if (for_each_mutant(trace_, {of, e->node}, comparison_.point(0), Mistakes::in_operations,
                          explains))
        return found;
    }
    return "";
  }

  // A function in the place of its derivative, or the slope of another: of several steps, as Φ or
  // σ' for φ.
  std::string values_for_slopes(const Expr& form, const Expr& e) {
    if (e != form || form != forms_[0]) return "";
    const std::uint32_t target = comparison_.suspect().node;
    const Expr operand = tensor_expression(target, form->shape);
    for (std::uint32_t i = 0; i < trace_.size(); ++i) {
      if (i == target || !trace_.forward(i) || !trace_.gradient(i) ||
          trace_.node(i).shape() != form->shape)
        continue;
      const Expr value = tensor_expression(i, form->shape);
      const auto gives = [&](auto slope) {
        return comparison_.gives([&](std::size_t p) {
          return evaluate(trace_.gradient(i), comparison_.point(p)) *
                 slope(evaluate(value, comparison_.point(p)),
                       evaluate(operand, comparison_.point(p)));
        });
      };
      const Expr function = without_unnamed(trace_, trace_.forward(i));
      bool is_of_it = false;
      visit_parts(function, [&](const Expr& part) {
        is_of_it |= part->kind == Kind::tensor && part->node == target;
      });
      if (!is_of_it) continue;
      if (gives([](const Tensor& y, const Tensor&) { return y; }))
        return with_right(fmt::format("{} stands in the place of its derivative", text_(function)));
      std::string written;
      for (const SlopeOfResult& slope : slopes_of_results())
        if (written.empty() && gives([&](const Tensor& y, const Tensor&) { return slope.of(y); }))
          written = slope.words;
      for (const NamedFunction& slope : named_slopes()) {
        if (!written.empty()) break;
        const double number = number_in_front(evaluate(trace_.gradient(i), comparison_.point(0)) *
                                              slope.of(evaluate(operand, comparison_.point(0))));
        if (gives([&](const Tensor&, const Tensor& z) { return number * slope.of(z); }))
          written = fmt::format("{}({})", slope.name, text_(operand));
      }
      if (!written.empty())
        return with_right(fmt::format("{} stands in the place of the derivative of {}", written,
                                      text_(function)));
    }
    return "";
  }

  // The c with which c·x may be what the formula gave; 1 where so few elements say nothing of it.
  double number_in_front(const Tensor& x) const {
    const std::vector<double> a = numbers(x), b = numbers(comparison_.value(0));
    double aa = 0, ab = 0;
    for (std::size_t e = 0; e < a.size() && a.size() == b.size(); ++e) {
      aa += a[e] * a[e];
      ab += a[e] * b[e];
    }
    return a.size() * comparison_.points() < 3 || !(aa > 0) || !std::isfinite(ab / aa) ? 1
                                                                                       : ab / aa;
  }

  const std::vector<Expr>& slices_of_program() {
    if (slices_.empty()) {
      std::set<std::string> seen;
      const auto keep = [&](const Expr& formula) {
        if (formula)
          visit_parts(formula, [&](const Expr& part) {
            if ((part->is(Role::Kind::slice) || part->kind == Kind::constant) &&
                seen.insert(key_of(part)).second)
              slices_.push_back(part);
          });
      };
      for (const Expr& form : forms_) keep(form);
      for (std::uint32_t i = 0; i < trace_.size(); ++i) keep(trace_.forward(i));
    }
    return slices_;
  }

  std::vector<Expr> slices_;
};

}  // namespace

std::string changed_operations(const Trace& trace, const Comparison& comparison, const Text& text) {
  return ChangedOperations(trace, comparison, text).find();
}

std::string left_out_of(const std::vector<Expr>& forms, const Trace& trace,
                        const Comparison& comparison, const Text& text) {
  return ChangedOperations(trace, comparison, text).find_left_out(forms);
}

std::string exchanged_or_left_out(const Trace& trace, const Comparison& comparison,
                                  const Text& text) {
  return ChangedOperations(trace, comparison, text).find_exchanged();
}

}  // namespace chainrule::derivation
