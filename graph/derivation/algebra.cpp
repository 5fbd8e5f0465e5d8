#include <chainrule/graph/derivation/algebra.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/known_data.hpp>
#include <chainrule/graph/derivation/role_check.hpp>
#include <chainrule/graph/derivation/tried.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

// Nested deeper than this, a formula stays as it is.
constexpr int most_depth = 200;
// Results without names are shown by what they were computed from, not deeper than this.
constexpr int most_inline = 3;

// One level further down, until the end of a scope.
class Nested {
 public:
  explicit Nested(int& depth) : depth_(depth) { ++depth_; }
  ~Nested() { --depth_; }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;

 private:
  int& depth_;
};

// Whether a formula shows an operation inside of another one without losing the reader.
bool is_small(const Role& role) {
  using enum Role::Kind;
  static constexpr Role::Kind small[] = {sum, difference, negation, product, quotient, square};
  return role.swaps_axes || std::ranges::find(small, role.kind) != std::end(small);
}

}  // namespace

void Algebra::add_reason(Reason reason) {
  if (std::ranges::find(reasons_, reason) == reasons_.end()) reasons_.push_back(std::move(reason));
}

Polynomial Algebra::atom(Expr expression, int exponent) {
  std::string key = key_of(expression);
  return {{{1, {{std::move(expression), std::move(key), exponent}}}}};
}

Polynomial Algebra::polynomial(const Expr& e) {
  switch (e->kind) {
    case Kind::number:
      return e->name.empty() ? number(e->number) : atom(e);
    case Kind::gradient: {
      const Expr gradient = first_alike(e);
      if (!is_substituted(gradient)) return atom(gradient);
      if (!trace_.is_passing(gradient->node)) add_reason({"", gradient->node});
      return polynomial(trace_.gradient(gradient->node));
    }
    case Kind::operation: {
      if (const auto known = known_.find(e.get()); known != known_.end())
        return known->second.second;
      Polynomial sum = operation(e);
      known_[e.get()] = {e, sum};
      return sum;
    }
    case Kind::tensor: {
      const Expr tensor = first_alike(e);
      if (is_inline(tensor)) return polynomial(trace_.forward(tensor->node));
      if (const Expr& made = shown(tensor); made->is(Role::Kind::exponential))
        if (const Expr of = exponential_of(made->operands[0])) return atom(of);
      if (rules_.opened && opened_ < most_inline && &shown(tensor) != &tensor &&
          is_small(shown(tensor)->role())) {
        const Nested nested(opened_);
        return polynomial(trace_.forward(tensor->node));
      }
      if (const Expr& made = shown(tensor); made->is(Role::Kind::reshape))
        if (const Expr back = before_reshape(made->operands[0], tensor->shape))
          return polynomial(back);
      if (const auto [times, of] = scaled(tensor); of)
        return product(number(times), polynomial(of));
      return atom(tensor);
    }
    case Kind::constant: {
      const Expr named = trace_.in_named_data(e);
      return named ? polynomial(named) : atom(e);
    }
    default:
      return atom(e);
  }
}

// The first symbol of the same value that comes about in the same way, so that terms are alike.
Expr Algebra::first_alike(const Expr& symbol) const {
  const bool is_tensor = symbol->kind == Kind::tensor;
  const std::uint32_t first =
      is_tensor ? trace_.first_of(symbol->node) : trace_.first_gradient_of(symbol->node);
  if (first == symbol->node) return symbol;
  return is_tensor ? tensor_expression(first, symbol->shape)
                   : gradient_expression(first, symbol->shape);
}

// Whether the formula of a gradient is put in: a parameter's gradient is an end, and a long chain
// is not put in whole.
bool Algebra::is_substituted(const Expr& gradient) const {
  const Expr& formula = trace_.gradient(gradient->node);
  if (rules_.substitute_passing && formula && trace_.is_passing(gradient->node)) return true;
  if (!rules_.substitute_gradients || !formula || trace_.node(gradient->node).is_leaf())
    return false;
  bool ends = true;
  visit_parts(formula, [&](const Expr& part) { ends &= part->kind != Kind::gradient; });
  return ends;
}

Expr Algebra::substituted(const Expr& expression) {
  Replacements formulas;
  visit_parts(expression, [&](const Expr& part) {
    if (part->kind != Kind::gradient || !is_substituted(part)) return;
    formulas[part.get()] = Algebra(trace_, {}).simplify(trace_.gradient(part->node));
    add_reason({"", part->node});
  });
  return formulas.empty() ? expression : replaced(expression, formulas);
}

