#include <chainrule/graph/checking/changes.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <set>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/checking/changed_forms.hpp>
#include <chainrule/graph/checking/terms.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/role_check.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

constexpr int largest_spare = 12;

class ChangedOperands : public ChangedForms {
 public:
  using ChangedForms::ChangedForms;

  std::string find_tensors() {
    using Self = ChangedOperands;
    return first_of(*this,
                    {&Self::other_everywhere, &Self::other_in_term, &Self::data_of_other_steps});
  }
  std::string find_more() {
    using Self = ChangedOperands;
    return first_of(*this, {&Self::labels, &Self::updated, &Self::factors, &Self::terms,
                            &Self::numbers_of_terms});
  }
  std::string find_parts() {
    using Self = ChangedOperands;
    return first_of(*this, {&Self::spares});
  }

 private:
  // Another tensor wherever one stands.
  std::string other_everywhere(const Expr& form, const Expr& e) {
    const bool is_data = e->kind == Kind::constant && is_floating(e->value.dtype());
    if (e->kind != Kind::tensor && !is_data) return "";
    for (const Expr& other : tensors_)
      if (other->shape == e->shape && (is_data || other->node != e->node) &&
          comparison_.gives(replaced(form, everywhere(e, other))))
        return in_the_place(other, e);
    return "";
  }

  // Another tensor in one term.
  std::string other_in_term(const Expr& form, const Expr& e) {
    if (e != form) return "";
    const std::vector<Expr> terms = terms_of(form, comparison_.point(0));
    for (const Expr& term : terms) {
      std::vector<Expr> symbols;
      visit_parts(term, [&](const Expr& part) {
        if (part->kind == Kind::tensor) symbols.push_back(part);
      });
      for (const Expr& symbol : symbols)
        for (const Expr& other : tensors_) {
          if (other->shape != symbol->shape || other->node == symbol->node) continue;
          Replacements parts;
          for (const Expr& part : symbols)
            if (part->node == symbol->node) parts[part.get()] = other;
          const Expr now = replaced(term, parts);
          if (comparison_.gives([&](std::size_t p) {
                return comparison_.expected(p) + evaluate(now, comparison_.point(p)) -
                       evaluate(term, comparison_.point(p));
              }))
            return with_right(fmt::format("{} stands in the place of {} in {}", text_(other),
                                          text_(symbol), text_(readable(term))));
        }
    }
    return "";
  }

  // In each term of a sum over steps the data of another step, as its result was computed from it.
  std::string data_of_other_steps(const Expr& form, const Expr& e) {
    if (e != form || !trace_.gradient(comparison_.suspect().node)) return "";
    const auto data_in = [](const Expr& formula) {
      std::vector<Expr> data;
      visit_parts(formula, [&](const Expr& part) {
        if (part->kind == Kind::number || part->kind == Kind::constant) data.push_back(part);
      });
      return data;
    };
    struct Place {
      Expr data;
      std::vector<Expr> others;
    };
    std::vector<Place> places;
    std::size_t ways = 0;
    for (const Expr& part : parts_) {
      if (part->operands.size() != 2) continue;
      for (const std::size_t k : {0, 1}) {
        const Expr &one = part->operands[k], &data = part->operands[1 - k];
        if (!one || !data || (data->kind != Kind::number && data->kind != Kind::constant)) continue;
        Expr gradient;
        visit_parts(one, [&](const Expr& symbol) {
          if (symbol->kind == Kind::gradient) gradient = symbol;
        });
        if (!gradient || !trace_.forward(gradient->node)) continue;
        places.push_back({data, data_in(without_unnamed(trace_, trace_.forward(gradient->node)))});
        ways = std::max(ways, places.back().others.size());
      }
    }
    if (places.size() < 2) return "";
    for (std::size_t way = 0; way < ways; ++way)
      for (const double sign : {1.0, -1.0}) {
        Replacements parts;
        for (const Place& place : places)
          if (way < place.others.size())
            parts[place.data.get()] = built([&](Builder& builder) {
              return sign * expand(builder.value(place.others[way]), place.data->shape);
            });
        if (parts.size() == places.size() && comparison_.gives(replaced(form, parts)))
          return with_right(fmt::format(
              "the index is shifted: {} stands in the place of {}, and so on in every step",
              text_(readable(parts.at(places[0].data.get()))), text_(places[0].data)));
      }
    return "";
  }

