#include <chainrule/graph/checking/contrast.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/checking/confused_functions.hpp>
#include <chainrule/graph/checking/terms.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/linalg/matmul.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;
using RoleKind = Role::Kind;

constexpr std::size_t most_parts = 8;

bool is_same(const Comparison& comparison, const Expr& a, const Expr& b) {
  if (!a || !b) return a == b;
  if (key_of(a) == key_of(b)) return true;
  if (a->kind == Kind::number && b->kind == Kind::number)
    return std::abs(a->number - b->number) <= 1e-12 * std::abs(b->number);
  if (a->shape != b->shape) return false;
  for (std::size_t p = 0; p < comparison.points(); ++p) {
    const auto same = attempt([&] {
      return comparison.same(evaluate(a, comparison.point(p)), evaluate(b, comparison.point(p)));
    });
    if (!same.value_or(false)) return false;
  }
  return true;
}

// Of a tensor without a name, what it was computed by; of a product with 1 the other operand.
Expr opened(const Trace& trace, const Expr& e) {
  if (e->is(RoleKind::product))
    for (const std::size_t k : {0, 1})
      if (number_in(*e->operands[k]) == 1.0 && e->operands[1 - k]->shape == e->shape)
        return opened(trace, e->operands[1 - k]);
  if (e->kind != Kind::tensor || !trace.node(e->node).name().empty()) return e;
  const Expr& formula = trace.forward(e->node);
  return formula && formula->shape == e->shape ? formula : e;
}

// A factor of a product, or a term of a sum with its sign.
struct Part {
  Expr expression;
  bool negative = false;
};
// What a formula is a sum or a product of; itself where it is neither. Numbers that it is divided
// by, and the parts of slopes, are factors.
std::vector<Part> operands_of(const Trace& trace, const Part& part, bool terms,
                              const Environment& point) {
  const Expr e = opened(trace, part.expression);
  const Role role = e->role();
  if (terms) {
    if (role.is(RoleKind::negation)) return {{e->operands[0], !part.negative}};
    if (role.is(RoleKind::sum) || role.is(RoleKind::difference))
      return {{e->operands[0], part.negative},
              {e->operands[1], part.negative != role.is(RoleKind::difference)}};
    if (role.is(RoleKind::product))
      for (const Expr& number : e->operands)
        if (number->kind == Kind::number && number->number < 0)
          if (Expr positive =
                  with_operand(e, number, number_expression(-number->number, number->shape)))
            return {{std::move(positive), !part.negative}};
    return {part};
  }
  if (role.is(RoleKind::product)) return {{e->operands[0]}, {e->operands[1]}};
  if (role.is(RoleKind::quotient) && e->operands[1]->kind == Kind::number)
    return {{e->operands[0]},
            {number_expression(1 / e->operands[1]->number, e->operands[1]->shape)}};
  if (role.is(RoleKind::quotient) && number_in(*e->operands[0]) != 1.0)
    if (Expr inverse =
            built(point, [&](Builder& builder) { return 1 / builder.value(e->operands[1]); }))
      return {{e->operands[0]}, {std::move(inverse)}};
  if (role.is(RoleKind::slope) || e->kind == Kind::slope)
    if (Expr simpler = in_simpler_operations(e, point); simpler && simpler->shape == e->shape)
      return {{simpler}};
  return {part};
}
std::vector<Part> parts_of(const Trace& trace, const Expr& e, bool terms,
                           const Environment& point) {
  std::vector<Part> parts, to_do{{e}};
  const auto bare = [](Expr part) {
    while (part->is(RoleKind::copy) && part->operands[0]) part = part->operands[0];
    return part;
  };
  while (!to_do.empty()) {
    const Part next = to_do.back();
    to_do.pop_back();
    if (parts.size() + to_do.size() > most_parts) return {{e}};
    std::vector<Part> operands = operands_of(trace, next, terms, point);
    if (operands.size() == 1 && operands[0].expression == next.expression)
      parts.push_back({bare(next.expression), next.negative});
    else
      to_do.insert(to_do.end(), operands.rbegin(), operands.rend());
  }
  return parts;
}

