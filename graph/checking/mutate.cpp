#include <chainrule/graph/checking/mutate.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/checking/other_symbols.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/layers.hpp>
#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

// So many pairs of symbols are tried, at most.
constexpr std::size_t most_pairs = 4000;

bool is_product(const Expression& e) { return e.is(Role::Kind::matrix_product); }

class Mutations {
 public:
  Mutations(const Trace& trace, const Target& target, const Environment& point,
            const std::function<bool(const Mutant&)>& f)
      : trace_(trace),
        right_(target.right),
        others_(trace, point, target.node),
        written_(target.written),
        point_(point),
        f_(f) {
    visit_parts(right_, [&](const Expr& e) { parts_.push_back(e); });
  }

  bool run(Mistakes mistakes) {
    if (mistakes == Mistakes::in_two_symbols) return pairs();
    if (mistakes == Mistakes::in_conditions) return conditions();
    if (mistakes == Mistakes::everywhere) return everywhere();
    return std::ranges::any_of(parts_, [&](const Expr& e) {
      return mistakes == Mistakes::in_operations  ? operations(e)
             : mistakes == Mistakes::in_signs     ? signs(e)
             : mistakes == Mistakes::in_quotients ? quotients(e)
             : mistakes == Mistakes::in_symbols   ? e->is_symbol() && symbols(e)
                                                  : products(e);
    });
  }

 private:
  bool try_parts(const Replacements& parts, std::string mistake) {
    return f_({.formula = replaced(right_, parts), .mistake = std::move(mistake)});
  }
  bool try_part(const Expr& part, Expr other, std::string mistake, bool says_all = false) {
    Expr formula = replaced(right_, {{part.get(), other}});
    return f_({.formula = std::move(formula),
               .mistake = std::move(mistake),
               .now = std::move(other),
               .before = part,
               .says_all = says_all});
  }
  bool try_other(const Expr& meant, const Expr& written, const Replacements& parts) {
    return f_({.formula = replaced(right_, parts),
               .mistake = differ_in_layer(name_of(meant), name_of(written))
                              ? "of the wrong layer or step"
                              : "another tensor",
               .written = written,
               .meant = meant});
  }
  // What a symbol, or the slope at one, is called in the program.
  std::string_view name_of(const Expr& e) const {
    const Expr& symbol = e->kind == Kind::slope ? e->operands[0] : e;
    return symbol->is_symbol() ? trace_.node(symbol->node).name() : std::string_view();
  }
  // The same with an operation that f() computes from the values of expressions.
  template <class F>
  bool try_built(const Expr& part, std::string mistake, F f) {
    Expr other = built(point_, f);
    return other && try_part(part, std::move(other), std::move(mistake));
  }

  // Whether a number would be left beside another one, as of 4 v in 4.2 − 4 v without the v: that
  // is one number, which nobody writes so.
  bool leaves_two_numbers(const Expr& e, const Expr& number) const {
    if (number->kind != Kind::number) return false;
    return std::ranges::any_of(users_of(e, parts_), [&](const Expr& user) {
      return (user->is(Role::Kind::sum) || user->is(Role::Kind::difference)) &&
             std::ranges::any_of(user->operands, [&](const Expr& other) {
               return other != e && other && other->kind == Kind::number;
             });
    });
  }

  // An operand in the place of an operation, in its shape.
  bool try_alone(const Expr& e, const Expr& operand, const char* mistake) {
    if (operand->shape == e->shape) return try_part(e, operand, mistake);
    return try_built(e, mistake,
                     [&](Builder& builder) { return expand(builder.value(operand), e->shape); });
  }

