#include <chainrule/graph/checking/repair.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/checking/mutate.hpp>
#include <chainrule/graph/checking/taken_apart.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

// Numbers of a formula may be rounded to f32.
constexpr double same_number = 1e-6;

bool is_named_number(const Expr& e) { return e->is_symbol() && e->shape.numel() == 1; }

// Numbers, signs, axes, sums, products, functions, and what is too much.
class Structure : public TakenApart {
 public:
  using TakenApart::TakenApart;

  std::string find() {
    if (parts_.size() > most_parts) return "";
    // The larger parts first: what is wrong with all of them is not said of one.
    for (const Attempt attempt :
         {&Structure::other_numbers, &Structure::numbers_in_front, &Structure::signs_inside,
          &Structure::axes, &Structure::order, &Structure::sums, &Structure::products,
          &Structure::too_much, &Structure::others, &Structure::numbers_inside,
          &Structure::other_functions})
      for (std::size_t k = parts_.size(); k-- > 0;) {
        if (comparison_.exhausted()) return "";
        if (std::string found = (this->*attempt)(parts_[k]); !found.empty()) return found;
      }
    return "";
  }

  // In one of the terms that the formula is the sum of.
  std::string find_in_terms() {
    if (!write_in_terms() || parts_.size() > most_parts) return "";
    for (const Attempt attempt : {&Structure::too_much, &Structure::others})
      for (std::size_t k = parts_.size(); k-- > 0 && !comparison_.exhausted();)
        if (std::string found = (this->*attempt)(parts_[k]); !found.empty()) return found;
    return "";
  }

  // A number that nobody wrote: of several explanations the weakest.
  std::string find_any_number() {
    any_number_ = true;
    for (std::size_t k = parts_.size(); k-- > 0 && parts_.size() <= most_parts;)
      if (std::string found = numbers_in_front(parts_[k]); !found.empty()) return found;
    return "";
  }

  std::string find_inverse() const {
    for (std::size_t k = parts_.size(); k-- > 0 && parts_.size() <= most_parts;)
      if (std::string found = inverse(parts_[k]); !found.empty()) return found;
    return "";
  }

 private:
  using Attempt = std::string (Structure::*)(const Expr&) const;

  std::string inverse(const Expr& e) const {
    const bool divides = e->is(Role::Kind::quotient);
    if (!divides && !e->is(Role::Kind::product)) return "";
    for (std::size_t k = divides ? 1 : 0; k < 2; ++k) {
      const Expr& number = e->operands[k];
      if (!is_named_number(number)) continue;
      if (fits(e, built([&](Builder& builder) {
                 const Tensor x = builder.value(e->operands[1 - k]), by = builder.value(number);
                 return divides ? x * by : x / by;
               })))
        return with_right(fmt::format(
            "{} {}: {}", text_(number),
            divides ? "divides where it has to multiply" : "multiplies where it has to divide",
            text_(e)));
    }
    return "";
  }

  // Another number of the program, or of the right formula.
  std::string other_numbers(const Expr& e) const {
    if (e->kind != Kind::number) return "";
    for (const double number : numbers_)
      if (number != 0 && std::abs(number - e->number) > same_number * std::abs(number) &&
          fits(e, number_expression(number, e->shape)))
        return with_right(other_number(e->number, number));
    return "";
  }

  std::string other_number(double mine, double right) const {
    const std::string words =
        fmt::format("{} stands in the place of {}", number_in_words(trace_, mine),
                    number_in_words(trace_, right));
    const double ratio = std::abs(mine / right);
    if (!std::isfinite(ratio) || ratio == 0) return words;
    if (std::abs(ratio - 1) < same_number) return "the sign of a number is wrong: " + words;
    return fmt::format("a number is too {} by a factor of {}: {}", ratio > 1 ? "large" : "small",
                       number_in_words(trace_, ratio > 1 ? ratio : 1 / ratio), words);
  }

