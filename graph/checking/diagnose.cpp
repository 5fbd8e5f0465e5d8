#include <chainrule/graph/checking/diagnose.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <set>
#include <vector>

#include <chainrule/graph/checking/candidate.hpp>
#include <chainrule/graph/checking/changes.hpp>
#include <chainrule/graph/checking/fit.hpp>
#include <chainrule/graph/checking/mutate.hpp>
#include <chainrule/graph/checking/relation.hpp>
#include <chainrule/graph/checking/repair.hpp>
#include <chainrule/graph/checking/repeated.hpp>
#include <chainrule/graph/checking/solved_forms.hpp>
#include <chainrule/graph/checking/terms.hpp>
#include <chainrule/graph/checking/upstream.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/join.hpp>

namespace chainrule::derivation {

namespace {

// Longer forms of a right formula are not searched for mistakes.
constexpr int largest_form = 60;

class Diagnosis {
 public:
  Diagnosis(const Trace& trace, const Suspect& suspect, const Text& text)
      : trace_(trace), comparison_(trace, suspect), suspect_(suspect), text_(text) {}

  std::string find() {
    const NoGrad guard;
    using enum Mistakes;
    // The simplest explanations first.
    const std::function<std::string()> attempts[] = {
        [&] { return by_numbers(); },
        [&] { return mean_for_sum(comparison_, text_); },
        [&] { return wrong_terms(trace_, comparison_, text_, Terms::certain); },
        [&] { return by_mutants({in_operations, in_products, in_conditions}); },
        [&] { return wrong_terms(trace_, comparison_, text_, Terms::two_missing); },
        [&] { return repair_inverse(trace_, comparison_, text_); },
        [&] { return wrong_factor(trace_, comparison_, text_); },
        [&] { return repair_axes(trace_, comparison_, text_); },
        [&] { return repair_structure(trace_, comparison_, text_); },
        [&] { return by_mutants({in_symbols}); },
        [&] { return wrong_terms(trace_, comparison_, text_, Terms::one); },
        [&] { return repair_operands(trace_, comparison_, text_); },
        [&] { return for_another(); },
        [&] { return repair_by_two(trace_, comparison_, text_); },
        [&] { return by_mutants_of_other_forms({in_operations, in_conditions}); },
        [&] { return reversed(); },
        [&] { return by_mutants({in_signs, in_quotients}); },
        [&] { return changed_operations(trace_, comparison_, text_); },
        [&] { return other_tensors(trace_, comparison_, text_); },
        [&] { return exchanged_or_left_out(trace_, comparison_, text_); },
        [&] { return only_at_zeros_bare(); },
        [&] { return repair_small_parts(trace_, comparison_, text_); },
        [&] { return wrong_terms(trace_, comparison_, text_, Terms::several); },
        [&] { return shifted_index(trace_, comparison_, text_); },
        [&] { return terms_missing_in(trace_, comparison_, text_, solved()); },
        [&] { return wrong_terms(trace_, comparison_, text_, Terms::any_number); },
        [&] { return repair_numbers(trace_, comparison_, text_); },
        [&] { return is_bare() ? too_many_operands(trace_, comparison_, text_) : ""; },
        [&] { return by_mutants({everywhere, in_two_symbols}); },
        [&] { return mistake_above(trace_, comparison_, text_); },
        [&] { return by_mutants_of_other_forms({in_symbols, everywhere, in_signs, in_quotients}); },
        [&] { return same_mistake_twice(trace_, comparison_, text_); },
        [&] { return repair_parts(trace_, comparison_, text_); },
        [&] { return is_bare() ? "" : too_many_operands(trace_, comparison_, text_); },
        [&] { return left_out_of(solved(), trace_, comparison_, text_); },
        [&] { return other_parts(trace_, comparison_, text_); }};
    const auto first_of = [&] {
      for (const auto& find : attempts) {
        comparison_.forget_fits();
        // Candidates ask operations for numbers that the program did not have.
        if (std::string found = attempt(find).value_or(""); !found.empty()) return found;
      }
      return std::string();
    };
    if (std::string found = zero_or_not_finite(); !found.empty()) return found;
    std::string found = first_of();
    // What fits by an identity of the program's tensors goes behind all that needs none.
    if (!found.empty() && !comparison_.fitted_freely()) {
      comparison_.ask_freely();
      if (std::string freely = first_of(); !freely.empty()) found = std::move(freely);
    }
    if (found.empty())
      found = attempt([&] { return repair_rest(trace_, comparison_, text_); }).value_or("");
    if (found.empty()) found = only_at_zeros();
    if (found.empty()) found = by_place();
    return found;
  }

