#include <algorithm>
#include <cmath>
#include <utility>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/index_lowering.hpp>
#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/graph/derivation/role_check.hpp>
#include <chainrule/graph/derivation/tried.hpp>
#include <chainrule/graph/said_by_op.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

// A formula with more parts than this, or nested deeper, is no longer said element by element.
constexpr int most_parts = 400, most_depth = 60;

Indices broadcast_to(const Indices& at, const Shape& operand) {
  Indices result;
  const std::size_t added = at.size() - operand.size();
  for (int axis = 0; axis < operand.rank(); ++axis)
    result.push_back(operand[axis] == 1 ? Index() : at[added + static_cast<std::size_t>(axis)]);
  return result;
}

}  // namespace

IndexFormula Lowering::of(const Expr& e, const Indices& at) {
  if (e->kind == Kind::number)
    return e->name.empty() ? number_term(e->number) : element_of(e, Indices());
  if (e->is_symbol() || e->kind == Kind::constant) return element_of(e, at);
  if (++parts_ > most_parts || depth_ >= most_depth) return whole_term(e, at);
  ++depth_;
  IndexFormula said = e->kind == Kind::slope ? notation(e, slope_notation(*e->application), at)
                      : e->is_saved()        ? nullptr
                                             : operation(e, at);
  --depth_;
  return said ? said : whole_term(e, at);
}

IndexFormula Lowering::operand(const Expr& e, std::size_t k, const Indices& at) {
  return of(e->operands[k], broadcast_to(at, e->operands[k]->shape));
}

IndexFormula Lowering::operation(const Expr& e, const Indices& at) {
  using enum Role::Kind;
  const Role role = e->role();
  switch (role.kind) {
    case sum:
    case difference:
      return sum_term({operand(e, 0, at), operand(e, 1, at)}, {false, role.is(difference)});
    case negation:
      return product_term({operand(e, 0, at)}, -1);
    case product:
      return product_term({operand(e, 0, at), operand(e, 1, at)});
    case quotient:
      return quotient_term(operand(e, 0, at), operand(e, 1, at));
    case reciprocal:
      return quotient_term(number_term(1), operand(e, 0, at));
    case square:
      return square_term(operand(e, 0, at));
    case comparison:
      return notation(e, "[" + e->written() + "]", at);
    case conversion:
      return of(e->operands[0], at);
    case copy:
    case permutation:
    case Role::Kind::reshape:
    case slice:
      if (const auto source = source_of(*e, at, letters_)) return of(e->operands[0], *source);
      return nullptr;
    case scatter:
      return scattered(e, at);
    case join:
      return joined(e, at);
    case Role::Kind::total:
    case mean:
      return reduced(e, at);
    case matrix_product:
      return matrix(e, role, at);
    case outer_product:
      return product_term({of(e->operands[0], {at[0]}), of(e->operands[1], {at[1]})});
    case inner_product:
      return inner(e);
    case exponential:
    case logarithm:
    case selection:
      return notation(e, e->written(), at);
    case Role::Kind::slope:
      break;
    case other:
      if (IndexFormula said = by_form(e, at)) return said;
      break;
  }
  if (const Expr simpler = in_simpler_operations(e, environment_)) return of(simpler, at);
  return role.is(Role::Kind::slope) ? notation(e, e->written(), at) : nullptr;
}

// An op without a role, by what else it says that it is.
IndexFormula Lowering::by_form(const Expr& e, const Indices& at) {
  const EigenForm form = detail::eigen_said(*e->application);
  using Form = EigenForm::Kind;
  const bool one_result = e->application->output_count() == 1;
  if (!one_result || e->operands.empty() || !e->operands[0]) return nullptr;
  if (form.kind == Form::elementwise || form.kind == Form::mask || e->op()->elementwise())
    return notation(e, e->written(), at);
  if (form.kind == Form::lines && e->operands[0]->shape == e->shape) return lines(e, form, at);
  if (form.kind == Form::reduction) return reduced(e, at);
  if (const auto found = look_up(*e, environment_)) return looked_up(e, *found, at);
  return nullptr;
}

// An elementwise operation as its notation has it.
IndexFormula Lowering::notation(const Expr& e, std::string text, const Indices& at) {
  std::vector<IndexFormula> parts(e->operands.size());
  for (const std::size_t k : operands_in(text)) {
    if (k >= parts.size() || !e->operands[k]) return nullptr;
    if (broadcast(e->operands[k]->shape, e->shape) != e->shape) return nullptr;
    if (!parts[k]) parts[k] = operand(e, k, at);
  }
  return std::make_shared<IndexTerm>(IndexTerm{
      .kind = IndexTerm::Kind::notation, .text = std::move(text), .parts = std::move(parts)});
}

Index Lowering::new_letter(std::int64_t extent, std::vector<int>& letters) {
  if (extent == 1) return {};
  letters.push_back(letters_.add(extent));
  return Index::of(letters.back());
}