  // Parts left out, in the wrong order, or with the wrong sign.
  bool operations(const Expr& e) {
    if (e->kind == Kind::slope) {
      const std::string called = slope_name(*e->application);
      for (const WrongSlope& wrong : wrong_slopes())
        if (Expr other = wrong.made(e, point_); other && try_part(e, other, wrong.said(called)))
          return true;
      for (std::uint32_t i = 0; i < trace_.size(); ++i)
        if (others_.contain(i, e->operands[0]) &&
            try_part(e, slope_expression(e->application, tensor_expression(i, e->shape)),
                     called + " is taken at another tensor"))
          return true;
    }
    if (other_functions(e)) return true;
    if (e->kind != Kind::operation) return false;
    const Role role = e->role();
    if (role.is(Role::Kind::difference)) {
      const Expr &a = e->operands[0], &b = e->operands[1];
      if (try_built(e, "the difference is the wrong way round",
                    [&](Builder& builder) { return builder.value(b) - builder.value(a); }))
        return true;
      if (try_alone(e, a, "the subtrahend is missing")) return true;
      if (number_in(*a) == 1.0 && b->shape == e->shape && try_part(e, b, "1 − is missing", true))
        return true;
    }
    if (role.is(Role::Kind::sum))
      for (const Expr& operand : e->operands)
        if (try_alone(e, operand, "a term is missing")) return true;
    const bool divides = role.is(Role::Kind::quotient);
    if (role.is(Role::Kind::product) || divides)
      for (std::size_t k = 0; k < (divides ? 1U : 2U); ++k) {
        const Expr& left_out = e->operands[1 - k];
        if (leaves_two_numbers(e, e->operands[k])) continue;
        const std::string what =
            left_out->kind == Kind::number ? "a factor that is a number" : "a factor";
        if (try_part(e, e->operands[k], what + " is missing")) return true;
      }
    if (role.is(Role::Kind::negation) && try_part(e, e->operands[0], "the sign is wrong"))
      return true;
    // Where a bound is never met from one side, a clip that is left out is one the wrong way round.
    if (role.is(Role::Kind::comparison) && (selections() || reversed(e))) return true;
    if (role.is(Role::Kind::total) && try_part(e, e->operands[0], "the sum is missing"))
      return true;
    return false;
  }

  // What a part is divided by as a factor, or its logarithm.
  bool quotients(const Expr& e) {
    if (!e->is(Role::Kind::quotient) || e->operands[1]->kind == Kind::number) return false;
    const auto with = [&](const char* mistake, auto f) {
      return try_built(e, mistake, [&](Builder& builder) {
        return builder.value(e->operands[0]) * f(builder.value(e->operands[1]));
      });
    };
    if (with("a product in the place of a quotient", [](const Tensor& x) { return x; }))
      return true;
    // One that is 0 is a term that is missing.
    return largest(numbers(log(evaluate(e->operands[1], point_)))) > 0 &&
           with("log in the place of the inverse", [](const Tensor& x) { return log(x); });
  }

  // The sign of what a function is taken of.
  bool signs(const Expr& e) {
    if (!is_function(e) && e->kind != Kind::slope) return false;
    const Expr negative =
        built(point_, [&](Builder& builder) { return -builder.value(e->operands[0]); });
    if (!negative) return false;
    const Expr other = e->kind == Kind::slope
                           ? slope_expression(e->application, negative)
                           : operation_expression(e->application, {negative}, e->shape, e->output);
    return try_part(e, other, "the sign of what the function is taken of is wrong");
  }

  // The comparison the other way round, and with it others of the same operands.
  bool reversed(const Expr& e) {
    Replacements parts;
    for (const Expr& other : parts_)
      if (other->is(Role::Kind::comparison) &&
          key_of(other->operands[0]) == key_of(e->operands[0]) &&
          key_of(other->operands[1]) == key_of(e->operands[1]))
        parts[other.get()] = operation_expression(
            other->application, {other->operands[1], other->operands[0]}, other->shape);
    return try_parts(parts, "the condition is the wrong way round");
  }

  // One of two results of a selection alone.
  bool selections() {
    for (const Expr& e : parts_)
      if (e->is(Role::Kind::selection) && e->operands.size() == 3)
        for (const std::size_t k : {1, 2})
          if (e->operands[k] && e->operands[k]->shape == e->shape &&
              f_({.formula = replaced(right_, {{e.get(), e->operands[k]}}),
                  .mistake = "the condition is left out",
                  .left_out = e->operands[0]}))
            return true;
    return false;
  }

