#include <algorithm>
#include <cmath>
#include <utility>

#include <chainrule/core/error.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/index_formula.hpp>
#include <chainrule/graph/derivation/tried.hpp>

namespace chainrule::derivation {

namespace {

// Where position i of a part is in the whole, of which it was looked up; −1 outside of it.
std::int64_t looked_up(std::int64_t i, const Shape& part, const Shape& whole, const LookUp& how,
                       const std::vector<std::int64_t>& positions, const Shape& index) {
  Position place = unfolded(i, part);
  const int run = how.by_element ? 0 : how.axis;
  std::int64_t in_index = 0;
  auto at = place.begin() + run;
  for (const std::int64_t extent : index) in_index = in_index * extent + *at++;
  const std::int64_t position = positions[static_cast<std::size_t>(in_index)];
  if (how.by_element) {
    place[static_cast<std::size_t>(how.axis)] = position;
  } else {
    place.erase(place.begin() + run, place.begin() + run + index.rank());
    place.insert(place.begin() + run, position);
  }
  std::int64_t flat = 0;
  for (int a = 0; a < whole.rank(); ++a) {
    if (place[static_cast<std::size_t>(a)] >= whole[a]) return -1;
    flat = flat * whole[a] + place[static_cast<std::size_t>(a)];
  }
  return flat;
}

// Whether the axes of the part are those of the whole, with those of the index.
bool fits(const Shape& part, const Shape& whole, const Shape& index, const LookUp& how) {
  if (how.by_element) return index == part && part.rank() == whole.rank();
  Shape expected;
  for (int a = 0; a < whole.rank(); ++a) {
    if (a != how.axis) expected.push_back(whole[a]);
    if (a == how.axis)
      for (const std::int64_t extent : index) expected.push_back(extent);
  }
  return expected == part;
}

}  // namespace

std::optional<LookUp> look_up(const Expression& operation, const Environment& environment) {
  if (operation.operands.size() != 2 || !operation.operands[0] || !operation.operands[1])
    return std::nullopt;
  const Tensor index = evaluate(operation.operands[1], environment);
  const Shape& x = operation.operands[0]->shape;
  if (index.dtype() != i64 || index.numel() == 0 || x.rank() + index.rank() > max_rank)
    return std::nullopt;
  const std::vector<std::int64_t> positions = index.to_vector<std::int64_t>();
  Generator generator(0x100c);
  const Tensor numbers = uniform(1, 2, x, generator, f64);
  const auto result = applied(operation, {numbers, index});
  if (!result || result->shape() != operation.shape) return std::nullopt;
  const std::vector<double> given = numbers.to_vector<double>();
  const std::vector<double> computed = result->to_vector<double>();
  // Every way in which it may be one gives other numbers.
  const auto is = [&](const LookUp& how) {
    const Shape& whole = how.adds ? operation.shape : x;
    const Shape& part = how.adds ? x : operation.shape;
    if (how.axis >= whole.rank() || !fits(part, whole, index.shape(), how)) return false;
    std::vector<double> expected(computed.size());
    for (std::int64_t i = 0; i < part.numel(); ++i) {
      const std::int64_t flat = looked_up(i, part, whole, how, positions, index.shape());
      if (flat < 0) return false;
      const auto in_part = static_cast<std::size_t>(i), in_whole = static_cast<std::size_t>(flat);
      expected[how.adds ? in_whole : in_part] += given[how.adds ? in_part : in_whole];
    }
    return std::ranges::equal(computed, expected, [](double a, double b) {
      return std::abs(a - b) <= 1e-12 * std::abs(b);  // the order of a sum
    });
  };
  const int rank = std::max(x.rank(), operation.shape.rank());
  for (int axis = 0; axis < rank; ++axis)
    for (const bool adds : {false, true})
      for (const bool by_element : {true, false})
        if (const LookUp how{axis, by_element, adds}; is(how)) return how;
  return std::nullopt;
}

}  // namespace chainrule::derivation