  // The number that makes it right in front of a part; the formula is linear in it.
  std::string numbers_in_front(const Expr& e) const {
    if (e->kind != Kind::operation && !e->is_symbol() && e->kind != Kind::constant) return "";
    const auto with = [&](double factor, std::size_t p) {
      const Expr scaled = built([&](Builder& builder) { return builder.value(e) * factor; });
      return scaled ? evaluate(replaced(formula_, {{e.get(), scaled}}), comparison_.point(p))
                    : Tensor();
    };
    const auto in_front = [&] {
      constexpr double none = 0;  // see too_much()
      const Tensor at_0 = with(0, 0), at_1 = comparison_.suspect().values[0], at_2 = with(2, 0);
      if (!at_0.defined() || at_0.shape() != comparison_.expected(0).shape()) return none;
      if (!nearly_equal(at_2 - at_1, at_1 - at_0, 1e-7)) return none;
      const std::vector<double> b = numbers(at_1 - at_0),
                                wanted = numbers(comparison_.expected(0) - at_0);
      double bb = 0, bw = 0;
      for (std::size_t k = 0; k < b.size(); ++k) {
        bb += b[k] * b[k];
        bw += b[k] * wanted[k];
      }
      if (!(bb > 0) || !std::isfinite(bw / bb)) return none;
      const double factor = bw / bb;
      if (std::abs(factor) < same_number) return none;
      if (std::abs(factor - 1) < same_number || (b.size() * comparison_.points() < 3)) return none;
      const double size = std::abs(factor);
      // As 0.3, not 4/7.
      const bool is_short = is_ratio(size) && std::abs(10 * size - std::round(10 * size)) < 1e-6;
      if (!any_number_ && std::abs(size - 1) > same_number && !is_plain(size) && !is_short &&
          origins_of(trace_, size).empty())
        return none;
      return comparison_.repairs([&](std::size_t p) { return with(factor, p); }) ? factor : none;
    };
    const double factor = attempt(in_front).value_or(0);
    if (factor == 0) return "";
    if (std::abs(factor + 1) < same_number)
      return with_right(is_root(e) ? std::string("the sign is wrong")
                                   : fmt::format("the sign of {} is wrong", text_(e)));
    const double size = std::abs(factor);
    return with_right(fmt::format(
        "{}{}{} too {} by a factor of {}", is_root(e) ? "it" : text_(e), " is",
        factor < 0 ? " of the wrong sign, and" : "", size < 1 ? "large" : "small",
        number_in_words(trace_, size < 1 ? 1 / size : size) +
            (size < 1 ? fmt::format(": {} is missing", number_in_words(trace_, size)) : "")));
  }

  // A number that belongs in front of what a function is taken of.
  std::string signs_inside(const Expr& e) const { return number_inside(e, {-1}); }
  std::string numbers_inside(const Expr& e) const {
    std::vector<double> factors{2, 0.5};
    for (const double number : numbers_)
      if (number != 0) factors.insert(factors.end(), {number, 1 / number});
    return number_inside(e, factors);
  }
  std::string number_inside(const Expr& e, const std::vector<double>& factors) const {
    if (!is_function(e) && e->kind != Kind::slope) return "";
    const Expr& operand = e->operands[0];
    for (const double factor : factors) {
      if (factor == 1 || !fits_built(operand, [&](const Tensor& x) { return x * factor; }))
        continue;
      if (factor == -1)
        return with_right(fmt::format("the sign of {} is wrong, in {}", text_(operand), text_(e)));
      const double size = std::abs(factor);
      return with_right(fmt::format("{} is{} too {} by a factor of {}, in {}", text_(operand),
                                    factor < 0 ? " of the wrong sign, and" : "",
                                    size < 1 ? "large" : "small",
                                    number_in_words(trace_, size < 1 ? 1 / size : size), text_(e)));
    }
    return "";
  }