Expr together(const Comparison& comparison, const std::vector<Part>& parts, bool terms) {
  if (parts.empty()) return nullptr;
  if (parts.size() == 1 && !parts[0].negative) return parts[0].expression;
  return attempt([&] {
           Builder builder(comparison.point(0));
           return builder.build([&] {
             Tensor all;
             for (const Part& part : parts) {
               const Tensor value = builder.value(part.expression);
               if (!all.defined())
                 all = part.negative ? -value : value;
               else
                 all = !terms ? all * value : part.negative ? all - value : all + value;
             }
             return all;
           });
         })
      .value_or(nullptr);
}

// Without the parts that both have; false where they have none in common, or too many others.
bool cancel(const Trace& trace, const Comparison& comparison, Expr& mine, Expr& right, bool terms) {
  std::vector<Part> a = parts_of(trace, mine, terms, comparison.point(0)),
                    b = parts_of(trace, right, terms, comparison.point(0));
  if (a.size() + b.size() < 3) return false;
  const std::size_t before = a.size();
  std::erase_if(a, [&](const Part& part) {
    const auto same = std::ranges::find_if(b, [&](const Part& other) {
      return other.negative == part.negative &&
             is_same(comparison, part.expression, other.expression);
    });
    if (same == b.end()) return false;
    b.erase(same);
    return true;
  });
  if (a.size() == before || (a.empty() && b.empty())) return false;
  Expr rest = together(comparison, a, terms), of_right = together(comparison, b, terms);
  if ((!rest && !a.empty()) || (!of_right && !b.empty())) return false;
  mine = rest ? opened(trace, rest) : nullptr;
  right = of_right ? opened(trace, of_right) : nullptr;
  return true;
}

// An operand, and whether it is transposed, by the operation or by itself.
std::pair<Expr, bool> operand_of(const Expr& e, std::size_t k) {
  const Role role = e->role();
  const Expr& operand = e->operands[k];
  if (!role.is(RoleKind::matrix_product)) return {operand, false};
  const bool by_itself = operand && operand->role().swaps_axes;
  return {by_itself ? operand->operands[0] : operand, role.transposed[k] != by_itself};
}

bool is_one_operation(const Expr& a, const Expr& b) {
  if (a->kind != b->kind || (a->kind != Kind::operation && a->kind != Kind::slope)) return false;
  if (a->op() != b->op() || a->operands.size() != b->operands.size() || a->output != b->output)
    return false;
  const auto bytes = [](const Expr& e) { return e->application->parameters().bytes(); };
  return a->is(RoleKind::matrix_product) || std::ranges::equal(bytes(a), bytes(b));
}

// An operand that both have an operation of, where all others are the same.
bool descend(const Trace& trace, const Comparison& comparison, Expr& mine, Expr& right) {
  if (!is_one_operation(mine, right)) return false;
  Expr my_operand, of_right;
  for (std::size_t k = 0; k < mine->operands.size(); ++k) {
    const auto [a, a_transposed] = operand_of(mine, k);
    const auto [b, b_transposed] = operand_of(right, k);
    // Of data that nothing was recorded of, the transpose is data, too.
    const Expr turned =
        a && b && a_transposed != b_transposed && b->shape.rank() == 2
            ? built(comparison.point(0), [&](Builder& builder) { return builder.value(b).T(); })
            : b;
    if (is_same(comparison, a, turned)) continue;
    if (my_operand || !a || !b || a_transposed != b_transposed) return false;
    my_operand = a;
    of_right = b;
  }
  if (!my_operand) return false;
  mine = opened(trace, my_operand);
  right = opened(trace, of_right);
  return true;
}

// A·x of a vector, for which rules take the product with a matrix of one column.
Expr without_columns(const Comparison& comparison, const Expr& e) {
  if (!e->is(RoleKind::reshape) || e->shape.rank() != 1) return e;
  const Expr& product = e->operands[0];
  if (!product || !product->is(RoleKind::matrix_product) || product->operands.size() != 2) return e;
  const Expr &matrix = product->operands[0], &column = product->operands[1];
  if (!column || !column->is(RoleKind::reshape) || !column->operands[0] ||
      column->operands[0]->shape.rank() != 1 || column->shape[1] != 1 ||
      product->role().transposed[1])
    return e;
  const bool turned = product->role().transposed[0];
  const Expr vector = built(comparison.point(0), [&](Builder& builder) {
    const Tensor a = builder.value(matrix);
    return matmul(turned ? a.T() : a, builder.value(column->operands[0]));
  });
  return vector && vector->shape == e->shape ? vector : e;
}

