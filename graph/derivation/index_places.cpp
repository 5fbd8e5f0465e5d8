#include <utility>

#include <chainrule/graph/derivation/index_lowering.hpp>

namespace chainrule::derivation {

// The part where the position of the whole is one of its own, else 0.
IndexFormula Lowering::scattered(const Expr& e, const Indices& at) {
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
IndexFormula Lowering::joined(const Expr& e, const Indices& at) {
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

IndexFormula Lowering::looked_up(const Expr& e, const LookUp& found, const Indices& at) {
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

}  // namespace chainrule::derivation