  std::string products(const Expr& e) const {
    if (e->kind != Kind::operation && !e->is_symbol()) return "";
    if (e->shape.rank() == 2 && fits_built(e, [](const Tensor& x) { return x.T(); }))
      return with_right(fmt::format("{} has to be transposed", text_(e)));
    const Role role = e->role();
    const auto both = [&](auto f) {
      return fits(e, built([&](Builder& builder) {
                    return f(builder.value(e->operands[0]), builder.value(e->operands[1]));
                  }));
    };
    const auto said = [&](const char* words) {
      return with_right(fmt::format("{}: {}", words, text_(e)));
    };
    if (role.is(Role::Kind::matrix_product)) {
      if (both([](const Tensor& a, const Tensor& b) { return matmul(b, a); }) ||
          both([](const Tensor& a, const Tensor& b) { return matmul(b.T(), a); }) ||
          both([](const Tensor& a, const Tensor& b) { return matmul(b, a.T()); }))
        return said("the operands are swapped");
      if (both([](const Tensor& a, const Tensor& b) { return matmul(a.T(), b); }) ||
          both([](const Tensor& a, const Tensor& b) { return matmul(a, b.T()); }) ||
          both([](const Tensor& a, const Tensor& b) { return matmul(a.T(), b.T()); }))
        return said("a transpose is wrong");
    }
    if (role.is(Role::Kind::product)) {
      if (both([](const Tensor& a, const Tensor& b) { return matmul(a, b); }) ||
          both([](const Tensor& a, const Tensor& b) { return matmul(a.T(), b); }) ||
          both([](const Tensor& a, const Tensor& b) { return matmul(a, b.T()); }))
        return said("an elementwise product in the place of a matrix product");
      for (const std::size_t k : {0, 1})
        if (both([&](const Tensor& a, const Tensor& b) { return k == 0 ? a / b : b / a; }))
          return said("a product in the place of a quotient");
    }
    if (role.is(Role::Kind::quotient) &&
        both([](const Tensor& a, const Tensor& b) { return a * b; }))
      return said("a quotient in the place of a product");
    if (role.is(Role::Kind::sum) && both([](const Tensor& a, const Tensor& b) { return a - b; }))
      return with_right(fmt::format("the sign of {} is wrong", text_(e->operands[1])));
    if (role.is(Role::Kind::difference) &&
        both([](const Tensor& a, const Tensor& b) { return a + b; }))
      return with_right(fmt::format("the sign of {} is wrong", text_(e->operands[1])));
    return "";
  }

  // Sums over no axis, or over another one.
  std::string sums(const Expr& e) const {
    const Role role = e->role();
    const bool is_mean = role.is(Role::Kind::mean), is_total = role.is(Role::Kind::total);
    const Expr& inside = is_mean || is_total ? e->operands[0] : e;
    if (e->kind == Kind::number || (e->kind == Kind::constant && !is_root(e))) return "";
    for (int axis = 0; axis < inside->shape.rank(); ++axis)
      for (const bool keep : {true, false}) {
        if (inside->shape[axis] == 1) continue;
        const auto summed = [&](bool mean_instead) {
          return fits(e, built([&](Builder& builder) {
                        const Tensor x = builder.value(inside);
                        return mean_instead ? mean(x, axis, keep) : sum(x, axis, keep);
                      }));
        };
        for (const bool mean_instead : {is_mean, !is_mean})
          if (summed(mean_instead))
            return with_right(
                is_mean || is_total
                    ? fmt::format("{} is over the wrong axis: axis {} belongs there", text_(e),
                                  axis)
                    : fmt::format("the sum over axis {} is missing: of {}", axis, text_(e)));
      }
    if ((is_mean || is_total) && fits(e, inside))
      return with_right(fmt::format("{} is not summed in the right formula", text_(inside)));
    return "";
  }

  // The same operation with the parameters that it has in the right formula.
  std::string axes(const Expr& e) const {
    if (e->kind != Kind::operation) return "";
    for (const Expr& other : spares_) {
      if (other->kind != Kind::operation || other->op() != e->op() || other->shape != e->shape ||
          other->application->parameters().bytes().size() == 0 || e->is(Role::Kind::matrix_product))
        continue;
      const Expr same = operation_expression(other->application, e->operands, e->shape, e->output);
      if (key_of(same) != key_of(e) && fits(e, same))
        return with_right(moves_elements(e)
                              ? fmt::format("{} stands in the place of {}", text_(e), text_(same))
                              : fmt::format("{} is over the wrong axis", text_(e)));
    }
    // Of a matrix, over the other axis, where the right formula is written in another way.
    if (e->operands.size() == 1 && e->operands[0] && e->shape.rank() == 2 &&
        e->operands[0]->shape == e->shape && !e->op()->elementwise() &&
        fits(e, built([&](Builder& builder) {
               const Tensor x = builder.value(e->operands[0]).T();
               return apply_again(*e->application, std::span(&x, 1)).T();
             })))
      return with_right(fmt::format("{} is over the wrong axis", text_(e)));
    return "";
  }

