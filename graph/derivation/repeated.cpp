#include <chainrule/graph/derivation/repeated.hpp>

#include <fmt/format.h>

#include <cstdlib>

namespace chainrule::derivation {

std::map<std::size_t, Repeated> repeated(const std::vector<std::optional<Numbered>>& equations) {
  std::map<std::size_t, Repeated> result;
  std::vector<bool> done(equations.size());
  for (const bool with_positions : {false, true}) {
    std::map<std::string, std::vector<std::size_t>> alike;
    for (std::size_t i = 0; i < equations.size(); ++i)
      if (equations[i] && !done[i])
        if (const std::string& text =
                with_positions ? equations[i]->with_positions : equations[i]->equation;
            !text.empty())
          alike[text].push_back(i);
    for (const auto& [equation, all] : alike) {
      const auto k = [&, &all = all](std::size_t i) { return equations[all[i]]->k; };
      for (std::size_t begin = 0; begin + 1 < all.size();) {
        const int apart = k(begin + 1) - k(begin);
        std::size_t end = begin + 2;
        while (end < all.size() && k(end) - k(end - 1) == apart) ++end;
        const std::vector<std::size_t> places(all.begin() + static_cast<std::ptrdiff_t>(begin),
                                              all.begin() + static_cast<std::ptrdiff_t>(end));
        for (const std::size_t place : places) done[place] = true;
        result[all[begin]] = {places, with_positions};
        begin = end;
      }
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