  // A comparison that is taken to hold everywhere, or nowhere. Where they are several, up to all of
  // them.
  bool conditions() {
    constexpr std::size_t most = 5;
    if (selections()) return true;
    std::vector<Expr> comparisons;
    std::unordered_map<std::string, std::size_t> known;
    std::vector<std::pair<Expr, std::size_t>> places;
    for (const Expr& e : parts_) {
      if (!e->is(Role::Kind::comparison)) continue;
      places.emplace_back(e, known.try_emplace(key_of(e), known.size()).first->second);
    }
    if (known.empty() || known.size() > most) return false;
    // Each one as it is, true, or false; those with few that change first.
    std::size_t ways = 1;
    for (std::size_t k = 0; k < known.size(); ++k) ways *= 3;
    for (std::size_t changes = 1; changes <= known.size(); ++changes)
      for (std::size_t way = 1; way < ways; ++way) {
        std::vector<std::size_t> of(known.size());
        std::size_t rest = way, changed = 0;
        for (std::size_t& one : of) {
          one = rest % 3;
          rest /= 3;
          changed += one != 0;
        }
        if (changed != changes) continue;
        Replacements parts;
        Expr one;
        for (const auto& [e, k] : places) {
          if (of[k] == 0) continue;
          parts[e.get()] = constant_expression(full(e->shape, of[k] == 1, boolean));
          one = e;
        }
        if (f_({.formula = replaced(right_, parts),
                .mistake = "conditions are left out",
                .left_out = changes == 1 ? one : nullptr}))
          return true;
      }
    return false;
  }

  // A function left out, or another in its place, wherever it stands in the formula.
  bool everywhere() {
    std::map<std::string, std::vector<Expr>> places;
    for (const Expr& e : parts_)
      if (is_function(e) || e->kind == Kind::slope)
        places[e->kind == Kind::slope ? slope_name(*e->application)
                                      : function_name(*e->application)]
            .push_back(e);
    for (const auto& [called, all] : places) {
      if (all.size() < 2) continue;
      for (const NamedFunction& function : likely_functions()) {
        Replacements parts;
        for (const Expr& e : all)
          if (Expr other = attempt([&] {
                             Builder builder(point_);
                             return builder.build(
                                 [&] { return function.of(builder.value(e->operands[0])); });
                           }).value_or(nullptr))
            parts[e.get()] = std::move(other);
        if (parts.size() == all.size() &&
            try_parts(parts,
                      function.name == std::string_view("the operand")
                          ? fmt::format("the function {} is missing everywhere", called)
                          : fmt::format("{} in the place of {} everywhere", function.name, called)))
          return true;
      }
    }
    return false;
  }

  const std::vector<NamedFunction>& likely_functions() {
    if (likely_.empty()) likely_ = derivation::likely_functions(trace_, right_, written_);
    return likely_;
  }

  // Functions of the program and of the right formula.
  const Functions& known() {
    if (known_.empty()) {
      known_ = functions_in(trace_);
      known_.merge(functions_in(right_));
    }
    return known_;
  }

  // Another function of the same operand.
  bool other_functions(const Expr& e) {
    if (!is_function(e) && e->kind != Kind::slope) return false;
    const std::string mine =
        e->kind == Kind::slope ? slope_name(*e->application) : function_name(*e->application);
    const Tensor operand = evaluate(e->operands[0], point_);
    if (!is_floating(operand.dtype())) return false;
    return std::ranges::any_of(likely_functions(), [&](const NamedFunction& function) {
      if (function.is_plain_at(operand)) return false;
      // An inverse is taken for no slope that goes by sides: it would make up for another factor.
      if (e->kind == Kind::slope && function.name == std::string_view("the inverse") &&
          is_piecewise_constant(e, operand))
        return false;
      // Nobody takes a sine who has none.
      if (e->kind != Kind::slope && function.periodic && !function.made_of(known())) return false;
      return try_built(
          e,
          function.name == std::string_view("the operand")
              ? fmt::format("the function {} is missing", mine)
              : fmt::format("{} in the place of {}", function.name, mine),
          [&](Builder& builder) { return function.of(builder.value(e->operands[0])); });
    });
  }

