#include <chainrule/graph/checking/repair.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <set>
#include <string>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/checking/contrast.hpp>
#include <chainrule/graph/checking/taken_apart.hpp>
#include <chainrule/graph/checking/terms.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/role_check.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

// Of longer parts a reader does not see what is wrong with them.
constexpr int longest_shown = 30;

// Other tensors, factors and terms that are missing, and any part of the right formula in the place
// of another.
class Operands : public TakenApart {
 public:
  using TakenApart::TakenApart;

  std::string find_operands() {
    return find({&Operands::symbols, &Operands::masks, &Operands::factors_alone}, false);
  }
  std::string find_small_parts() {
    return find({&Operands::tensors, &Operands::small_parts, &Operands::factors, &Operands::terms},
                false);
  }
  std::string find_by_two() { return factors_of_two(formula_); }
  // What is left of the formula and a right one when all that both have is taken away.
  std::string find_contrast() {
    if (!comparison_.suspect().formula || !comparison_.same_shape()) return "";
    std::vector<Expr> forms = comparison_.right_forms();
    forms.insert(forms.begin(), comparison_.right_step());
    if (comparison_.opened_form()) forms.push_back(comparison_.opened_form());
    Expr closest;
    int least = 0;
    for (const Expr& form : forms) {
      const Contrast difference = contrast(trace_, comparison_, formula_, form);
      std::vector<Contrast> pairs{difference};
      if (difference.mine && difference.right)
        pairs = pairs_of_terms(trace_, comparison_, difference);
      int size = 0;
      for (const Contrast& pair : pairs)
        size += (pair.mine ? size_of(pair.mine) : 0) + (pair.right ? size_of(pair.right) : 0);
      if (size >= size_of(formula_) + size_of(form)) continue;
      if (size > longest_shown) {
        const bool is_gradient =
            difference.mine && difference.right && difference.right->kind == Kind::gradient;
        const std::string above =
            is_gradient ? about_gradient(difference.mine, difference.right) : "";
        if (!above.empty()) return above;
        continue;
      }
      if (closest && size >= least) continue;
      closest = form;
      least = size;
    }
    return closest ? with_right(instead(formula_, closest)) : "";
  }
  // Of parts that stand in the place of others the smallest.
  std::string find_parts() {
    const std::string found = find({&Operands::inverse_factors}, false);
    return found.empty() ? find({&Operands::functions}, true) : found;
  }

 private:
  using Attempt = std::string (Operands::*)(const Expr&) const;
  std::string find(std::initializer_list<Attempt> attempts, bool small_first) {
    if (parts_.size() > most_parts) return "";
    for (const Attempt attempt : attempts)
      for (std::size_t k = parts_.size(); k-- > 0;) {
        if (comparison_.exhausted()) return "";
        const Expr& part = parts_[small_first ? parts_.size() - 1 - k : k];
        if (std::string found = (this->*attempt)(part); !found.empty()) return found;
      }
    return "";
  }

  std::string tensors(const Expr& e) const {
    if (e->kind == Kind::number)
      for (const Expr& other : spares_)
        if (other->is_symbol() && broadcast(other->shape, formula_->shape) == formula_->shape &&
            fits(e, other))
          return with_right(fmt::format("a number stands in the place of the tensor {}: {}",
                                        text_(other), text_(e)));
    return "";
  }
  std::string symbols(const Expr& e) const {
    if (!e->is_symbol()) return "";
    const std::vector<Expr> users = users_of(e, parts_);
    for (const Expr& other : spares_) {
      if (!other->is_symbol() || key_of(other) == key_of(e)) continue;
      bool fit = fits(e, other);
      // One of several places alone.
      if (users.size() > 1 && other->shape == e->shape)
        fit = fit || std::ranges::any_of(users, [&](const Expr& user) {
                return fits(user, with_operand(user, e, other));
              });
      if (!fit) continue;
      // Nothing needs to be taken away where it is enough that something comes to it.
      if (std::string missing = operand_missing(e, other); !missing.empty())
        return with_right(missing);
      return with_right(fmt::format("{} stands in the place of {}{}", text_(e), text_(other),
                                    relation_of(e, other)));
    }
    return "";
  }

  // At a symbol, or at what it is an operand of.
  std::string operand_missing(const Expr& e, const Expr& other) const {
    std::vector<Expr> places = users_of(e, parts_);
    places.insert(places.begin(), e);
    for (const Expr& place : places) {
      if (broadcast(other->shape, place->shape) != place->shape) continue;
      const auto with = [&](auto f) {
        return fits(place, built([&](Builder& builder) {
                      return f(builder.value(place), builder.value(other));
                    }));
      };
      if (with([](const Tensor& a, const Tensor& b) { return a + b; }))
        return fmt::format("the term {} is missing at {}", text_(other), text_(place));
      if (with([](const Tensor& a, const Tensor& b) { return a * b; }))
        return fmt::format("the factor {} is missing at {}", text_(other), text_(place));
    }
    return "";
  }

