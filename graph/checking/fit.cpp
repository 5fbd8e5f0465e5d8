#include <chainrule/graph/checking/fit.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <set>

#include <chainrule/graph/checking/least_squares.hpp>
#include <chainrule/graph/checking/terms.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

namespace {

constexpr double close = 1e-6;

bool is_near(double a, double b) { return std::abs(a - b) <= close * std::max(1.0, std::abs(b)); }

class Fit {
 public:
  Fit(const Trace& trace, const Comparison& comparison, const Text& text)
      : trace_(trace), comparison_(comparison), text_(text) {}

  std::string find(Terms which) {
    any_number_ = which == Terms::any_number;
    if (any_number_) return in_all_forms([&] { return by_least_squares(1); }, 2);
    if (which == Terms::several) {
      std::string found = in_all_forms([&] { return one_alone(-1); }, 2);
      if (found.empty()) found = in_all_forms([&] { return by_least_squares(2); }, 2);
      return found.empty() ? in_named_sums() : found;
    }
    if (which == Terms::two_missing) return in_all_forms([&] { return two_missing(); }, 3);
    const std::size_t least = which == Terms::certain ? 3 : 2;
    // One term alone first, with the numbers that people make mistakes by: what is missing in any
    // form of the formula before another sign in one of them, as half of a term that is missing has
    // the wrong sign.
    for (const double factor : {0.0, -1.0, 2.0, 0.5})
      if (std::string found = in_all_forms([&] { return one_term(factor); }, least);
          !found.empty()) {
        const std::string missing = factor == 0 ? "" : missing_inside();
        return missing.empty() ? found : missing;
      }
    if (which == Terms::certain) return "";
    return in_all_forms(
        [&] {
          const std::string alone = one_alone(1);
          return alone.empty() ? by_least_squares(1) : alone;
        },
        2);
  }

  std::string find_missing(const std::vector<Expr>& forms) {
    for (const Expr& form : forms) forms_.push_back(taken_apart(form));
    if (forms_.empty()) return "";
    std::string found = in_all_forms([&] { return one_term(0); }, 2);
    return found.empty() ? in_all_forms([&] { return two_missing(); }, 3) : found;
  }

 private:
  // What part of a term one is that was joined with others.
  struct Share {
    Expr term;
    double part;
  };
  // The right formula in one of its forms, in terms.
  struct Form {
    std::vector<Expr> terms;
    std::vector<std::vector<Tensor>> values;  // by point and term
    std::vector<std::vector<Share>> shares;   // by term
  };
  std::string in_all_forms(const std::function<std::string()>& find, std::size_t least_terms) {
    if (forms_.empty())
      for (const Expr& form : comparison_.right_forms()) forms_.push_back(taken_apart(form));
    for (const Form& form : forms_)
      if (std::string found = in_form(form, find, least_terms); !found.empty()) return found;
    return "";
  }
  Form taken_apart(const Expr& form) {
    terms_ = terms_of(form, comparison_.point(0));
    values_.clear();
    shares_.assign(terms_.size(), {});
    if (terms_.size() > 1) {
      for (std::size_t p = 0; p < comparison_.all_points(); ++p) {
        values_.emplace_back();
        for (const Expr& term : terms_) values_[p].push_back(evaluate(term, comparison_.point(p)));
      }
      join_multiples();
    }
    return {terms_, values_, shares_};
  }
  std::string in_form(const Form& form, const std::function<std::string()>& find,
                      std::size_t least_terms) {
    if (form.terms.size() < least_terms) return "";
    terms_ = form.terms;
    values_ = form.values;
    shares_ = form.shares;
    return find();
  }
  // What is missing where tensors without a name are looked into, as the 1 − x of x ⊗ (1 − x).
  std::string missing_inside() {
    if (!comparison_.opened_form()) return "";
    return in_form(taken_apart(comparison_.opened_form()), [&] { return one_term(0); }, 2);
  }
  // With the sums that have names put in: of Xᵀ·r with r = X·w − y what is wrong with Xᵀ·y.
  std::string in_named_sums() {
    const Expr& form = comparison_.right_forms().back();
    Replacements sums;
    visit_parts(form, [&](const Expr& part) {
      if (part->kind != Expression::Kind::tensor || !trace_.forward(part->node)) return;
      const Expr sum = without_unnamed(trace_, trace_.forward(part->node));
      if (sum->is(Role::Kind::sum) || sum->is(Role::Kind::difference)) sums[part.get()] = sum;
    });
    if (sums.empty()) return "";
    return in_form(
        taken_apart(replaced(form, sums)),
        [&] {
          std::string found;
          for (const double factor : {0.0, -1.0, 2.0, 0.5})
            if (found.empty()) found = one_term(factor);
          return found.empty() ? by_least_squares(1) : found;
        },
        3);
  }
  std::string one_term(double factor) const {
    for (std::size_t k = 0; k < terms_.size(); ++k)
      if (!is_zero(k) && gives_with(k, factor)) return said(k, factor);
    return "";
  }

