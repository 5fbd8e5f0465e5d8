#include <algorithm>
#include <cmath>
#include <utility>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/index_formula.hpp>
#include <chainrule/graph/derivation/index_terms.hpp>
#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/graph/derivation/role_check.hpp>

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

Indices part_of(const Indices& at, std::size_t begin, std::size_t end) {
  return {at.begin() + static_cast<std::ptrdiff_t>(begin),
          at.begin() + static_cast<std::ptrdiff_t>(end)};
}

// From whole tensors to elements, operation by operation.
class Lowering {
 public:
  Lowering(const Environment& environment, Letters& letters)
      : environment_(environment), letters_(letters) {}

  IndexFormula of(const Expr& e, const Indices& at) {
    if (e->kind == Kind::number) return number_term(e->number);
    if (e->is_symbol() || e->kind == Kind::constant) return element_of(e, at);
    if (++parts_ > most_parts || depth_ >= most_depth) return whole_term(e, at);
    ++depth_;
    IndexFormula said = e->kind == Kind::slope ? notation(e, slope_notation(*e->application), at)
                        : e->is_saved()        ? nullptr
                                               : operation(e, at);
    --depth_;
    return said ? said : whole_term(e, at);
  }

 private:
  IndexFormula operand(const Expr& e, std::size_t k, const Indices& at) {
    return of(e->operands[k], broadcast_to(at, e->operands[k]->shape));
  }