  // ": of the wrong layer …", where there is something to say.
  std::string relation_of(const Expr& e, const Expr& other) const {
    const std::string known = relation(trace_, comparison_, text_, e, other);
    if (!known.empty()) return ": " + known;
    return trace_.node(other->node).name().empty() ? "" : ": of the wrong layer, time or kind";
  }

  // Two factors of a product, or a small part, for another part of the right formula: forms of
  // slopes such as y ⊗ (1 − y).
  std::string small_parts(const Expr& e) const {
    if (e->kind != Kind::operation || is_root(e)) return "";
    const auto is_small = [](const Expr& other) {
      return other->kind != Kind::number && !other->is_symbol() && size_of(other) <= 8;
    };
    const std::vector<Expr> factors = factors_of(e);
    for (const Expr& other : spares_) {
      if (!is_small(other) || other->shape != e->shape) continue;
      // What lacks a factor or a term is said so by others.
      if (is_small(e) && inside(other, e).empty() && inside(e, other).empty() && fits(e, other))
        return with_right(instead(e, other));
      for (std::size_t a = 0; a + 1 < factors.size() && factors.size() <= 6; ++a) {
        const auto product_with = [&](Builder& builder, bool pair) {
          Tensor product = pair ? builder.value(factors[a]) * builder.value(factors[a + 1])
                                : builder.value(other);
          for (std::size_t k = 0; k < factors.size() && !pair; ++k)
            if (k != a && k != a + 1) product = product * builder.value(factors[k]);
          return product;
        };
        if (fits(e, built([&](Builder& builder) { return product_with(builder, false); })))
          return with_right(
              instead(built([&](Builder& builder) { return product_with(builder, true); }), other));
      }
    }
    return "";
  }

  // Another mask: before its product with one, which may be the same.
  std::string masks(const Expr& e) const {
    if (e->kind != Kind::constant || !is_mask(e->value)) return "";
    for (const Expr& other : spares_)
      if (other->kind != Kind::number && other->shape == e->shape && fits(e, other) &&
          is_mask(evaluate(other, comparison_.point(0))))
        return with_right(mask_instead(e, other));
    if (fits_built(e, [](const Tensor& x) { return 1 - x; }))
      return with_right(fmt::format("the mask {} is reversed: 1 minus it belongs there", text_(e)));
    return "";
  }

  // A part for another of its shape that the right formula has.
  std::string functions(const Expr& e) const {
    if (e->kind == Kind::number || is_root(e)) return "";
    for (const Expr& other : spares_) {
      if (other->shape != e->shape || other->kind == Kind::number) continue;
      if (e->is_symbol() && (other->is_symbol() || size_of(other) > 8)) continue;
      if (size_of(other) + size_of(e) > 30 || !fits(e, other)) continue;
      if (e->kind == Kind::constant && is_mask(e->value) &&
          is_mask(evaluate(other, comparison_.point(0))))
        return with_right(mask_instead(e, other));
      return with_right(instead(e, other));
    }
    return "";
  }

  // What a part has that stands in the place of another, and what it lacks.
  std::string instead(const Expr& e, const Expr& other) const {
    const auto [mine, right, place, of] = contrast(trace_, comparison_, e, other);
    const char* kind = of == Contrast::Of::terms ? "term" : "factor";
    if (!right)
      return fmt::format("the {} {} does not belong there: {}", kind, text_(mine), text_(place));
    if (!mine) return fmt::format("the {} {} is missing at {}", kind, text_(right), text_(place));
    const auto said = [&](const Expr& part, const std::string& slope) {
      return text_(part) + (slope.empty() ? "" : ", which is " + slope + ",");
    };
    std::string words;
    std::set<std::string> pairs;
    for (const Contrast& pair : pairs_of_terms(trace_, comparison_, {mine, right, place, of})) {
      const std::string slope = slope_of_program(trace_, comparison_, pair.right);
      const bool is_slope = !slope.empty() || pair.right->kind == Kind::slope;
      const std::string mine_is = is_slope ? slope_in_words(comparison_, pair.mine)
                                           : slope_of_program(trace_, comparison_, pair.mine);
      const std::string one = fmt::format("{} stands in the place of {}", said(pair.mine, mine_is),
                                          said(pair.right, slope));
      if (pairs.insert(one).second) words += (words.empty() ? "" : " and ") + one;
    }
    if (words.back() == ',') words.pop_back();
    std::string why = inside(right, mine);
    if (why.empty() && right->kind == Kind::gradient) why = about_gradient(mine, right);
    if (why.empty()) why = one_term(mine, right);
    if (why.empty() && mine->kind == Kind::operation)
      if (std::string back = inside(mine, right); !back.empty())
        why = back.substr(0, back.rfind(" is missing")) + " does not belong there";
    if (why.empty() && mine->kind == Kind::operation && right->kind == Kind::operation &&
        mine->op() == right->op() && mine->operands.size() == 1 &&
        key_of(mine->operands[0]) == key_of(right->operands[0]) && !moves_elements(mine))
      why = "over the wrong axis";
    // A gradient written out at length says nothing more.
    if (why.starts_with("the mistake is above") && size_of(mine) > longest_shown) return why;
    return why.empty() ? words : why + ": " + words;
  }