  bool gives_with(std::size_t k, double factor) const {
    return comparison_.gives(
        [&](std::size_t p) { return comparison_.expected(p) + values_[p][k] * (factor - 1); });
  }

  // x·x has x and x: terms that are the same but for a number are one.
  void join_multiples() {
    for (std::size_t k = 0; k < terms_.size(); ++k)
      for (std::size_t j = terms_.size(); --j > k;) {
        const double ratio = ratio_of(k, j);
        if (ratio == 0) continue;
        join_shares(k, j, ratio);
        Builder builder(comparison_.point(0));
        terms_[k] =
            builder.build([&] { return builder.value(terms_[k]) + builder.value(terms_[j]); });
        terms_.erase(terms_.begin() + static_cast<std::ptrdiff_t>(j));
        for (std::vector<Tensor>& at : values_) {
          at[k] = at[k] + at[j];
          at.erase(at.begin() + static_cast<std::ptrdiff_t>(j));
        }
      }
  }
  void join_shares(std::size_t k, std::size_t j, double ratio) {
    std::vector<Share>& mine = shares_[k];
    if (mine.empty()) mine.push_back({terms_[k], 1});
    for (Share& share : mine) share.part /= 1 + ratio;
    mine.push_back({terms_[j], ratio / (1 + ratio)});
    shares_.erase(shares_.begin() + static_cast<std::ptrdiff_t>(j));
  }
  // Term j in units of term k; 0 where it is no multiple of it.
  double ratio_of(std::size_t k, std::size_t j) const {
    double ratio = 0;
    for (std::size_t p = 0; p < comparison_.points(); ++p) {
      const std::vector<double> x = numbers(values_[p][k]), y = numbers(values_[p][j]);
      for (std::size_t e = 0; e < x.size(); ++e) {
        if (x[e] == 0 && y[e] == 0) continue;
        const double mine = y[e] / x[e];
        if (ratio == 0) ratio = mine;
        if (!std::isfinite(mine) || ratio == 0 || std::abs(mine - ratio) > 1e-9 * std::abs(ratio))
          return 0;
      }
    }
    return comparison_.points() > 1 || values_[0][k].numel() > 1 ? ratio : 0;
  }

  bool is_zero(std::size_t k) const {
    return std::ranges::all_of(values_, [&](const std::vector<Tensor>& at) {
      return largest(numbers(at[k])) <= 1e-12 * largest(numbers(at[0] + at[1]));
    });
  }

  std::string two_missing() const {
    for (std::size_t j = 0; j < terms_.size() && terms_.size() > 2; ++j)
      for (std::size_t k = j + 1; k < terms_.size(); ++k)
        if (!is_zero(j) && !is_zero(k) && comparison_.gives([&](std::size_t p) {
              return comparison_.expected(p) - values_[p][j] - values_[p][k];
            }))
          return fmt::format(
              "the terms {} and {} are missing, a path perhaps; the chain rule gives "
              "{}",
              in_words(j), in_words(k), right());
    return "";
  }

  // All terms but one are missing, which may have the wrong sign besides.
  std::string one_alone(double factor) const {
    for (std::size_t k = 0; k < terms_.size(); ++k)
      if (!is_zero(k) && comparison_.gives([&](std::size_t p) { return values_[p][k] * factor; }))
        return fmt::format("terms are missing: this is {}; the chain rule gives {}",
                           factor < 0 ? text_(multiplied_out(trace_, negated(k))) : in_words(k),
                           right());
    return "";
  }