  // Of operands that stand one behind the other, two exchanged, or all in the reverse order.
  std::string order(const Expr& e) const {
    const std::size_t n = e->operands.size();
    if (!e->is(Role::Kind::join) || n < 2 || n > 12) return "";
    const auto fits_as = [&](std::vector<Expr> operands) {
      return fits(e,
                  operation_expression(e->application, std::move(operands), e->shape, e->output));
    };
    for (std::size_t a = 0; a < n; ++a)
      for (std::size_t b = a + 1; b < n; ++b) {
        if (e->operands[a]->shape != e->operands[b]->shape) continue;
        std::vector<Expr> operands = e->operands;
        std::swap(operands[a], operands[b]);
        if (fits_as(std::move(operands)))
          return with_right(fmt::format("{} and {} are exchanged: the order in {} is wrong",
                                        text_(e->operands[a]), text_(e->operands[b]), text_(e)));
      }
    std::vector<Expr> operands(e->operands.rbegin(), e->operands.rend());
    return operands.front()->shape == operands.back()->shape && fits_as(std::move(operands))
               ? with_right(fmt::format("in the reverse order: {}", text_(e)))
               : "";
  }

  // Operands that are left over.
  std::string too_much(const Expr& e) const {
    if (e->kind != Kind::operation) return "";
    if (std::string found = factors_too_much(e); !found.empty()) return found;
    for (std::size_t k = 0; k < e->operands.size(); ++k) {
      const Expr& stays = e->operands[k];
      if (!stays || stays->kind == Kind::number || !fits(e, stays)) continue;
      const Role role = e->role();
      if ((role.is(Role::Kind::difference) || role.is(Role::Kind::quotient)) && k == 1)
        return with_right(fmt::format("{} stands in the place of {}", text_(e), text_(stays)));
      if (role.operands() == 2 && e->operands.size() == 2) {
        const Expr& other = e->operands[1 - k];
        const bool is_term = role.is(Role::Kind::sum) || role.is(Role::Kind::difference);
        return with_right(fmt::format("the {} {} does not belong there",
                                      is_term ? "term" : "factor", text_(other)));
      }
      return with_right(fmt::format("{} stands in the place of {}", text_(e), text_(stays)));
    }
    // A part of a part, as X of A·(B·X).
    std::string found;
    visit_parts(e, [&](const Expr& stays) {
      if (found.empty() && stays != e && stays->kind == Kind::operation &&
          stays->shape == e->shape && fits(e, stays))
        found = with_right(fmt::format("{} stands in the place of {}", text_(e), text_(stays)));
    });
    return found;
  }

  // Of a product of several, one or two.
  std::string factors_too_much(const Expr& e) const {
    const std::vector<Expr> factors = factors_of(e);
    const std::size_t n = factors.size();
    if (n < 3 || n > 8) return "";
    for (const std::size_t apart : {std::size_t{0}, std::size_t{1}})
      for (std::size_t a = 0; a + apart < n; ++a)
        for (std::size_t b = a + apart; b < (apart == 0 ? a + 1 : n); ++b) {
          const auto product_of = [&](bool left_out, Builder& builder) {
            Tensor product;
            for (std::size_t k = 0; k < n; ++k) {
              if ((k == a || k == b) != left_out) continue;
              const Tensor value = builder.value(factors[k]);
              product = product.defined() ? product * value : value;
            }
            return product;
          };
          if (!fits(e, built([&](Builder& builder) { return product_of(false, builder); })))
            continue;
          return with_right(fmt::format(
              "the factor {} does not belong there",
              text_(built([&](Builder& builder) { return product_of(true, builder); }))));
        }
    return "";
  }