  // What is wrong with a part that should be the gradient of another tensor.
  std::string about_gradient(const Expr& e, const Expr& gradient) const {
    if (gradient->node == comparison_.suspect().node || comparison_.suspect().inner) return "";
    Suspect suspect = comparison_.suspect();
    suspect.node = gradient->node;
    suspect.right = multiplied_out(trace_, trace_.gradient(gradient->node));
    suspect.formula = e;
    suspect.accumulated = {};
    suspect.wrong = {};
    suspect.inner = true;
    for (std::size_t p = 0; p < suspect.points.size(); ++p)
      suspect.values[p] = evaluate(e, *suspect.points[p]);
    const std::string found = diagnose(trace_, suspect, text_);
    return found.empty() ? ""
                         : fmt::format("the mistake is above, at {}: {}", text_(gradient), found);
  }

  // Whether a part is one of the terms of the other.
  std::string one_term(const Expr& e, const Expr& other) const {
    const std::vector<Expr> terms = terms_of(
        other->kind == Kind::gradient ? trace_.gradient(other->node) : other, comparison_.point(0));
    const Tensor mine = evaluate(e, comparison_.point(0));
    for (const Expr& term : terms)
      if (comparison_.same(evaluate(term, comparison_.point(0)), mine))
        return fmt::format("terms are missing, or a path: {} has more than that", text_(other));
    return "";
  }

  static bool is_mask(const Tensor& x) {
    return std::ranges::all_of(numbers(x), [](double e) { return e == 0 || e == 1; });
  }

  // A mask that was computed from something, in the place of another.
  std::string mask_instead(const Expr& mask, const Expr& other) const {
    const std::vector<double> mine = numbers(mask->value),
                              right = numbers(evaluate(other, comparison_.point(0)));
    if (largest_difference(numbers(1 - mask->value), right) == 0)
      return fmt::format("the mask is reversed: {} belongs there, not 1 minus it", text_(other));
    for (const Expr& spare : spares_) {
      if (!spare->is_symbol() || spare->shape != mask->shape) continue;
      const std::vector<double> x = numbers(evaluate(spare, comparison_.point(0)));
      // [x > c] or [x < c] for some c.
      for (const bool above : {true, false}) {
        double least = HUGE_VAL, most = -HUGE_VAL;  // where the mask is 1, and where it is 0
        for (std::size_t k = 0; k < x.size(); ++k) {
          const double value = above ? x[k] : -x[k];
          (mine[k] == 1 ? least : most) =
              mine[k] == 1 ? std::min(least, value) : std::max(most, value);
        }
        if (least > most && least < HUGE_VAL && most > -HUGE_VAL)
          return fmt::format("the mask is wrong: it goes by {}, and {} belongs there", text_(spare),
                             text_(other));
      }
    }
    return fmt::format("the mask {} stands in the place of {}", text_(mask), text_(other));
  }

  // What a part is to be multiplied or divided by: one tensor, elementwise; any part of the right
  // formula, or a matrix.
  std::string factors_alone(const Expr& e) const { return factor_missing(e, 1); }
  std::string factors(const Expr& e) const { return factor_missing(e, 12); }
  std::string factor_missing(const Expr& e, int most_size) const {
    if (e->kind == Kind::number) return "";
    for (const Expr& spare : spares_) {
      if (spare->kind == Kind::number || size_of(spare) > most_size) continue;
      if (spare->shape.rank() == 2 && spare->is_symbol() && most_size > 1) {
        const auto matrix = [&](auto f) {
          return fits(e, built([&](Builder& builder) {
                        return f(builder.value(spare), builder.value(e));
                      }));
        };
        if (matrix([](const Tensor& a, const Tensor& b) { return matmul(a, b); }) ||
            matrix([](const Tensor& a, const Tensor& b) { return matmul(a.T(), b); }) ||
            matrix([](const Tensor& a, const Tensor& b) { return matmul(b, a); }) ||
            matrix([](const Tensor& a, const Tensor& b) { return matmul(b, a.T()); }))
          return with_right(fmt::format("the factor {} is missing{}", text_(spare), at(e)));
      }
      if (broadcast(spare->shape, e->shape) != e->shape) continue;
      if (fits_in_one_place(
              e, built([&](Builder& builder) { return builder.value(e) * builder.value(spare); })))
        return with_right(fmt::format("the factor {} is missing{}", text_(spare), at(e)));
      if (fits(e,
               built([&](Builder& builder) { return -(builder.value(e) * builder.value(spare)); })))
        return with_right(fmt::format("the factor {} is missing{}",
                                      negative_in_words(comparison_, text_, spare), at(e)));
      if (!spare->is_symbol() || most_size > 1) continue;
      const Expr square_of = built([&](Builder& builder) { return square(builder.value(spare)); });
      for (const bool divided : {false, true})
        if (square_of && fits(e, built([&](Builder& builder) {
                                const Tensor a = builder.value(e), b = builder.value(square_of);
                                return divided ? a / b : a * b;
                              })))
          return with_right(fmt::format(
              "the factor {} is missing{}",
              divided ? inverse_in_words(comparison_, text_, square_of) : text_(square_of), at(e)));
    }
    return "";
  }