  std::string by_least_squares(std::size_t most_odd) {
    // Without the terms that come to nothing.
    for (std::size_t k = terms_.size(); k-- > 0;)
      if (is_zero(k) && terms_.size() > 2) {
        terms_.erase(terms_.begin() + static_cast<std::ptrdiff_t>(k));
        shares_.erase(shares_.begin() + static_cast<std::ptrdiff_t>(k));
        for (auto& at : values_) at.erase(at.begin() + static_cast<std::ptrdiff_t>(k));
      }
    std::vector<std::vector<double>> columns(terms_.size());
    std::vector<double> wanted;
    for (std::size_t p = 0; p < comparison_.points(); ++p) {
      const std::vector<double> value = numbers(comparison_.value(p));
      wanted.insert(wanted.end(), value.begin(), value.end());
      for (std::size_t k = 0; k < terms_.size(); ++k) {
        const std::vector<double> mine = numbers(values_[p][k]);
        columns[k].insert(columns[k].end(), mine.begin(), mine.end());
      }
    }
    if (wanted.size() <= terms_.size()) return "";
    const auto [c, unique] = least_squares(columns, wanted);
    if (!unique) return "";
    const bool fits = comparison_.gives([&](std::size_t p) {
      Tensor sum = values_[p][0] * c[0];
      for (std::size_t k = 1; k < terms_.size(); ++k) sum = sum + values_[p][k] * c[k];
      return sum;
    });
    if (!fits) return "";
    std::vector<std::size_t> odd;
    for (std::size_t k = 0; k < c.size(); ++k)
      if (!is_near(c[k], 1)) odd.push_back(k);
    if (odd.size() > 1 && most_odd > 1)
      if (std::string found = exchanged(c); !found.empty()) return found;
    if (odd.empty() || odd.size() == terms_.size() || odd.size() > most_odd) return "";
    std::string words;
    for (const std::size_t k : odd) {
      const double factor = std::abs(c[k]) < close ? 0 : c[k];
      // Numbers that nobody writes are not what was meant, if there is another explanation.
      const bool unlikely = !any_number_ || wanted.size() < 3 * terms_.size();
      if (factor != 0 && unlikely && !is_plain(factor) && !is_ratio(factor) &&
          origins_of(trace_, factor).empty())
        return "";
      words += (words.empty() ? "" : "; ") + about_one_of(k, factor);
    }
    return fmt::format("{}; the chain rule gives {}", words, right());
  }

  // Numbers in the place of each other, as α and 1 − α: some terms are too large by what the others
  // are too small by.
  std::string exchanged(const std::vector<double>& c) const {
    const double most = *std::ranges::max_element(c);
    if (!(most > 1)) return "";
    std::string large, small;
    bool all = true;
    for (std::size_t k = 0; k < c.size(); ++k) {
      if (is_near(c[k], 1)) {
        all = false;
        continue;
      }
      if (!is_near(c[k], most) && !is_near(c[k] * most, 1)) return "";
      std::string& words = c[k] > 1 ? large : small;
      words += (words.empty() ? "" : " and ") + in_words(k);
    }
    // α of (1 − α) / α.
    const double less = 1 / (1 + most);
    const bool known =
        std::ranges::any_of(std::initializer_list<double>{less, 1 - less},
                            [&](double x) { return !origins_of(trace_, x).empty(); });
    if (small.empty() || (!all && !known)) return "";
    const auto number = [&](double x) { return text_(number_expression(x, {})); };
    return fmt::format(
        "two numbers are exchanged{}: too large by a factor of {} is {}, and too small by it {}; "
        "the chain rule gives {}",
        known ? fmt::format(", as of {} and {}", number(less), number(1 - less)) : "",
        number_in_words(trace_, most), large, small, right());
  }