bool is_linear(const Role& role) {
  using enum Role::Kind;
  for (const Role::Kind kind : {matrix_product, outer_product, inner_product, reshape, permutation,
                                copy, slice, scatter, total, mean})
    if (role.is(kind)) return true;
  return false;
}

// The same where a number stands outside of the one: A·x / n, and A·y of which y has the n.
bool descend_with_number(const Trace& trace, const Comparison& comparison, Expr& mine,
                         Expr& right) {
  const bool divided = mine->is(RoleKind::quotient);
  if (!divided && !mine->is(RoleKind::product)) return false;
  for (const std::size_t k : {0, 1}) {
    const Expr &operation = mine->operands[k], &by = mine->operands[1 - k];
    if (!operation || !by || !number_in(*by) || (divided && k == 1)) continue;
    if (!is_one_operation(operation, right) || !is_linear(operation->role())) continue;
    for (const Expr& operand : operation->operands) {
      const Expr scaled = built(comparison.point(0), [&](Builder& builder) {
        const Tensor x = builder.value(operand);
        const double number = *number_in(*by);
        return divided ? x / number : x * number;
      });
      Expr inside = scaled ? with_operand(operation, operand, scaled) : nullptr;
      if (!inside || !descend(trace, comparison, inside, right)) continue;
      mine = std::move(inside);
      return true;
    }
  }
  return false;
}

// Operations that do several steps in one, in simpler ones.
bool take_apart(const Trace& trace, const Comparison& comparison, Expr& mine, Expr& right) {
  bool changed = false;
  for (Expr* e : {&mine, &right}) {
    Expr simpler =
        attempt([&] { return written_out(opened(trace, *e), comparison.point(0)); }).value_or(*e);
    if (simpler == *e || simpler->shape != (*e)->shape) continue;
    *e = std::move(simpler);
    changed = true;
  }
  return changed;
}

// Sums of the same elements, the one perhaps in another shape.
bool descend_into_sums(const Comparison& comparison, Expr& mine, Expr& right) {
  const auto bare = [](const Expr& e) {
    return e->is(RoleKind::reshape) && e->operands[0]->is(RoleKind::total) ? e->operands[0] : e;
  };
  const Expr a = bare(mine), b = bare(right);
  if (!a->is(RoleKind::total) || !b->is(RoleKind::total)) return false;
  if (a->operands[0]->shape != b->operands[0]->shape || a->shape.numel() != b->shape.numel())
    return false;
  const auto same_axes = attempt([&] {
    const Tensor x = evaluate(a->operands[0], comparison.point(0));
    return numbers(apply_again(*b->application, std::span(&x, 1))) ==
           numbers(evaluate(a, comparison.point(0)));
  });
  if (!same_axes.value_or(false)) return false;
  mine = a->operands[0];
  right = b->operands[0];
  return true;
}

}  // namespace

std::string slope_in_words(const Comparison& comparison, const Expr& formula) {
  // What shows its name needs no other.
  if (formula->kind != Kind::operation || formula->operands.size() == 1) return "";
  const auto is = [&](auto f) {
    const Expr form = built(comparison.point(0), f);
    return form && is_same(comparison, formula, form);
  };
  std::string found;
  visit_parts(formula, [&](const Expr& y) {
    if (!found.empty() || y->kind != Kind::tensor || y->shape != formula->shape) return;
    for (const SlopeOfResult& slope : slopes_of_results())
      if (found.empty() && is([&](Builder& builder) { return slope.of(builder.value(y)); }))
        found = slope.name;
    for (const NamedFunction& slope : named_slopes())
      if (found.empty() && is([&](Builder& builder) { return slope.of(builder.value(y)); }))
        found = slope.name;
  });
  return found;
}

namespace {

// The functions of a program by the tensors that they are taken of, collected where they are asked
// for.
class FunctionsOfTensors {
 public:
  explicit FunctionsOfTensors(const Trace& trace) : trace_(trace) {}

