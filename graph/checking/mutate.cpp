#include <chainrule/graph/checking/mutate.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <unordered_set>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/layers.hpp>
#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/linalg/matmul.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

// So many pairs of symbols are tried, at most.
constexpr std::size_t most_pairs = 4000;

bool is_product(const Expression& e) { return e.is(Role::Kind::matrix_product); }

constexpr NamedFunction functions[] = {
    {"the operand", [](const Tensor& x) { return x * 1.0; }},
    {"sin", [](const Tensor& x) { return sin(x); }},
    {"cos", [](const Tensor& x) { return cos(x); }},
    {"−sin", [](const Tensor& x) { return -sin(x); }},
    {"tanh", [](const Tensor& x) { return tanh(x); }},
    {"tanh'", [](const Tensor& x) { return 1 - tanh(x) * tanh(x); }},
    {"σ", [](const Tensor& x) { return sigmoid(x); }},
    {"σ'", [](const Tensor& x) { return sigmoid(x) * sigmoid(-x); }},
    {"softplus", [](const Tensor& x) { return softplus(x); }},
    {"relu", [](const Tensor& x) { return relu(x); }},
    {"sign", [](const Tensor& x) { return sign(x); }},
    {"abs", [](const Tensor& x) { return abs(x); }},
    {"exp", [](const Tensor& x) { return exp(x); }},
    {"log", [](const Tensor& x) { return log(x); }},
    {"the square", [](const Tensor& x) { return x * x; }},
    {"the square root", [](const Tensor& x) { return sqrt(x); }},
    {"the inverse", [](const Tensor& x) { return 1 / x; }}};

class Mutations {
 public:
  Mutations(const Trace& trace, const Target& target, const Environment& point,
            const std::function<bool(const Mutant&)>& f)
      : trace_(trace), right_(target.right), target_(target.node), point_(point), f_(f) {
    visit_parts(right_, [&](const Expr& e) { parts_.push_back(e); });
  }

  bool run(Mistakes mistakes) {
    if (mistakes == Mistakes::in_two_symbols) return pairs();
    return std::ranges::any_of(parts_, [&](const Expr& e) {
      return mistakes == Mistakes::in_operations ? operations(e)
             : mistakes == Mistakes::in_symbols  ? e->is_symbol() && symbols(e)
                                                 : products(e);
    });
  }