  std::string said(std::size_t k, double factor) const {
    return fmt::format("{}; the chain rule gives {}", about(k, factor), right());
  }
  // A number that nobody writes may be a usual one at one of the terms that were joined.
  std::string about_one_of(std::size_t k, double factor) const {
    const std::vector<double> usual{0, -1, 2, 0.5};
    const auto is_usual = [&](double x) {
      return std::ranges::any_of(usual, [&](double one) { return is_near(x, one); });
    };
    for (const Share& share : shares_[k])
      if (const double its = 1 + (factor - 1) / share.part; !is_usual(factor) && is_usual(its))
        return about(text_(multiplied_out(trace_, share.term)), std::abs(its) < close ? 0 : its);
    return about(k, factor);
  }
  std::string about(std::size_t k, double factor) const { return about(in_words(k), factor); }
  std::string about(const std::string& term, double factor) const {
    if (factor == 0) return fmt::format("the term {} is missing", term);
    if (is_near(factor, -1)) return fmt::format("the sign of the term {} is wrong", term);
    if (std::abs(factor) > 1)
      return fmt::format("the term {} is too large by a factor of {}", term,
                         number_in_words(trace_, factor));
    return fmt::format("the term {} is too small by a factor of {}", term,
                       number_in_words(trace_, 1 / factor));
  }
  Expr negated(std::size_t k) const {
    Builder builder(comparison_.point(0));
    return builder.build([&] { return -builder.value(terms_[k]); });
  }
  Expr simplified(std::size_t k) const { return multiplied_out(trace_, terms_[k]); }
  std::string in_words(std::size_t k) const { return text_(simplified(k)); }
  std::string right() const { return text_(comparison_.suspect().right); }

  const Trace& trace_;
  const Comparison& comparison_;
  const Text& text_;
  bool any_number_ = false;
  std::vector<Form> forms_;
  std::vector<Expr> terms_;  // of the form that is looked at
  std::vector<std::vector<Share>> shares_;
  std::vector<std::vector<Tensor>> values_;
};

// The product of the numbers that a formula is multiplied by.
double number_of(const Expr& e) {
  using enum Role::Kind;
  if (e->kind == Expression::Kind::number) return e->number;
  if (e->is(product)) return number_of(e->operands[0]) * number_of(e->operands[1]);
  if (e->is(quotient)) return number_of(e->operands[0]) / number_of(e->operands[1]);
  if (e->is(negation)) return -number_of(e->operands[0]);
  if (e->is(matrix_product) || e->is(outer_product))
    return number_of(e->operands[0]) * number_of(e->operands[1]);
  return 1;
}

// What number stands in front in the place of which, where the right formula has one.
std::string number_in_front(const Trace& trace, const Expr& right, double factor) {
  const double front = std::abs(number_of(right));
  if (is_near(front, 1)) return "";
  if (is_near(front * factor, 1))
    return fmt::format("; the factor {} is missing", number_in_words(trace, front));
  return fmt::format("; {} stands in the place of {}", number_in_words(trace, front * factor),
                     number_in_words(trace, front));
}

// Whether a number of this size stands in the program at several elements: it is more than what a
// sum is divided by.
bool is_used_by_element(const Trace& trace, double size) {
  for (std::uint32_t i = 0; i < trace.size(); ++i)
    if (const Expr& e = trace.forward(i); e && e->shape.numel() > 1)
      for (const Expr& operand : e->operands)
        if (operand && operand->kind == Expression::Kind::number && operand->shape.numel() == 1 &&
            is_near(std::abs(operand->number), size))
          return true;
  return false;
}

// Where a factor is an extent, sums and means over it are what people confuse; but for other
// numbers of this size.
std::string meaning(const Trace& trace, double factor, bool of_sums, bool learned) {
  std::string extent;
  for (std::uint32_t i = 0; i < trace.size() && extent.empty(); ++i) {
    const Shape shape = trace.node(i).shape();
    for (int axis = 0; axis < shape.rank() && extent.empty(); ++axis)
      if (shape[axis] > 2 && is_near(factor, static_cast<double>(shape[axis])))
        extent = fmt::format("the extent of axis {} of {}{}{}{}", axis, trace.node(i).name(),
                             trace.node(i).name().empty() ? "" : " ", to_string(shape),
                             of_sums ? ": a mean in the place of a sum, or the reverse" : "");
  }
  std::string others;
  for (const std::string& origin : origins_of(trace, factor, learned))
    // A program that divides by 7 or multiplies by 1/7 means its extent.
    if (extent.empty() ||
        !(origin.starts_with("the extent") ||
          (origin == "a number of the program" && !is_used_by_element(trace, factor)) ||
          origin.starts_with("the inverse of 1/")))
      others += (others.empty() ? "" : "; or ") + origin;
  if (extent.empty()) return others.empty() ? "" : " (" + others + ")";
  return others.empty() ? ", which is " + extent : fmt::format(" ({}; or {})", others, extent);
}

}  // namespace