  // A tensor of another layer, or the gradient of one.
  bool symbols(const Expr& e) {
    const std::vector<Expr> users = users_of(e, parts_);
    // Of sign(x) the factor is not x.
    Expr factor = e;
    std::vector<Expr> of_factor = users;
    while (of_factor.size() == 1 && is_function(of_factor[0])) {
      factor = of_factor[0];
      of_factor = users_of(factor, parts_);
    }
    const bool is_term = std::ranges::any_of(of_factor, [](const Expr& user) {
      return user->is(Role::Kind::sum) || user->is(Role::Kind::difference);
    });
    const bool is_in_number = std::ranges::any_of(of_factor, [&](const Expr& user) {
      return user->is(Role::Kind::product) &&
             std::ranges::any_of(user->operands, [&](const Expr& other) {
               return other != factor && leaves_two_numbers(user, other);
             });
    });
    if (!is_term && !is_in_number &&
        try_part(factor, number_expression(1, factor->shape), "a factor is missing"))
      return true;
    for (std::uint32_t i = 0; i < trace_.size(); ++i) {
      if (!others_.contain(i, e)) continue;
      const Expr other = same_kind(e, i);
      // Of numbers alone it is enough that a sign was forgotten.
      if (!written_ && is_negative(e, other, point_)) continue;
      if (try_other(e, other, {{e.get(), other}})) return true;
      // In one of several places.
      for (const Expr& user : users)
        if (Expr instead = with_operand(user, e, other);
            instead && users.size() > 1 && try_other(e, other, {{user.get(), std::move(instead)}}))
          return true;
    }
    return numbers_for(e);
  }

  bool products(const Expr& e) {
    const Role role = e->role();
    const bool is_outer = role.is(Role::Kind::outer_product);
    if (!is_product(*e) && !is_outer) return false;
    const Expr &a = e->operands[0], &b = e->operands[1];
    const auto both = [&](const char* mistake, auto f) {
      return try_built(e, mistake,
                       [&](Builder& builder) { return f(builder.value(a), builder.value(b)); });
    };
    if (is_outer)
      return both("the outer product is the wrong way round",
                  [](const Tensor& x, const Tensor& y) { return outer(y, x); });
    const bool tn = role.transposed[0] && !role.transposed[1];
    const bool nt = role.transposed[1] && !role.transposed[0];
    // With the transposes that the operation has, swapped; and with one more or less.
    if (both(nt ? "the outer product is the wrong way round" : "the operands are swapped",
             [&](const Tensor& x, const Tensor& y) {
               return nt ? matmul(y, x.T()) : tn ? matmul(y.T(), x) : matmul(y, x);
             }))
      return true;
    if (both("the operands are swapped", [&](const Tensor& x, const Tensor& y) {
          return nt ? matmul(y.T(), x) : tn ? matmul(y, x.T()) : matmul(y, x);
        }))
      return true;
    if (both(tn || nt ? "a transpose is missing" : "an operand is transposed",
             [&](const Tensor& x, const Tensor& y) {
               return tn || nt ? matmul(x, y) : matmul(x.T(), y);
             }))
      return true;
    if (both("an operand is transposed",
             [](const Tensor& x, const Tensor& y) { return matmul(x, y.T()); }))
      return true;
    return both("an elementwise product in the place of a matrix product",
                [](const Tensor& x, const Tensor& y) { return x * y; }) ||
           outside(e);
  }
  // k ⊗ A·x for A·(k ⊗ x).
  bool outside(const Expr& e) {
    for (const std::size_t side : {0, 1}) {
      const Expr& operand = e->operands[side];
      const bool reshaped = operand && operand->is(Role::Kind::reshape);
      const Expr& product = reshaped ? operand->operands[0] : operand;
      if (!product || !product->is(Role::Kind::product)) continue;
      for (const std::size_t k : {0, 1}) {
        const Expr &factor = product->operands[k], &stays = product->operands[1 - k];
        if (factor->shape.numel() != e->shape.numel() || stays->shape != product->shape) continue;
        const Expr rest =
            with_operand(e, operand,
                         reshaped ? operation_expression(operand->application, {stays},
                                                         operand->shape, operand->output)
                                  : stays);
        if (rest &&
            try_built(e, "a factor stands outside of a matrix product", [&](Builder& builder) {
              return reshape(builder.value(factor), e->shape) * builder.value(rest);
            }))
          return true;
      }
    }
    return false;
  }