  const std::vector<Expr>& of(std::uint32_t i) {
    if (functions_.empty()) {
      functions_.resize(trace_.size());
      for (std::uint32_t j = 0; j < trace_.size(); ++j)
        if (const Expr& e = trace_.forward(j);
            e && is_function(e) && e->operands[0]->kind == Kind::tensor)
          functions_[e->operands[0]->node].push_back(e);
    }
    return functions_[i];
  }

 private:
  const Trace& trace_;
  std::vector<std::vector<Expr>> functions_;
};

std::string slope_of_program(const Trace& trace, const Comparison& comparison, const Expr& formula,
                             FunctionsOfTensors& functions) {
  const std::string name = slope_in_words(comparison, formula);
  if (name.empty()) return "";
  std::set<std::uint32_t> tensors;
  bool has_function = false;  // and is the slope whatever it is taken of
  visit_parts(formula, [&](const Expr& part) {
    if (part->kind == Kind::tensor) tensors.insert(part->node);
    has_function = has_function || (is_function(part) && !part->is(RoleKind::square));
  });
  if (has_function) return name;
  const auto is_slope_of = [&](const Expr& function) {
    return is_function(function) && function->shape == formula->shape &&
           is_same(comparison, slope_expression(function->application, function->operands[0]),
                   formula);
  };
  const auto is_slope_at = [&](std::uint32_t i) {
    // A layer may do it in one step with others.
    return (trace.forward(i) && trace.node(i).shape() == formula->shape &&
            is_slope_of(written_out(trace.forward(i), comparison.point(0)))) ||
           std::ranges::any_of(functions.of(i), is_slope_of);
  };
  return std::ranges::any_of(tensors, is_slope_at) ? name : "";
}

}  // namespace

std::string slope_of_program(const Trace& trace, const Comparison& comparison,
                             const Expr& formula) {
  FunctionsOfTensors functions(trace);
  return slope_of_program(trace, comparison, formula, functions);
}

Contrast contrast(const Trace& trace, const Comparison& comparison, const Expr& mine,
                  const Expr& right) {
  Contrast result{opened(trace, mine), opened(trace, right), mine};
  FunctionsOfTensors functions(trace);
  const auto are_slopes = [&] {
    const auto is_right = [&](const Expr& e) {
      return e->kind == Kind::slope || !slope_of_program(trace, comparison, e, functions).empty();
    };
    const auto is_mine = [&](const Expr& e) {
      return e->kind == Kind::slope || !slope_in_words(comparison, e).empty();
    };
    return is_mine(result.mine) && is_right(result.right);
  };
  bool apart = false;
  for (bool more = true; more && !are_slopes();) {
    more = false;
    result.mine = without_columns(comparison, result.mine);
    result.right = without_columns(comparison, result.right);
    for (const bool terms : {false, true}) {
      result.place = result.mine;
      if (!cancel(trace, comparison, result.mine, result.right, terms)) continue;
      if (!result.mine || !result.right) {
        result.of = terms ? Contrast::Of::terms : Contrast::Of::factors;
        return result;
      }
      more = true;
    }
    more = descend(trace, comparison, result.mine, result.right) ||
           descend_with_number(trace, comparison, result.mine, result.right) ||
           descend_into_sums(comparison, result.mine, result.right) || more;
    if (!more && !apart) more = apart = take_apart(trace, comparison, result.mine, result.right);
  }
  result.place = result.mine;
  return result;
}

std::vector<Contrast> pairs_of_terms(const Trace& trace, const Comparison& comparison,
                                     const Contrast& difference) {
  std::vector<Part> a = parts_of(trace, difference.mine, true, comparison.point(0)),
                    b = parts_of(trace, difference.right, true, comparison.point(0));
  std::vector<Contrast> pairs;
  if (a.size() != b.size() || a.size() < 2) return {difference};
  for (const Part& mine : a) {
    const std::size_t before = pairs.size();
    for (auto right = b.begin(); right != b.end(); ++right) {
      if (right->negative != mine.negative) continue;
      Contrast one = contrast(trace, comparison, mine.expression, right->expression);
      if (!one.mine || !one.right || one.mine == mine.expression) continue;
      pairs.push_back(std::move(one));
      b.erase(right);
      break;
    }
    if (pairs.size() == before) return {difference};
  }
  return pairs;
}

}  // namespace chainrule::derivation