// A function along an axis, whose letter stands at it.
IndexFormula Lowering::lines(const Expr& e, const EigenForm& form, const Indices& at) {
  std::vector<int> along;
  for (int axis = 0; axis < e->shape.rank(); ++axis) {
    if (!(form.axes >> axis & 1) || e->shape[axis] == 1) continue;
    const Index& index = at[static_cast<std::size_t>(axis)];
    if (!index.is_letter()) return nullptr;
    along.push_back(index.parts[0].letter);
  }
  return std::make_shared<IndexTerm>(IndexTerm{.kind = IndexTerm::Kind::call,
                                               .text = e->op()->name(),
                                               .letters = std::move(along),
                                               .parts = {of(e->operands[0], at)}});
}

// Takes those letters out that stand nowhere in the formula, over which a sum multiplies by their
// extents; returns these.
double Lowering::take_unused(std::vector<int>& letters, const IndexFormula& formula) const {
  std::vector<int> used;
  std::vector<const IndexTerm*> to_do{formula.get()};
  while (!to_do.empty()) {
    const IndexTerm& term = *to_do.back();
    to_do.pop_back();
    for (const Index& index : term.at) {
      for (const Index::Part& part : letters_.resolved(index).parts) used.push_back(part.letter);
      if (index.element) to_do.push_back(index.element.get());
    }
    for (const IndexFormula& part : term.parts)
      if (part) to_do.push_back(part.get());
  }
  double factor = 1;
  std::erase_if(letters, [&](int letter) {
    const std::vector<int> parts = letters_.resolved(std::vector{letter});
    if (std::ranges::find_first_of(parts, used) != parts.end()) return false;
    factor *= static_cast<double>(letters_.extent(letter));
    return true;
  });
  return factor;
}

// Σ, mean, or another function over axes.
IndexFormula Lowering::reduced(const Expr& e, const Indices& at) {
  const Shape& from = e->operands[0]->shape;
  const auto taken = axes_of(*e);
  if (!taken) return nullptr;
  const bool keepdim = e->shape.rank() == from.rank();
  Indices inside;
  std::vector<int> letters;
  std::size_t next = 0;
  for (int axis = 0; axis < from.rank(); ++axis) {
    const bool gone = (*taken)[static_cast<std::size_t>(axis)];
    inside.push_back(gone ? new_letter(from[axis], letters) : at[next]);
    next += !gone || keepdim ? 1 : 0;
  }
  IndexFormula body = of(e->operands[0], inside);
  if (e->is(Role::Kind::total)) {
    const double times = take_unused(letters, body);
    return product_term({total_term(letters, body)}, times);
  }
  if (e->is(Role::Kind::mean)) {
    const double times = take_unused(letters, body);
    const auto count = static_cast<double>(from.numel()) /
                       static_cast<double>(std::max<std::int64_t>(e->shape.numel(), 1));
    return product_term({total_term(letters, body)}, times / count);
  }
  return std::make_shared<IndexTerm>(IndexTerm{.kind = IndexTerm::Kind::call,
                                               .text = e->op()->name(),
                                               .letters = std::move(letters),
                                               .parts = {std::move(body)}});
}

IndexFormula Lowering::contraction(std::vector<int> letters, std::vector<IndexFormula> factors) {
  const double times = take_unused(letters, product_term(factors));
  return product_term({contraction_term(std::move(letters), std::move(factors))}, times);
}

IndexFormula Lowering::inner(const Expr& e) {
  std::vector<int> letters;
  const Indices at{new_letter(e->operands[0]->shape[0], letters)};
  return contraction(std::move(letters), {of(e->operands[0], at), of(e->operands[1], at)});
}

IndexFormula Lowering::matrix(const Expr& e, const Role& role, const Indices& at) {
  const Shape* shapes[] = {&e->operands[0]->shape, &e->operands[1]->shape};
  std::size_t batch = at.size();
  for (const Shape* shape : shapes) batch -= shape->rank() == 1 ? 0 : 1;
  std::vector<int> letters;
  const Shape& a = *shapes[0];
  const Index n =
      new_letter(a[a.rank() == 1 || !role.transposed[0] ? a.rank() - 1 : a.rank() - 2], letters);
  std::vector<IndexFormula> factors;
  std::size_t next = batch;
  for (std::size_t k = 0; k < 2; ++k) {
    const Shape& shape = *shapes[k];
    if (shape.rank() == 1) {
      factors.push_back(of(e->operands[k], {n}));
      continue;
    }
    const Shape front(std::span(shape.data(), shape.size() - 2));
    Indices inside = broadcast_to(part_of(at, 0, batch), front);
    // The letter that is summed is the last one of the left operand, and the first of the right.
    const bool summed_last = (k == 0) != role.transposed[k];
    inside.push_back(summed_last ? at[next] : n);
    inside.push_back(summed_last ? n : at[next]);
    ++next;
    factors.push_back(of(e->operands[k], inside));
  }
  return contraction(std::move(letters), std::move(factors));
}

IndexEquation index_equation(const Expr& left, const Expr& formula,
                             const Environment& environment) {
  IndexEquation equation;
  Indices at;
  for (const std::int64_t extent : formula->shape)
    at.push_back(extent == 1 ? Index() : Index::of(equation.letters.add(extent)));
  equation.right = Lowering(environment, equation.letters).of(formula, at);
  equation.left = element_of(left, formula->shape, at);
  equation.whole = whole_term(formula, at);
  return equation;
}

}  // namespace chainrule::derivation