  // A parameter that was updated already: W − η dW.
  std::string updated(const Expr& form, const Expr& e) {
    if (e->kind != Kind::tensor || !trace_.node(e->node).is_leaf() || !trace_.gradient(e->node) ||
        e->shape.numel() < 2 || comparison_.value(0).numel() < 3)
      return "";
    const Expr step = gradient_expression(e->node, e->shape);
    const auto moved_by = [&](double by) {
      return built([&](Builder& builder) { return builder.value(e) - by * builder.value(step); });
    };
    constexpr double small = 1e-5;
    const Expr nearby = moved_by(small);
    if (!nearby) return "";
    const auto direction = attempt([&] {
      return numbers((evaluate(replaced(form, everywhere(e, nearby)), comparison_.point(0)) -
                      comparison_.expected(0)) /
                     small);
    });
    if (!direction) return "";
    const std::optional<double> by = factor_of(*direction);
    if (!by || *by <= 0) return "";
    // To the digits that people write.
    const double rate = std::strtod(fmt::format("{:.3g}", *by).c_str(), nullptr);
    const Expr there = moved_by(rate);
    return there && comparison_.gives(replaced(form, everywhere(e, there)))
               ? with_right(fmt::format("{} was updated before: {} stands in its place", text_(e),
                                        text_(there)))
               : "";
  }

  // A factor too many, or one that is missing where a part was divided by it.
  std::string factors(const Expr& form, const Expr& e) {
    if (e->kind == Kind::number || e->kind == Kind::constant) return "";
    for (const Expr& factor : tensors_) {
      if (broadcast(factor->shape, e->shape) != e->shape) continue;
      for (const bool divides : {false, true}) {
        if (!fits(form, e, built([&](Builder& builder) {
                    const Tensor x = builder.value(e), by = builder.value(factor);
                    return divides ? x / by : x * by;
                  })))
          continue;
        const auto words = [&](bool inverse) {
          return inverse ? inverse_in_words(comparison_, text_, factor) : text_(factor);
        };
        const std::string place = e == form ? "" : " at " + text_(e);
        if (stands_in_a(divides, factor))
          return with_right(fmt::format("the factor {} is missing{}", words(!divides), place));
        if (!divides && text_(e) == text_(factor))
          return with_right(fmt::format("the factor {} stands there twice", text_(factor)));
        return with_right(fmt::format("the factor {} does not belong{}", words(divides),
                                      place.empty() ? " there" : place));
      }
    }
    return "";
  }
  // A term that does not belong to the whole, with a number that is plain or the program's.
  std::string terms(const Expr& form, const Expr& e) {
    if (e != form || form != forms_[0]) return "";
    for (const std::vector<Expr>* spares : {&tensors_, &gradients_})
      for (const Expr& term : *spares) {
        if (term->shape != form->shape) continue;
        const std::optional<double> by = factor_of(numbers(evaluate(term, comparison_.point(0))));
        if (!by || *by == 0 || !is_likely(*by)) continue;
        const Expr product = built([&](Builder& builder) { return *by * builder.value(term); });
        if (product && comparison_.gives(built([&](Builder& builder) {
              return builder.value(form) + builder.value(product);
            })))
          return with_right(
              fmt::format("the term {} does not belong there", text_(readable(product))));
      }
    return "";
  }

  // A number of the program or an extent at one term.
  std::string numbers_of_terms(const Expr& form, const Expr& e) {
    if (e != form) return "";
    for (const Expr& term : terms_of(form, comparison_.point(0))) {
      const std::optional<double> by = factor_of(numbers(evaluate(term, comparison_.point(0))));
      if (!by) continue;
      const double factor = 1 + *by, size = std::abs(factor);
      if (size < 1e-6 || std::abs(size - 1) < 1e-6 || origins_of(trace_, size).empty()) continue;
      if (comparison_.gives([&](std::size_t p) {
            return comparison_.expected(p) + *by * evaluate(term, comparison_.point(p));
          }))
        return with_right(
            fmt::format("the term {} is {}too {} by a factor of {}", text_(readable(term)),
                        factor < 0 ? "of the wrong sign, and " : "", size > 1 ? "large" : "small",
                        number_in_words(trace_, size > 1 ? size : 1 / size)));
    }
    return "";
  }