  // Another function of the same operand, or one that is missing.
  std::string other_functions(const Expr& e) const {
    if (e->kind == Kind::number || (e->kind == Kind::constant && !is_root(e))) return "";
    if (known_.empty()) {
      known_ = functions_in(trace_);
      for (const Expr& form : comparison_.right_forms()) known_.merge(functions_in(form));
    }
    if (is_function(e))
      for (const Expr& slope : spares_)
        if (slope->kind == Kind::slope && slope->op() == e->op() && slope->shape == e->shape &&
            fits(e, built([&](Builder& builder) {
                   return builder.value(e->operands[0]) * builder.value(slope);
                 })))
          return with_right(fmt::format("{0} is taken of {1}: the factor {2} belongs there",
                                        function_name(*e->application), text_(e->operands[0]),
                                        text_(slope)));
    for (const NamedFunction& function : named_functions()) {
      if (!function.made_of(known_)) continue;
      if (is_function(e) && fits(e, built([&](Builder& builder) {
                                   return function.of(builder.value(e->operands[0]));
                                 })))
        return with_right(fmt::format("{} in the place of {}: of {}",
                                      function_name(*e->application), function.name,
                                      text_(e->operands[0])));
      if (fits_built(e, function.of))
        return with_right(fmt::format("{} is missing: {} stands in the place of {} of it",
                                      function.name, text_(e), function.name));
    }
    return "";
  }

  // The square, 1 − x and 1 ⊘ x of a part.
  std::string others(const Expr& e) const {
    if (e->kind != Kind::operation && !e->is_symbol()) return "";
    if (std::string found = labels(e); !found.empty()) return found;
    const auto with = [&](const char* words, auto f) {
      return fits_built(e, f) ? with_right(fmt::format("{} {}", text_(e), words)) : std::string();
    };
    if (std::string found = with("has to be squared", [](const Tensor& x) { return x * x; });
        !found.empty())
      return found;
    if (std::string found =
            with("stands in the place of 1 minus it", [](const Tensor& x) { return 1 - x; });
        !found.empty())
      return found;
    if (std::string found =
            with("stands in the place of 1 over it", [](const Tensor& x) { return 1 / x; });
        !found.empty())
      return found;
    for (const double one : {1.0, -1.0})
      if (fits_built(e, [&](const Tensor& x) { return x + one; }))
        return with_right(
            fmt::format("the term {} is missing at {}", one > 0 ? "1" : "−1", text_(e)));
    return "";
  }

  // Labels −1 and 1 in the place of 0 and 1, or the reverse.
  std::string labels(const Expr& e) const {
    if (!e->is_symbol()) return "";
    const std::vector<double> x = numbers(evaluate(e, comparison_.point(0)));
    const auto are = [&](double low) {
      return std::ranges::all_of(x, [&](double label) { return label == low || label == 1; });
    };
    if (are(-1) && fits_built(e, [](const Tensor& y) { return (y + 1) / 2; }))
      return with_right(fmt::format(
          "labels of −1 and 1 in the place of 0 and 1: {} stands in the place of ({} + 1) / 2",
          text_(e), text_(e)));
    if (are(0) && fits_built(e, [](const Tensor& y) { return 2 * y - 1; }))
      return with_right(fmt::format(
          "labels of 0 and 1 in the place of −1 and 1: {} stands in the place of 2 {} − 1",
          text_(e), text_(e)));
    return "";
  }

  bool any_number_ = false;
  mutable Functions known_;  // of the program and of the right formula
};

}  // namespace

std::string repair_inverse(const Trace& trace, const Comparison& comparison, const Text& text) {
  bool has_number = false;
  if (const Expr& formula = comparison.suspect().formula)
    visit_parts(formula, [&](const Expr& e) { has_number = has_number || is_named_number(e); });
  return has_number ? Structure(trace, comparison, text).find_inverse() : "";
}

std::string repair_numbers(const Trace& trace, const Comparison& comparison, const Text& text) {
  return Structure(trace, comparison, text).find_any_number();
}

std::string repair_structure(const Trace& trace, const Comparison& comparison, const Text& text) {
  Structure structure(trace, comparison, text);
  const std::string found = structure.find();
  return found.empty() ? structure.find_in_terms() : found;
}

}  // namespace chainrule::derivation