 private:
  bool try_parts(const Replacements& parts, std::string mistake) {
    return f_({replaced(right_, parts), std::move(mistake)});
  }
  bool try_part(const Expr& part, Expr other, std::string mistake) {
    return try_parts({{part.get(), std::move(other)}}, std::move(mistake));
  }
  bool try_other(const Expr& meant, const Expr& written, const Replacements& parts) {
    return f_({replaced(right_, parts),
               differ_in_layer(name_of(meant), name_of(written)) ? "of the wrong layer or step"
                                                                 : "another tensor",
               written, meant});
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

  // Parts left out, in the wrong order, or with the wrong sign.
  bool operations(const Expr& e) {
    if (e->kind == Kind::slope) {
      const std::string called = slope_name(*e->application);
      for (const WrongSlope& wrong : wrong_slopes())
        if (Expr other = wrong.made(e, point_); other && try_part(e, other, wrong.said(called)))
          return true;
      for (std::uint32_t i = 0; i < trace_.size(); ++i)
        if (is_other(i, e->operands[0]) &&
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
      if (try_part(e, a, "the subtrahend is missing")) return true;
    }
    if (role.is(Role::Kind::sum))
      for (const Expr& operand : e->operands)
        if (try_part(e, operand, "a term is missing")) return true;
    const bool divides = role.is(Role::Kind::quotient);
    if (role.is(Role::Kind::product) || divides)
      for (std::size_t k = 0; k < (divides ? 1U : 2U); ++k) {
        const Expr& left_out = e->operands[1 - k];
        const std::string what =
            left_out->kind == Kind::number ? "a factor that is a number" : "a factor";
        if (try_part(e, e->operands[k], what + " is missing")) return true;
      }
    if (role.is(Role::Kind::negation) && try_part(e, e->operands[0], "the sign is wrong"))
      return true;
    if (role.is(Role::Kind::comparison) && reversed(e)) return true;
    if (role.is(Role::Kind::total) && try_part(e, e->operands[0], "the sum is missing"))
      return true;
    return false;
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

  // Another function of the same operand.
  bool other_functions(const Expr& e) {
    const bool is_function = e->kind == Kind::operation && e->operands.size() == 1 &&
                             e->op()->elementwise() && !e->is(Role::Kind::negation) &&
                             !e->is(Role::Kind::conversion);
    if (!is_function && e->kind != Kind::slope) return false;
    const std::string mine =
        e->kind == Kind::slope ? slope_name(*e->application) : function_name(*e->application);
    const Tensor operand = evaluate(e->operands[0], point_);
    if (!is_floating(operand.dtype())) return false;
    return std::ranges::any_of(functions, [&](const NamedFunction& function) {
      // One that is 0 is a term that is missing.
      if (largest(numbers(function.of(operand))) == 0) return false;
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
    if (e->is_symbol() && try_part(e, number_expression(1, e->shape), "a factor is missing"))
      return true;
    for (std::uint32_t i = 0; i < trace_.size(); ++i) {
      if (!is_other(i, e)) continue;
      const Expr other = same_kind(e, i);
      if (try_other(e, other, {{e.get(), other}})) return true;
      // In one of several places.
      const std::vector<Expr> users = users_of(e, parts_);
      for (const Expr& user : users)
        if (Expr instead = with_operand(user, e, other);
            instead && users.size() > 1 && try_other(e, other, {{user.get(), std::move(instead)}}))
          return true;
    }
    return false;
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
                [](const Tensor& x, const Tensor& y) { return x * y; });
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
    std::size_t tried = 0;
    for (std::size_t a = 0; a < symbols.size(); ++a)
      for (std::size_t b = a + 1; b < symbols.size(); ++b)
        for (std::uint32_t i = 0; i < trace_.size(); ++i) {
          if (!is_other(i, symbols[a])) continue;
          for (std::uint32_t j = 0; j < trace_.size(); ++j) {
            if (!is_other(j, symbols[b])) continue;
            if (++tried > most_pairs) return false;
            const Expr first = same_kind(symbols[a], i), second = same_kind(symbols[b], j);
            const bool alike = differ_in_layer(name_of(symbols[a]), name_of(first)) &&
                               differ_in_layer(name_of(symbols[b]), name_of(second));
            if (try_parts({{symbols[a].get(), first}, {symbols[b].get(), second}},
                          alike ? "of the wrong layers or steps" : "other tensors"))
              return true;
          }
        }
    return false;
  }

  // Whether node i may stand in the place of a symbol: of its shape, known by a name, another.
  bool is_other(std::uint32_t i, const Expr& symbol) const {
    const Expression& e = symbol->kind == Kind::slope ? *symbol->operands[0] : *symbol;
    if (!e.is_symbol() || i == e.node) return false;
    if (trace_.node(i).name().empty() && !trace_.node(i).is_leaf()) return false;
    if (e.kind == Kind::gradient && (i == target_ || !point_.gradients[i].defined() ||
                                     trace_.gradient(i)->kind == Kind::gradient))
      return false;  // itself; and db = dz goes by the name of dz
    const Tensor& value = e.kind == Kind::gradient ? point_.gradients[i] : trace_.replay().value(i);
    return value.defined() && value.shape() == e.shape;
  }
  static Expr same_kind(const Expr& symbol, std::uint32_t i) {
    if (symbol->kind == Kind::slope)
      return slope_expression(symbol->application, tensor_expression(i, symbol->shape));
    return symbol->kind == Kind::gradient ? gradient_expression(i, symbol->shape)
                                          : tensor_expression(i, symbol->shape);
  }

  const Trace& trace_;
  const Expr& right_;
  std::uint32_t target_;
  const Environment& point_;
  const std::function<bool(const Mutant&)>& f_;
  std::vector<Expr> parts_;
};

constexpr WrongSlope slopes[] = {
    {[](const Tensor& y, const Tensor&, const Tensor&) { return ones_like(y); }, "{0} is missing"},
    {[](const Tensor& y, const Tensor&, const Tensor&) { return y * 1.0; },
     "{1} in the place of {0}"},
    {[](const Tensor& y, const Tensor&, const Tensor&) { return 1 - y; },
     "1 − {1} in the place of {0}"},
    {[](const Tensor& y, const Tensor&, const Tensor&) { return y * (1 - y); },
     "{1} ⊗ (1 − {1}), which is the slope of a sigmoid, in the place of {0}"},
    {[](const Tensor& y, const Tensor&, const Tensor&) { return 1 - y * y; },
     "1 − {1}², which is the slope of tanh, in the place of {0}"},
    {[](const Tensor& y, const Tensor&, const Tensor&) { return 1 + y * y; },
     "a wrong sign: 1 + {1}² in the place of {0}"},
    {[](const Tensor&, const Tensor& z, const Tensor&) { return z * (1 - z); },
     "z ⊗ (1 − z) in the place of {0}: taken of the operand instead of {1}, which is another "
     "tensor"},
    {[](const Tensor&, const Tensor& z, const Tensor&) { return 1 - z * z; },
     "1 − z² in the place of {0}: taken of the operand instead of {1}, which is another tensor"},
    {[](const Tensor&, const Tensor& z, const Tensor&) { return z * 1.0; },
     "the operand in the place of {0}"},
    {[](const Tensor& y, const Tensor&, const Tensor&) { return -y; }, "−{1} in the place of {0}"},
    {[](const Tensor&, const Tensor&, const Tensor& slope) { return 1 - slope; },
     "reversed: 1 − {0} in the place of {0}"},
    {[](const Tensor&, const Tensor&, const Tensor& slope) { return slope * slope; },
     "{0} stands there twice"}};

}  // namespace

std::span<const NamedFunction> named_functions() { return functions; }
std::span<const WrongSlope> wrong_slopes() { return slopes; }

std::string function_name(const Node& application) {
  const std::string slope = slope_name(application);
  return slope.substr(0, slope.size() - 1);
}

Expr WrongSlope::made(const Expr& slope, const Environment& point) const {
  return built(point, [&](Builder& builder) {
    const Expr function = operation_expression(slope->application, slope->operands);
    return of(builder.value(function), builder.value(slope->operands[0]), builder.value(slope));
  });
}

std::string WrongSlope::said(const std::string& called) const {
  return fmt::format(fmt::runtime(words), called, called.substr(0, called.size() - 1));
}

bool for_each_mutant(const Trace& trace, const Target& target, const Environment& point,
                     const std::function<bool(const Mutant&)>& f) {
  Mutations mutations(trace, target, point, f);
  using enum Mistakes;
  return std::ranges::any_of(
      std::initializer_list<Mistakes>{in_operations, in_symbols, in_products, in_two_symbols},
      [&](Mistakes mistakes) { return mutations.run(mistakes); });
}

bool for_each_mutant(const Trace& trace, const Target& target, const Environment& point,
                     Mistakes mistakes, const std::function<bool(const Mutant&)>& f) {
  return Mutations(trace, target, point, f).run(mistakes);
}

}  // namespace chainrule::derivation