  // Labels −1 and 1 in the place of 0 and 1, or the reverse.
  std::string labels(const Expr& form, const Expr& e) {
    if (e != form || form != forms_[0]) return "";
    for (const Expr& y : tensors_) {
      if (y->shape != form->shape || comparison_.value(0).numel() < 3) continue;
      const std::vector<double> x = numbers(evaluate(y, comparison_.point(0)));
      const auto are = [&](double low) {
        return std::ranges::all_of(x, [&](double label) { return label == low || label == 1; });
      };
      if (std::ranges::all_of(x, [&](double label) { return label == x[0]; })) continue;
      if (!are(-1) && !are(0)) continue;
      std::vector<double> step(x.size());
      for (std::size_t k = 0; k < x.size(); ++k) step[k] = are(-1) ? (x[k] - 1) / 2 : 1 - x[k];
      // One element may be anything.
      if (std::ranges::count(step, 0.0) > static_cast<std::ptrdiff_t>(step.size()) - 2) continue;
      const std::optional<double> by = factor_of(step);
      // Labels come with a number of the loss.
      if (!by || *by == 0 || (!is_plain(*by) && !is_ratio(*by) && origins_of(trace_, *by).empty()))
        continue;
      if (!comparison_.gives([&](std::size_t p) {
            return comparison_.expected(p) + *by * from_vector(step, form->shape);
          }))
        continue;
      return with_right(are(-1) ? fmt::format("labels of −1 and 1 in the place of 0 and 1: {0} "
                                              "stands in the place of ({0} + 1) / 2",
                                              text_(y))
                                : fmt::format("labels of 0 and 1 in the place of −1 and 1: {0} "
                                              "stands in the place of 2 {0} − 1",
                                              text_(y)));
    }
    return "";
  }

  // A part of the program or of the formula in the place of another.
  std::string spares(const Expr& form, const Expr& e) {
    if (e == form || e->kind == Kind::number || size_of(e) > largest_spare) return "";
    for (const Expr& other : spares_of_program())
      if (other->shape == e->shape && key_of(other) != key_of(e) && fits(form, e, other))
        return in_the_place(other, e);
    return "";
  }

  // Whether a form has the tensor as a factor, or else divides by it.
  bool stands_in_a(bool product, const Expr& tensor) const {
    bool found = false;
    const std::string key = key_of(tensor);
    for (const Expr& form : forms_)
      visit_parts(form, [&](const Expr& part) {
        const auto has = [&](const Expr& operand) {
          bool inside = false;
          if (operand) visit_parts(operand, [&](const Expr& one) { inside |= key_of(one) == key; });
          return inside;
        };
        if (part->is(Role::Kind::quotient))
          found |= has(part->operands[product ? 0 : 1]);
        else if (part->is(Role::Kind::product))
          found |= product && (has(part->operands[0]) || has(part->operands[1]));
      });
    return found;
  }

  // The c with which value − right is c·x at the recorded point, if there is one.
  std::optional<double> factor_of(const std::vector<double>& x) const {
    const std::vector<double> is = numbers(comparison_.value(0)),
                              should = numbers(comparison_.expected(0));
    if (x.size() != is.size() || is.size() != should.size()) return {};
    double xx = 0, xy = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
      xx += x[k] * x[k];
      xy += x[k] * (is[k] - should[k]);
    }
    if (!(xx > 0) || !std::isfinite(xy / xx)) return {};
    return xy / xx;
  }

  // Of few elements a number of every size fits; what the program has is likely.
  bool is_likely(double number) const {
    if (comparison_.value(0).numel() > 2 || std::abs(std::abs(number) - 1) < 1e-6) return true;
    return std::ranges::any_of(std::initializer_list<double>{1, 2, 0.5}, [&](double times) {
      return !origins_of(trace_, times * number).empty();
    });
  }

  const std::vector<Expr>& spares_of_program() {
    if (spares_.empty()) {
      std::set<std::string> seen;
      const auto keep = [&](const Expr& part) {
        if (part->kind != Kind::number && size_of(part) <= largest_spare &&
            seen.insert(key_of(part)).second)
          spares_.push_back(part);
      };
      for (const std::vector<Expr>* symbols : {&tensors_, &gradients_})
        for (const Expr& symbol : *symbols) keep(symbol);
      for (const Expr& form : forms_) visit_parts(form, keep);
      for (std::uint32_t i = 0; i < trace_.size(); ++i)
        if (trace_.forward(i)) visit_parts(without_unnamed(trace_, trace_.forward(i)), keep);
      std::ranges::stable_sort(spares_, {}, size_of);
    }
    return spares_;
  }

  std::vector<Expr> spares_;
};

}  // namespace

std::string other_tensors(const Trace& trace, const Comparison& comparison, const Text& text) {
  return ChangedOperands(trace, comparison, text).find_tensors();
}

std::string too_many_operands(const Trace& trace, const Comparison& comparison, const Text& text) {
  return ChangedOperands(trace, comparison, text).find_more();
}

std::string other_parts(const Trace& trace, const Comparison& comparison, const Text& text) {
  return ChangedOperands(trace, comparison, text).find_parts();
}

}  // namespace chainrule::derivation
