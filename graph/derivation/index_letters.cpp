#include <algorithm>
#include <cstddef>

#include <chainrule/graph/derivation/index_formula.hpp>

namespace chainrule::derivation {

namespace {

void add_to(Index& sum, const Index::Part& part) {
  const auto same = std::ranges::find(sum.parts, part.letter, &Index::Part::letter);
  if (same == sum.parts.end())
    sum.parts.push_back(part);
  else
    same->stride += part.stride;
}

}  // namespace

Indices part_of(const Indices& at, std::size_t begin, std::size_t end) {
  return {at.begin() + static_cast<std::ptrdiff_t>(begin),
          at.begin() + static_cast<std::ptrdiff_t>(end)};
}

int Letters::add(std::int64_t extent) {
  letters_.push_back({extent});
  return static_cast<int>(letters_.size()) - 1;
}

void Letters::split(int letter, std::int64_t inner) {
  const int first = add(extent(letter) / inner);
  add(inner);
  Letter& whole = letters_[static_cast<std::size_t>(letter)];
  whole.inner = inner;
  whole.first = first;
}

Index Letters::resolved(const Index& index) const {
  Index result{index.offset, {}, index.element};
  std::vector<Index::Part> waiting(index.parts.rbegin(), index.parts.rend());
  while (!waiting.empty()) {
    const Index::Part part = waiting.back();
    waiting.pop_back();
    const Letter& letter = letters_[static_cast<std::size_t>(part.letter)];
    if (letter.inner == 0) {
      add_to(result, part);
      continue;
    }
    waiting.push_back({letter.first + 1, part.stride});
    waiting.push_back({letter.first, part.stride * letter.inner});
  }
  std::erase_if(result.parts, [&](const Index::Part& part) {
    return part.stride == 0 || extent(part.letter) == 1;
  });
  return result;
}

std::vector<int> Letters::resolved(const std::vector<int>& letters) const {
  std::vector<int> result;
  for (const int letter : letters)
    for (const Index::Part& part : resolved(Index::of(letter)).parts) result.push_back(part.letter);
  return result;
}

std::optional<Index> Letters::combined(
    std::int64_t offset, std::span<const std::pair<const Index*, std::int64_t>> parts) const {
  Index result{offset, {}, {}};
  for (const auto& [index, stride] : parts) {
    if (stride == 0) continue;
    if (index->element) {
      const bool alone = offset == 0 && stride == 1 && parts.size() == 1;
      return alone ? std::optional(*index) : std::nullopt;
    }
    result.offset += stride * index->offset;
    for (const Index::Part& part : index->parts)
      add_to(result, {part.letter, part.stride * stride});
  }
  return resolved(result);
}

std::optional<std::pair<Index, Index>> Letters::divided(const Index& index, std::int64_t inner) {
  if (index.element) return std::nullopt;
  Index at = resolved(index);
  if (at.is_letter() && extent(at.parts[0].letter) > inner &&
      extent(at.parts[0].letter) % inner == 0) {
    split(at.parts[0].letter, inner);
    at = resolved(at);
  }
  Index outer, rest;
  outer.offset = at.offset / inner;
  rest.offset = at.offset % inner;
  std::int64_t most = rest.offset;
  for (const Index::Part& part : at.parts) {
    if (part.stride % inner == 0) {
      outer.parts.push_back({part.letter, part.stride / inner});
      continue;
    }
    if (part.stride < 0) return std::nullopt;
    rest.parts.push_back(part);
    most += part.stride * (extent(part.letter) - 1);
  }
  if (at.offset < 0 || most >= inner) return std::nullopt;
  return std::pair(outer, rest);
}

}  // namespace chainrule::derivation