 private:
  // Of a formula that was recorded what it has is asked first.
  bool is_bare() const { return !suspect_.formula; }
  const Tensor& value() const { return comparison_.value(0); }
  const Tensor& expected() const { return comparison_.expected(0); }
  std::string right() const { return text_(suspect_.right); }

  std::string zero_or_not_finite() const {
    if (!comparison_.same_shape()) return "";
    const std::vector<double> x = numbers(expected()), y = numbers(value());
    if (std::ranges::all_of(y, [](double element) { return element == 0; }))
      return fmt::format("it is 0; the chain rule gives {}", right());
    for (std::size_t i = 0; i < y.size(); ++i)
      if (std::isfinite(x[i]) && !std::isfinite(y[i]))
        return fmt::format("it is {} at {}; the chain rule gives {}", y[i],
                           to_string(position_of(static_cast<std::int64_t>(i), value().shape())),
                           right());
    return "";
  }

  // Mistakes that need no look into the formula.
  std::string by_numbers() const {
    const auto all = [&](auto f) {
      return comparison_.gives([&](std::size_t p) { return f(comparison_.expected(p)); });
    };
    if (suspect_.accumulated.defined() && comparison_.same(suspect_.accumulated, value()) &&
        comparison_.same(expected() * 2.0, value()))
      return "accumulated twice: this is grad() after a second backward(), without zero_grad()";
    const bool negative = all([](const Tensor& x) { return -x; });
    if (negative && !suspect_.right->is(Role::Kind::difference))
      return fmt::format("the sign is wrong: this is −({})", right());
    // Where the transpose is the negative, the sign is what people forget.
    if (expected().rank() != 2 || negative) return "";
    if (all([](const Tensor& x) { return x.T(); }))
      return fmt::format("transposed: this is the transpose of {}", right());
    if (all([](const Tensor& x) { return (x + x.T()) / 2.0; }))
      return fmt::format("symmetrised: this is the mean of it and its transpose, of {}", right());
    if (!all([](const Tensor& x) { return x * 2.0; }) &&
        all([](const Tensor& x) { return x + x.T(); }))
      return fmt::format("symmetrised: this is the sum of it and its transpose, of {}", right());
    return "";
  }
  // The gradient for another tensor of the same shape.
  std::string for_another() const {
    const Shape& shape = expected().shape();
    for (std::uint32_t i = 0; i < trace_.size() && !suspect_.inner; ++i) {
      if (i == suspect_.node || i == trace_.loss() || !trace_.gradient(i) ||
          trace_.node(i).name().empty() || trace_.node(i).shape() != shape || !trace_.is_named(i))
        continue;
      const Expr gradient = gradient_expression(i, shape);
      if (!comparison_.gives(gradient)) continue;
      // That of the layer below has the same form.
      const std::string layers = by_mutants({Mistakes::in_two_symbols});
      return !layers.empty()
                 ? layers
                 : fmt::format("this is {}, the gradient for {}; the chain rule gives {}",
                               text_(gradient), text_(tensor_expression(i, shape)), right());
    }
    return "";
  }
  std::string reversed() const {
    const Shape& shape = expected().shape();
    for (int axis = 0; axis < shape.rank(); ++axis)
      if (shape[axis] > 2 && comparison_.gives([&](std::size_t p) {
            return backwards(comparison_.expected(p), axis);
          }))
        return fmt::format("in the reverse order{}; the chain rule gives {}",
                           shape.rank() > 1 ? fmt::format(" along axis {}", axis) : "", right());
    return "";
  }
  static Tensor backwards(const Tensor& x, int axis) {
    std::vector<Tensor> slices = split(x, 1, axis);
    std::ranges::reverse(slices);
    return concat(slices, axis);
  }