std::string wrong_terms(const Trace& trace, const Comparison& comparison, const Text& text,
                        Terms which) {
  return comparison.same_shape() ? Fit(trace, comparison, text).find(which) : "";
}

std::string terms_missing_in(const Trace& trace, const Comparison& comparison, const Text& text,
                             const std::vector<Expr>& forms) {
  return comparison.same_shape() ? Fit(trace, comparison, text).find_missing(forms) : "";
}

std::string wrong_factor(const Trace& trace, const Comparison& comparison, const Text& text) {
  if (!comparison.same_shape()) return "";
  double xx = 0, xy = 0;
  std::size_t count = 0;
  for (std::size_t p = 0; p < comparison.points(); ++p) {
    const std::vector<double> x = numbers(comparison.expected(p)), y = numbers(comparison.value(p));
    for (std::size_t e = 0; e < x.size(); ++e) {
      xx += x[e] * x[e];
      xy += x[e] * y[e];
    }
    count += x.size();
  }
  if (!(xx > 0) || xy == 0 || !std::isfinite(xy / xx)) return "";
  const double factor = xy / xx;
  // One number is the multiple of every other.
  if (count < 2 && !is_plain(factor)) return "";
  if (is_near(factor, 1)) return "";
  if (!comparison.gives([&](std::size_t p) { return comparison.expected(p) * factor; })) return "";
  const std::string right = text(comparison.suspect().right);
  if (is_near(factor, -1)) return fmt::format("the sign is wrong: this is −({})", right);
  const double size = std::abs(factor);
  const std::string sign = factor < 0 ? "the sign is wrong, and it is " : "";
  const std::string numbers = number_in_front(trace, comparison.suspect().right, size);
  bool of_sums = false;
  visit_parts(comparison.suspect().right, [&](const Expr& part) {
    using enum Role::Kind;
    of_sums = of_sums || part->is(total) || part->is(mean) || part->is(matrix_product);
  });
  of_sums = of_sums && numbers.empty();
  const bool learned = comparison.points() == 1;  // elsewhere they are other numbers
  if (is_near(size, std::round(size)))
    return fmt::format("{}too large by a factor of {:.0f}{}{}", sign, size,
                       meaning(trace, size, of_sums, learned), numbers);
  if (is_near(1 / size, std::round(1 / size)))
    return fmt::format("{}too small by a factor of {:.0f}{}{}", sign, 1 / size,
                       meaning(trace, 1 / size, of_sums, learned), numbers);
  return fmt::format("{}too {} by a factor of {}{}; the chain rule gives {}", sign,
                     size > 1 ? "large" : "small",
                     number_in_words(trace, size > 1 ? size : 1 / size, learned), numbers, right);
}

std::string mean_for_sum(const Comparison& comparison, const Text& text) {
  const Expr& formula = comparison.suspect().formula;
  if (!formula || !comparison.same_shape()) return "";
  std::set<std::string> right;  // means that belong there
  for (const Expr& form : comparison.right_forms())
    visit_parts(form, [&](const Expr& part) {
      if (part->is(Role::Kind::mean)) right.insert(key_of(part));
    });
  std::string found;
  visit_parts(formula, [&](const Expr& part) {
    if (!found.empty() || !part->is(Role::Kind::mean) || right.contains(key_of(part))) return;
    const double count = static_cast<double>(part->operands[0]->shape.numel()) /
                         static_cast<double>(part->shape.numel());
    const Expr sum = count > 1
                         ? built(comparison.point(0),
                                 [&](Builder& builder) { return builder.value(part) * count; })
                         : nullptr;
    if (sum && comparison.repairs(replaced(formula, {{part.get(), sum}})))
      found = fmt::format("a mean in the place of a sum: {}; the chain rule gives {}", text(part),
                          text(comparison.suspect().right));
  });
  return found;
}

}  // namespace chainrule::derivation