// Whether a tensor is shown by what it was computed from: one without a name, and little.
bool Algebra::is_inline(const Expr& tensor) const {
  return trace_.is_made_of_names(tensor->node, is_small);
}

// What a result without a name was computed by; itself for others.
const Expr& Algebra::shown(const Expr& e) const {
  const bool is_unnamed = e->kind == Kind::tensor && trace_.node(e->node).name().empty();
  return is_unnamed && trace_.forward(e->node) ? trace_.forward(e->node) : e;
}

// p for log p where the graph has it, and softmax(z) for log_softmax(z); null for others.
Expr Algebra::exponential_of(const Expr& logarithm) const {
  if (logarithm->kind == Kind::tensor) {
    const Expr& origin = trace_.forward(logarithm->node);
    if (origin && origin->is(Role::Kind::logarithm))
      return origin->operands[origin->role().argument];
  }
  const Expr& origin = shown(logarithm);
  const Role role = origin->role();
  if (!role.is(Role::Kind::other) || !role.of || origin->operands.size() != 1) return nullptr;
  Builder builder(trace_.environment());
  const Tensor x = builder.value(origin->operands[0]);
  const Node& node = *origin->application;
  return builder.build([&] {
    const Tensor* const operand = &x;
    return apply(*role.of, Operands(&operand, 1), node.parameters(), node.where());
  });
}

// What a tensor without a name is a multiple of, and how often: exp(a) / 2. Null for others.
std::pair<double, Expr> Algebra::scaled(const Expr& tensor) const {
  const Expr& forward = trace_.forward(tensor->node);
  if (!forward || !trace_.node(tensor->node).name().empty() || trace_.is_named(tensor->node))
    return {};
  const auto with_shape = [&](std::size_t k, double times) -> std::pair<double, Expr> {
    if (forward->operands[k]->shape != tensor->shape) return {};
    return {times, forward->operands[k]};
  };
  const auto known = [&](std::size_t k) { return number_in(*forward->operands[k]); };
  if (forward->is(Role::Kind::negation)) return with_shape(0, -1);
  if (forward->is(Role::Kind::product)) {
    if (const auto times = known(1)) return with_shape(0, *times);
    if (const auto times = known(0)) return with_shape(1, *times);
  }
  if (forward->is(Role::Kind::quotient))
    if (const auto by = known(1)) return with_shape(0, 1 / *by);
  return {};
}

Polynomial Algebra::slope_of(const Expr& e) {
  // What has no simpler form would else stand there as the fused operation.
  const bool written_out =
      rules_.slopes_written_out && in_simpler_operations(e, trace_.environment());
  const Expr function = written_out ? nullptr : function_of(e, trace_);
  if (!function) return {};
  const Expr& z = function->operands[0];
  const Expr slope = slope_expression(function->application, z->is_symbol() ? first_alike(z) : z);
  return product(polynomial(e->operands[0]), atom(without_sign(slope, trace_)));
}

Polynomial Algebra::quotient_of(const Polynomial& above, const Expr& below) {
  const Polynomial divisor = polynomial(below);
  if (divisor.terms.size() != 1)
    return product(above, atom(expression_of(divisor, below->shape), -1));
  Term inverse = divisor.terms[0];
  inverse.coefficient = 1 / inverse.coefficient;
  for (Factor& factor : inverse.factors) factor.exponent = -factor.exponent;
  return product(above, {{std::move(inverse)}});
}