  std::string by_mutants(std::initializer_list<Mistakes> kinds) const {
    return by_mutants(comparison_.right_step(), kinds);
  }
  // In what the rules gave, with the formulas of other gradients, of tensors without a name, and of
  // one with a name put in.
  std::string by_mutants_of_other_forms(std::initializer_list<Mistakes> kinds) const {
    std::vector<Expr> forms = comparison_.right_forms();
    if (comparison_.opened_form()) forms.push_back(comparison_.opened_form());
    const std::size_t as_they_are = forms.size();
    for (std::size_t k = 0; k < as_they_are; ++k)
      forms.push_back(written_out(forms[k], comparison_.point(0)));
    visit_parts(suspect_.right, [&](const Expr& part) {
      if (part->kind == Expression::Kind::tensor && trace_.forward(part->node))
        forms.push_back(replaced(suspect_.right, {{part.get(), trace_.forward(part->node)}}));
    });
    std::set<std::string> seen{key_of(suspect_.right)};
    for (const Expr& form : forms)
      if (size_of(form) <= largest_form && seen.insert(key_of(form)).second)
        if (std::string found = by_mutants(form, kinds); !found.empty()) return found;
    return "";
  }
  std::string by_mutants(const Expr& form, std::initializer_list<Mistakes> kinds) const {
    std::string found;
    Expr meant;
    std::set<std::string> written;
    const auto explains = [&](const Mutant& mutant) {
      if (comparison_.exhausted()) return true;
      if (meant && mutant.meant != meant) return true;
      if (!comparison_.gives(mutant.formula)) return false;
      // Of numbers alone all tensors that fit are said, and of a formula one that it has.
      if (mutant.written && is_bare() && meant) {
        if (written.insert(text_(mutant.written)).second)
          found = fmt::format("{} stands in the place of {}; the chain rule gives {}",
                              fmt::join(written, " or "), text_(meant), right());
        return false;
      }
      if (mutant.written && !is_bare() && !found.empty() && !is_written(mutant.written))
        return false;
      std::string mistake =
          mutant.left_out ? fmt::format("the condition {} is left out", text_(mutant.left_out))
                          : mutant.mistake;
      if (mutant.written)
        if (const std::string known =
                relation(trace_, comparison_, text_, mutant.written, mutant.meant);
            !known.empty())
          mistake = fmt::format("{} stands in the place of {}: {}", text_(mutant.written),
                                text_(mutant.meant), known);
      const bool is_shown = form == suspect_.right || form == comparison_.right_step();
      found =
          mutant.says_all ? fmt::format("{} stands in the place of {}; the chain rule gives {}",
                                        text_(mutant.now), text_(mutant.before), right())
          : mutant.now && (!is_shown || mutant.now->shape.numel() < mutant.before->shape.numel())
              ? fmt::format("{}: {} stands in the place of {}; the chain rule gives {}", mistake,
                            text_(mutant.now), text_(mutant.before), right())
              : fmt::format("{}: this is {}; the chain rule gives {}", mistake,
                            text_(mutant.formula), right());
      if (!mutant.written) return true;
      meant = is_bare() ? mutant.meant : nullptr;
      written.insert(text_(mutant.written));
      return !is_bare() && is_written(mutant.written);
    };
    for (const Mistakes kind : kinds)
      if (for_each_mutant(trace_, {form, suspect_.node, suspect_.formula}, comparison_.point(0),
                          kind, explains))
        break;
    return found;
  }

