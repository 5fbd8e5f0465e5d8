#include <chainrule/graph/derivation/repeated.hpp>

#include <fmt/format.h>

#include <cstdlib>

namespace chainrule::derivation {

std::map<std::size_t, std::vector<std::size_t>> repeated(
    const std::vector<std::optional<Numbered>>& equations) {
  std::map<std::string, std::vector<std::size_t>> alike;
  for (std::size_t i = 0; i < equations.size(); ++i)
    if (equations[i]) alike[equations[i]->equation].push_back(i);
  std::map<std::size_t, std::vector<std::size_t>> result;
  for (const auto& [equation, all] : alike) {
    const auto k = [&, &all = all](std::size_t i) { return equations[all[i]]->k; };
    for (std::size_t begin = 0; begin + 1 < all.size();) {
      const int apart = k(begin + 1) - k(begin);
      std::size_t end = begin + 2;
      while (end < all.size() && k(end) - k(end - 1) == apart) ++end;
      result[all[begin]] = {all.begin() + static_cast<std::ptrdiff_t>(begin),
                            all.begin() + static_cast<std::ptrdiff_t>(end)};
      begin = end;
    }
  }
  return result;
}

std::string layers_text(const std::vector<std::optional<Numbered>>& equations,
                        const std::vector<std::size_t>& places) {
  const int first = equations[places[0]]->k, second = equations[places[1]]->k;
  const int last = equations[places.back()]->k;
  if (places.size() == 2) return fmt::format("for k = {}, {}", first, last);
  if (std::abs(first - second) == 1) return fmt::format("for k = {} … {}", first, last);
  return fmt::format("for k = {}, {} … {}", first, second, last);
}

}  // namespace chainrule::derivation