Polynomial Algebra::operation(const Expr& e) {
  if (depth_ > most_depth) return atom(e);
  if (const auto known = number_in(*e)) return number(*known);
  const Nested nested(depth_);
  const auto operand = [&](std::size_t k) { return polynomial(e->operands[k]); };
  using enum Role::Kind;
  switch (e->role().kind) {
    case Role::Kind::sum:
    case difference: {
      Polynomial sum = operand(0);
      add_into(sum, operand(1), e->is(difference) ? -1 : 1);
      return sum.terms.size() <= most_terms ? sum : atom(e);
    }
    case negation:
      return chainrule::derivation::product(number(-1), operand(0));
    case copy:
      return operand(0);
    case Role::Kind::product:
    case square: {
      Polynomial a = operand(0), b = e->is(square) ? a : operand(1);
      if (!rules_.multiplied_out) {
        a = as_factor(a, e->operands[0]->shape);
        b = e->is(square) ? a : as_factor(b, e->operands[1]->shape);
      }
      if (a.terms.size() * b.terms.size() <= most_terms)
        return with_roots_squared(chainrule::derivation::product(a, b));
      return atom(rebuilt(e));
    }
    case quotient:
      return with_roots_squared(quotient_of(
          rules_.multiplied_out ? operand(0) : as_factor(operand(0), e->operands[0]->shape),
          e->operands[1]));
    case reciprocal:
      return quotient_of(number(1), e->operands[0]);
    case exponential:
      if (const Expr of = exponential_of(e->operands[0])) return atom(of);
      break;
    case selection:
      return selected(e);
    case logarithm:  // stays one, also where it was computed from something else than its operand
      return atom(rebuilt(e));
    case Role::Kind::matrix_product:
    case outer_product:
      return this->matrix_product(e);
    case total:
    case mean:
      return sum_of(e, operand(0));
    case Role::Kind::reshape:
      return reshaped(e);
    case permutation:
      if (!e->role().swaps_axes) break;
      if (Polynomial back = transposed_back(operand(0), e->operands[0]->shape); !back.terms.empty())
        return back;
      break;
    case slope:
      if (Polynomial with_slope = slope_of(e); !with_slope.terms.empty()) return with_slope;
      break;
    default:
      break;
  }
  if (const Expr simpler = in_simpler_operations(e, trace_.environment()))
    return polynomial(simpler);
  return atom(rebuilt(e));
}

namespace {

struct Known {
  double number = 0;     // what all sums are, a whole number or one part of it; 0 where it is none
  bool is_zero = false;  // all are, but for rounding
};

Known known_sum(const Tensor& sums, const Tensor& summands, double divisor) {
  double size = 0;
  for (const double x : summands.to_vector<double>()) size = std::max(size, std::abs(x));
  const std::vector<double> values = sums.to_vector<double>();
  if (values.empty()) return {};
  // −1/4 of labels that were divided by the batch.
  const double first = values[0] * divisor;
  const bool divides = std::abs(first) < 1 && first != 0;
  Known known{divides ? 1 / std::round(1 / first) : std::round(first),
              size > 0 && summands.numel() > sums.numel()};
  for (const double s : values) {
    if (std::abs(s * divisor - known.number) >= 1e-9 * std::abs(known.number)) known.number = 0;
    known.is_zero =
        known.is_zero && std::abs(s) <= 1e-14 * size * static_cast<double>(summands.numel());
  }
  return known;
}

}  // namespace

// Of a term of what a reduction brings together: the part that varies along its axes, and that
// which does not, with the number, and stands in front as well as behind.
std::pair<Term, Term> Algebra::constant_along(const Expr& reduction, const Term& term) const {
  const Shape &from = reduction->operands[0]->shape, &to = reduction->shape;
  const bool kept = from.rank() == to.rank();
  // How many axes stand behind those that are dropped, and so where they stood.
  int behind = 0;
  if (!kept && to.rank() > 0)
    if (const auto taken = axes_of(*reduction))
      behind = static_cast<int>(std::ranges::find(taken->rbegin(), taken->rend(), true) -
                                taken->rbegin());
  const auto is_constant = [&](const Shape& shape) {
    if (shape.rank() > (kept ? to.rank() : behind)) return false;
    for (int k = 1; kept && k <= shape.rank(); ++k)
      if (shape[shape.rank() - k] != to[to.rank() - k] && shape[shape.rank() - k] != 1)
        return false;
    return true;
  };
  Term inside, outside{term.coefficient, {}};
  for (const Factor& factor : term.factors)
    (is_constant(factor.base->shape) ? outside : inside).factors.push_back(factor);
  return {std::move(inside), std::move(outside)};
}