  // Whether the formula has a tensor; of gradients the tensors are there that they were made from.
  bool is_written(const Expr& symbol) const {
    bool found = symbol->kind != Expression::Kind::tensor;
    visit_parts(suspect_.formula,
                [&](const Expr& part) { found = found || key_of(part) == key_of(symbol); });
    return found;
  }

  const std::vector<Expr>& solved() {
    if (!solved_) solved_ = solved_forms(trace_, comparison_);
    return *solved_;
  }

  // How many elements are wrong, how many of them where the gradient is 0, and which is the first.
  struct Places {
    std::size_t wrong = 0, at_zero = 0, first = 0, size = 0;
  };
  Places places() const {
    const std::vector<double> x = numbers(expected()), y = numbers(value());
    const double tolerance = std::max(suspect_.tolerance, 1e-9) * largest(x);
    Places places{.size = x.size()};
    for (std::size_t i = 0; i < x.size(); ++i)
      if (suspect_.wrong.empty() ? !(difference(x[i], y[i]) <= tolerance) : suspect_.wrong[i]) {
        if (places.wrong++ == 0) places.first = i;
        places.at_zero += x[i] == 0;
      }
    return places;
  }
  // A mask as a factor mends whatever is wrong behind it: of bare numbers no more can be said.
  std::string only_at_zeros_bare() const { return suspect_.formula ? "" : only_at_zeros(); }
  std::string only_at_zeros() const {
    if (!comparison_.same_shape()) return "";
    const Places p = places();
    return p.wrong > 0 && p.wrong == p.at_zero && p.wrong < p.size
               ? fmt::format(
                     "wrong only where the gradient is 0, at {} of {} elements: behind a "
                     "mask or at a kink",
                     p.wrong, p.size)
               : "";
  }

  // Right but for some elements.
  std::string by_place() const {
    const Shape &is = value().shape(), &should = expected().shape();
    if (is != should) {
      for (int axis = 0; axis < is.rank(); ++axis)
        for (const bool keep : {false, true})
          if (same_after_sum(axis, keep))
            return fmt::format("the sum over axis {} is missing; the chain rule gives {}", axis,
                               right());
      return fmt::format("the shape is {} instead of {}; the chain rule gives {}", to_string(is),
                         to_string(should), right());
    }
    const Places p = places();
    if (p.wrong == 1 && p.size > 2) {
      const double is_there = numbers(value())[p.first], right_there = numbers(expected())[p.first];
      const double ratio = is_there / right_there;
      const auto near = [&](double x) { return std::abs(ratio - x) < 1e-6; };
      const std::string wrong = is_there == 0 ? "which is 0"
                                : near(-1)    ? "whose sign is wrong"
                                : near(2)     ? "which is too large by a factor of 2"
                                : near(0.5)   ? "which is too small by a factor of 2"
                                              : "";
      if (!wrong.empty())
        return fmt::format("right but for the element {}, {}; the chain rule gives {}",
                           to_string(position_of(static_cast<std::int64_t>(p.first), is)), wrong,
                           right());
    }
    if (p.wrong > 0 && (p.wrong <= p.size / 4 || (p.wrong == 1 && p.size > 2)))
      return fmt::format("right but for {} of {} elements, the first at {}", p.wrong, p.size,
                         to_string(position_of(static_cast<std::int64_t>(p.first), is)));
    return "";
  }
  bool same_after_sum(int axis, bool keep) const {
    return comparison_.repairs(
        [&](std::size_t p) { return sum(comparison_.value(p), axis, keep); });
  }

  const Trace& trace_;
  Comparison comparison_;
  const Suspect& suspect_;
  const Text& text_;
  std::optional<std::vector<Expr>> solved_;  // where they are asked for
};

}  // namespace

std::string diagnose(const Trace& trace, const Suspect& suspect, const Text& text) {
  return Diagnosis(trace, suspect, text).find();
}

}  // namespace chainrule::derivation
