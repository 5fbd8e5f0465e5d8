#include <chainrule/graph/picture/steps.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

namespace chainrule::picture {

namespace {

constexpr std::size_t fewest_repeats = 4, most_shown = 50;

// The operations in the order of the program, each by what and where it is: equal numbers for equal
// ones.
struct Program {
  std::vector<std::uint32_t> nodes;
  std::vector<std::size_t> keys;
};

Program program_of(const Traversal& traversal) {
  Program program;
  for (std::uint32_t i = 0; i < traversal.size(); ++i)
    if (!traversal.node(i).is_leaf()) program.nodes.push_back(i);
  std::ranges::sort(program.nodes, {},
                    [&](std::uint32_t i) { return traversal.node(i).sequence(); });
  using Key = std::tuple<const Op*, std::string_view, std::uint32_t, std::uint32_t, std::size_t>;
  std::map<Key, std::size_t> keys;
  for (const std::uint32_t i : program.nodes) {
    const Node& node = traversal.node(i);
    const Key key{node.op(), node.where().file_name(), node.where().line(), node.where().column(),
                  node.output_index()};
    program.keys.push_back(keys.try_emplace(key, keys.size()).first->second);
  }
  return program;
}

struct Run {
  std::size_t first = 0, period = 0, repeats = 0;
  std::size_t length() const noexcept { return period * repeats; }
};

// The longest part in which every operation is the one of `period` places before.
Run longest_run(const std::vector<std::size_t>& keys, std::size_t period) {
  Run best;
  std::size_t first = 0;
  for (std::size_t i = 0; i + period <= keys.size(); ++i) {
    if (i + period < keys.size() && keys[i] == keys[i + period]) continue;
    const Run run{first, period, (i - first) / period + 1};
    if (run.repeats >= fewest_repeats && run.length() > best.length()) best = run;
    first = i + 1;
  }
  return best;
}

}  // namespace

Steps steps_of(const Traversal& traversal) {
  const Program program = program_of(traversal);
  // Periods are the distances from an operation to the next one like it.
  std::set<std::size_t> periods;
  std::map<std::size_t, std::size_t> last;
  for (std::size_t i = 0; i < program.keys.size(); ++i) {
    const auto [at, added] = last.try_emplace(program.keys[i], i);
    if (!added && periods.size() < most_shown) periods.insert(i - at->second);
    at->second = i;
  }
  Run best;
  for (const std::size_t period : periods)  // of equal ones the shortest
    if (const Run run = longest_run(program.keys, period); run.length() > best.length()) best = run;
  Steps steps{static_cast<int>(best.repeats), std::vector<std::string>(traversal.size())};
  if (best.repeats == 0) return steps;

  const std::size_t together = (best.repeats + most_shown - 1) / most_shown;
  for (std::size_t k = 0; k < best.length(); ++k) {
    const std::size_t begin = k / best.period / together * together + 1;
    const std::size_t end = std::min(begin + together - 1, best.repeats);
    steps.step_of[program.nodes[best.first + k]] =
        begin == end ? fmt::format("step {}", begin) : fmt::format("steps {} – {}", begin, end);
  }
  std::vector<bool> used_elsewhere(traversal.size());
  for (std::uint32_t i = 0; i < traversal.size(); ++i)
    for (const std::uint32_t input : traversal.edges(i)) {
      if (input == Traversal::none || !traversal.node(input).is_leaf()) continue;
      if (steps.step_of[i].empty())
        used_elsewhere[input] = true;
      else if (steps.step_of[input].empty())
        steps.step_of[input] = steps.step_of[i];
    }
  for (std::uint32_t i = 0; i < traversal.size(); ++i)
    if (used_elsewhere[i]) steps.step_of[i].clear();
  return steps;
}

}  // namespace chainrule::picture