  // Two symbols at once, as of wrong layers.
  bool pairs() {
    std::vector<Expr> symbols;
    // A mask has so few values that some pair of tensors gives each of them.
    std::unordered_set<const Expression*> seen;
    for (const Expr& e : parts_)
      if (e->is(Role::Kind::comparison))
        visit_parts(e, [&](const Expr& part) { seen.insert(part.get()); });
    for (const Expr& e : parts_)
      if ((e->is_symbol() || (e->kind == Kind::slope && e->operands[0]->is_symbol())) &&
          seen.insert(e.get()).second)
        symbols.push_back(e);
    std::vector<std::vector<std::uint32_t>> others(symbols.size());
    for (std::size_t a = 0; a < symbols.size(); ++a)
      for (std::uint32_t i = 0; i < trace_.size(); ++i)
        if (others_.contain(i, symbols[a])) others[a].push_back(i);
    std::size_t tried = 0;
    for (std::size_t a = 0; a < symbols.size(); ++a)
      for (std::size_t b = a + 1; b < symbols.size(); ++b)
        for (const std::uint32_t i : others[a])
          for (const std::uint32_t j : others[b]) {
            if (++tried > most_pairs) return false;
            const Expr first = same_kind(symbols[a], i), second = same_kind(symbols[b], j);
            const bool alike = differ_in_layer(name_of(symbols[a]), name_of(first)) &&
                               differ_in_layer(name_of(symbols[b]), name_of(second));
            if (try_parts({{symbols[a].get(), first}, {symbols[b].get(), second}},
                          alike ? "of the wrong layers or steps" : "other tensors"))
              return true;
          }
    return false;
  }

  // A number in the place of a larger tensor.
  bool numbers_for(const Expr& e) {
    if (e->kind != Kind::tensor || e->shape.numel() < 2) return false;
    for (std::uint32_t i = 0; i < trace_.size(); ++i) {
      const Tensor& value = trace_.replay().value(i);
      if (trace_.node(i).name().empty() || !value.defined() || value.numel() != 1) continue;
      const Expr number = tensor_expression(i, value.shape());
      const Expr wide =
          attempt([&] {
            Builder builder(point_);
            return builder.build([&] { return expand(builder.value(number), e->shape); });
          }).value_or(nullptr);
      if (wide && f_({.formula = replaced(right_, {{e.get(), wide}}),
                      .mistake = "another tensor",
                      .now = number,
                      .before = e}))
        return true;
    }
    return false;
  }

  const Trace& trace_;
  const Expr& right_;
  OtherSymbols others_;
  Expr written_;
  const Environment& point_;
  const std::function<bool(const Mutant&)>& f_;
  std::vector<Expr> parts_;
  std::vector<NamedFunction> likely_;
  Functions known_;
};

}  // namespace

bool for_each_mutant(const Trace& trace, const Target& target, const Environment& point,
                     const std::function<bool(const Mutant&)>& f) {
  Mutations mutations(trace, target, point, f);
  using enum Mistakes;
  return std::ranges::any_of(std::initializer_list<Mistakes>{in_operations, in_symbols, in_products,
                                                             in_quotients, in_two_symbols},
                             [&](Mistakes mistakes) { return mutations.run(mistakes); });
}

bool for_each_mutant(const Trace& trace, const Target& target, const Environment& point,
                     Mistakes mistakes, const std::function<bool(const Mutant&)>& f) {
  return Mutations(trace, target, point, f).run(mistakes);
}

}  // namespace chainrule::derivation