// Σ over axes: numbers come out of it, and sums of data that are the same number everywhere.
Polynomial Algebra::sum_of(const Expr& e, const Polynomial& inside) {
  const Shape from = e->operands[0]->shape;
  const double count = static_cast<double>(from.numel()) /
                       static_cast<double>(std::max<std::int64_t>(e->shape.numel(), 1));
  const double scale = e->is(Role::Kind::mean) ? 1 / count : 1;
  Polynomial result;
  for (const Term& term : inside.terms) {
    if (term.factors.empty()) {
      add_into(result, number(term.coefficient * scale * count));
      continue;
    }
    auto [bare, outside] = constant_along(e, term);
    const double factor = std::exchange(outside.coefficient, 1);
    const auto add = [&](const Polynomial& sum, double times) {
      add_into(result, product(sum, {{outside}}), factor * times);
    };
    if (bare.factors.empty()) {
      add(number(scale * count), 1);
      continue;
    }
    const Expr summand = expression_of({{bare}}, from);
    Builder builder(trace_.environment());
    const Tensor value = builder.value(summand);
    const Expr sum = builder.build([&] {
      const Node& node = *e->application;
      return apply_again(node, std::span(&value, 1));
    });
    const bool data =
        bare.factors.size() == 1 && bare.factors[0].exponent == 1 &&
        (summand->kind == Kind::constant ||
         (summand->kind == Kind::tensor && !trace_.node(summand->node).requires_grad()));
    const Known known =
        known_sum(evaluate(sum, trace_.environment()), value, e->is(Role::Kind::mean) ? count : 1);
    const std::string name(summand->kind == Kind::tensor ? trace_.node(summand->node).name()
                                                         : std::string_view());
    if (rules_.known_sums && known.is_zero && !rules_.multiplied_out) {
      if (!name.empty()) add_reason({fmt::format("Σ {} = 0", name)});
      continue;
    }
    if (rules_.known_sums && data && known.number != 0) {
      add_reason({fmt::format("Σ {} = {}", name.empty() ? "of the data" : name, known.number)});
      add(number(known.number), scale);
    } else {
      add(atom(sum), e->is(Role::Kind::mean) ? 1 : scale);
    }
  }
  return result;
}

// An operation that the algebra does not look into, on simpler operands.
Expr Algebra::rebuilt(const Expr& e) {
  std::vector<Expr> operands;
  bool changed = false;
  for (const Expr& operand : e->operands) {
    Expr simpler = operand;
    if (operand && is_floating(operand->application ? operand->application->dtype() : f64) &&
        (operand->kind == Kind::operation ||
         (operand->kind == Kind::gradient && is_substituted(operand))))
      simpler = simplify(operand);
    else if (operand && operand->is_symbol())
      simpler = first_alike(operand);
    else if (operand && operand->kind == Kind::constant && operand->value.dtype() == boolean)
      if (const Expr comparison = trace_.in_named_data(operand)) simpler = comparison;
    changed |= simpler != operand;
    operands.push_back(std::move(simpler));
  }
  if (!changed) return e;
  return operation_expression(e->application, std::move(operands), e->shape, e->output);
}

// Sums under a fraction line that divide what stands above it: (p − p²) ⊘ (1 − p) is p.
Polynomial Algebra::without_denominators(Polynomial sum) {
  std::vector<Factor> denominators;
  for (const Term& term : sum.terms)
    for (const Factor& factor : term.factors)
      if (factor.exponent < 0 &&
          std::ranges::find(denominators, factor.key, &Factor::key) == denominators.end())
        denominators.push_back(factor);
  for (const Factor& denominator : denominators) {
    const Polynomial divisor = polynomial(denominator.base);
    if (divisor.terms.size() < 2) continue;
    int power = 0;
    const auto exponent_in = [&](const Term& term) {
      const auto mine = std::ranges::find(term.factors, denominator.key, &Factor::key);
      return mine == term.factors.end() ? 0 : mine->exponent;
    };
    for (const Term& term : sum.terms) power = std::max(power, -exponent_in(term));
    Polynomial above;
    for (const Term& term : sum.terms) {
      Term bare = term;
      const int times = power + exponent_in(term);
      std::erase_if(bare.factors, [&](const Factor& f) { return f.key == denominator.key; });
      Polynomial part{{std::move(bare)}};
      for (int i = 0; i < times; ++i) {
        if (part.terms.size() * divisor.terms.size() > most_terms) return sum;
        part = product(part, divisor);
      }
      add_into(above, part);
    }
    const int before = power;
    while (power > 0) {
      const std::optional<Polynomial> quotient = divided(above, divisor);
      if (!quotient) break;
      above = *quotient;
      --power;
    }
    if (power == before) continue;
    Term below;
    if (power > 0) below.factors.push_back({denominator.base, denominator.key, -power});
    sum = product(above, {{below}});
  }
  return sum;
}

Expr Algebra::simplify(const Expr& expression, std::uint32_t of) {
  Polynomial sum = with_constants_joined(without_denominators(polynomial(expression)));
  if (of != Traversal::none) sum = with_extents(std::move(sum), of);
  return expression_of(sum, expression->shape);
}

}  // namespace chainrule::derivation