  std::string inverse_factors(const Expr& e) const {
    if (e->kind == Kind::number) return "";
    for (const Expr& spare : spares_)
      if (spare->kind != Kind::number && size_of(spare) <= 12 &&
          broadcast(spare->shape, e->shape) == e->shape &&
          fits(e, built([&](Builder& builder) { return builder.value(e) / builder.value(spare); })))
        return with_right(fmt::format("the factor {} is missing{}",
                                      inverse_in_words(comparison_, text_, spare), at(e)));
    return "";
  }

  // a ⊗ b or a ⊘ b of two tensors, for the whole.
  std::string factors_of_two(const Expr& e) const {
    std::vector<Expr> tensors;
    for (const Expr& spare : spares_)
      if (spare->kind == Kind::tensor && !trace_.node(spare->node).name().empty() &&
          broadcast(spare->shape, e->shape) == e->shape)
        tensors.push_back(spare);
    if (tensors.size() > 12) return "";
    for (const Expr& a : tensors)
      for (const Expr& b : tensors)
        for (const bool divided : {false, true}) {
          if (a == b && divided) continue;
          const Expr factor = built([&](Builder& builder) {
            const Tensor x = builder.value(a), y = builder.value(b);
            return divided ? x / y : x * y;
          });
          // A mask as a factor mends whatever is wrong behind it.
          if (!factor || is_mask(evaluate(factor, comparison_.point(0)))) continue;
          if (fits(e, built([&](Builder& builder) {
                     return builder.value(e) * builder.value(factor);
                   })))
            return with_right(fmt::format("the factor {} is missing{}", text_(factor), at(e)));
        }
    return "";
  }

  std::string terms(const Expr& e) const {
    if (e->kind == Kind::number) return "";
    for (const Expr& spare : spares_) {
      if (spare->kind == Kind::number || broadcast(spare->shape, e->shape) != e->shape) continue;
      const auto plus = [&](double sign) {
        return fits_in_one_place(e, built([&](Builder& builder) {
                                   return builder.value(e) + builder.value(spare) * sign;
                                 }));
      };
      for (const double sign : {1.0, -1.0})
        if (plus(sign)) {
          // Of numbers alone: what the right formula does not have came to it.
          const bool is_missing = comparison_.suspect().formula || is_term(spare);
          const bool is_subtracted = (sign < 0) == is_missing;
          return with_right(fmt::format(
              "the term {} {}{}",
              is_subtracted ? negative_in_words(comparison_, text_, spare) : text_(spare),
              is_missing ? "is missing" : "does not belong there", at(e)));
        }
    }
    return "";
  }
  bool is_term(const Expr& e) const {
    const Tensor value = evaluate(e, comparison_.point(0));
    return std::ranges::any_of(comparison_.right_forms(), [&](const Expr& form) {
      return std::ranges::any_of(terms_of(form, comparison_.point(0)), [&](const Expr& term) {
        const Tensor its = evaluate(term, comparison_.point(0));
        return comparison_.same(its, value) || comparison_.same(-its, value);
      });
    });
  }
};

}  // namespace

std::string repair_operands(const Trace& trace, const Comparison& comparison, const Text& text) {
  return Operands(trace, comparison, text).find_operands();
}

std::string repair_small_parts(const Trace& trace, const Comparison& comparison, const Text& text) {
  return Operands(trace, comparison, text).find_small_parts();
}

std::string repair_by_two(const Trace& trace, const Comparison& comparison, const Text& text) {
  return Operands(trace, comparison, text).find_by_two();
}

std::string repair_rest(const Trace& trace, const Comparison& comparison, const Text& text) {
  return Operands(trace, comparison, text).find_contrast();
}

std::string repair_parts(const Trace& trace, const Comparison& comparison, const Text& text) {
  return Operands(trace, comparison, text).find_parts();
}

}  // namespace chainrule::derivation