  IndexFormula operation(const Expr& e, const Indices& at) {
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
  IndexFormula by_form(const Expr& e, const Indices& at) {
    const EigenForm form = e->op()->eigen(e->application->parameters());
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
  IndexFormula notation(const Expr& e, std::string text, const Indices& at) {
    std::vector<IndexFormula> parts(e->operands.size());
    for (const std::size_t k : operands_in(text)) {
      if (k >= parts.size() || !e->operands[k]) return nullptr;
      if (broadcast(e->operands[k]->shape, e->shape) != e->shape) return nullptr;
      if (!parts[k]) parts[k] = operand(e, k, at);
    }
    return std::make_shared<IndexTerm>(IndexTerm{
        .kind = IndexTerm::Kind::notation, .text = std::move(text), .parts = std::move(parts)});
  }

  Index new_letter(std::int64_t extent, std::vector<int>& letters) {
    if (extent == 1) return {};
    letters.push_back(letters_.add(extent));
    return Index::of(letters.back());
  }

  // A function along an axis, whose letter stands at it.
  IndexFormula lines(const Expr& e, const EigenForm& form, const Indices& at) {
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

  // Σ, mean, or another function over axes.
  IndexFormula reduced(const Expr& e, const Indices& at) {
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
    if (e->is(Role::Kind::total)) return total_term(letters, body);
    if (e->is(Role::Kind::mean)) {
      const auto count = static_cast<double>(from.numel()) /
                         static_cast<double>(std::max<std::int64_t>(e->shape.numel(), 1));
      return product_term({total_term(letters, body)}, 1 / count);
    }
    return std::make_shared<IndexTerm>(IndexTerm{.kind = IndexTerm::Kind::call,
                                                 .text = e->op()->name(),
                                                 .letters = std::move(letters),
                                                 .parts = {std::move(body)}});
  }

  IndexFormula inner(const Expr& e) {
    std::vector<int> letters;
    const Indices at{new_letter(e->operands[0]->shape[0], letters)};
    return contraction_term(letters, {of(e->operands[0], at), of(e->operands[1], at)});
  }

  IndexFormula matrix(const Expr& e, const Role& role, const Indices& at) {
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
    return contraction_term(letters, std::move(factors));
  }

  // The part where the position of the whole is one of its own, else 0.
  IndexFormula scattered(const Expr& e, const Indices& at) {
    const auto places = places_of(*e);
    if (!places) return nullptr;
    const Shape& part = e->operands[0]->shape;
    Indices inside(part.size());
    std::vector<bool> known(part.size());
    for (std::size_t a = 0; a < at.size(); ++a) {
      const auto& [offset, stride, axis] = (*places)[a];
      const bool same =
          axis >= 0 && offset == 0 && stride == 1 && part[axis] == e->shape[static_cast<int>(a)];
      if (!same) continue;
      inside[static_cast<std::size_t>(axis)] = at[a];
      known[static_cast<std::size_t>(axis)] = true;
    }
    std::vector<int> letters;
    std::vector<IndexFormula> factors;
    for (std::size_t a = 0; a < at.size(); ++a) {
      const auto& [offset, stride, axis] = (*places)[a];
      if (axis >= 0 && known[static_cast<std::size_t>(axis)] &&
          inside[static_cast<std::size_t>(axis)].parts == at[a].parts)
        continue;
      Index there{offset, {}, {}};
      if (axis >= 0) {
        Index& own = inside[static_cast<std::size_t>(axis)];
        if (!known[static_cast<std::size_t>(axis)]) own = new_letter(part[axis], letters);
        known[static_cast<std::size_t>(axis)] = true;
        const std::pair<const Index*, std::int64_t> parts[] = {{&own, stride}};
        const auto moved = letters_.combined(offset, parts);
        if (!moved) return nullptr;
        there = *moved;
      }
      if (e->shape[static_cast<int>(a)] != 1) factors.push_back(equal_term(at[a], there));
    }
    factors.push_back(of(e->operands[0], inside));
    return total_term(letters, product_term(std::move(factors)));
  }

  // The operand in which the position is.
  IndexFormula joined(const Expr& e, const Indices& at) {
    const auto axis = axis_of_join(*e);
    if (!axis) return nullptr;
    if (*axis < 0) return of(e->operands[0], at);
    const auto along = static_cast<std::size_t>(*axis);
    std::vector<IndexFormula> terms;
    std::int64_t begin = 0;
    for (const Expr& operand : e->operands) {
      const std::int64_t extent = operand->shape[*axis];
      Indices inside = at;
      std::vector<int> letters;
      if (at[along].is_number()) {
        inside[along].offset -= begin;
        if (inside[along].offset >= 0 && inside[along].offset < extent) return of(operand, inside);
      } else {
        inside[along] = new_letter(extent, letters);
        Index there = inside[along];
        there.offset += begin;
        terms.push_back(
            total_term(letters, product_term({equal_term(at[along], there), of(operand, inside)})));
      }
      begin += extent;
    }
    std::vector<bool> subtracted(terms.size());
    return sum_term(std::move(terms), std::move(subtracted));
  }

  IndexFormula looked_up(const Expr& e, const LookUp& found, const Indices& at) {
    const auto axis = static_cast<std::size_t>(found.axis);
    const Shape& positions = e->operands[1]->shape;
    Indices inside = at;
    if (!found.adds) {
      const std::size_t begin = found.by_element ? 0 : axis, end = begin + positions.size();
      const Index element{0, {}, of(e->operands[1], part_of(at, begin, end))};
      if (!found.by_element) {
        inside = part_of(at, 0, begin);
        inside.push_back(element);
        inside.insert(inside.end(), at.begin() + static_cast<std::ptrdiff_t>(end), at.end());
      } else {
        inside[axis] = element;
      }
      return of(e->operands[0], inside);
    }
    std::vector<int> letters;
    std::vector<IndexFormula> factors;
    Indices index;
    if (found.by_element) {
      for (std::size_t b = 0; b < at.size(); ++b) {
        const std::int64_t extent = positions[static_cast<int>(b)];
        if (b != axis && extent == e->shape[static_cast<int>(b)]) continue;
        inside[b] = new_letter(extent, letters);
        if (b != axis) factors.push_back(equal_term(at[b], inside[b]));
      }
      index = inside;
    } else {
      for (const std::int64_t extent : positions) index.push_back(new_letter(extent, letters));
      inside = part_of(at, 0, axis);
      inside.insert(inside.end(), index.begin(), index.end());
      inside.insert(inside.end(), at.begin() + found.axis + 1, at.end());
    }
    if (e->shape[found.axis] != 1)
      factors.push_back(equal_term(at[axis], Index{0, {}, of(e->operands[1], index)}));
    factors.push_back(of(e->operands[0], inside));
    return total_term(letters, product_term(std::move(factors)));
  }

  const Environment& environment_;
  Letters& letters_;
  int parts_ = 0, depth_ = 0;
};

}  // namespace

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
