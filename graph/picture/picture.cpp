#include <chainrule/graph/picture/picture.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <vector>

#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/graph/picture/figure.hpp>
#include <chainrule/graph/picture/page.hpp>

namespace chainrule {

namespace {

std::set<std::string> names_in(const std::vector<std::string>& modules) {
  std::set<std::string> names(modules.begin(), modules.end());
  names.erase("");
  return names;
}

// A picture that is shown smaller cannot be read.
constexpr double least_readable = 0.7;
// Scenes that no module is called; "" is of all operations.
constexpr const char *all_modules = "*", *all_steps = "#";
// Of more modules, none is unfolded alone.
constexpr std::size_t most_choices = 12;

// What a page shows first: as much as can be read, or else what can be read best.
const picture::Scene& opened(const std::vector<picture::Scene>& scenes) {
  return *std::ranges::max_element(scenes, {}, [](const picture::Scene& scene) {
    const bool one_module = !scene.id.empty() && scene.id != all_modules && scene.id != all_steps;
    return one_module                     ? 0
           : scene.scale < least_readable ? scene.scale
                                          : static_cast<double>(scene.boxes);
  });
}

}  // namespace

std::string graph_svg(const Tensor& loss, const PictureOptions& options, Where where) {
  if (options.fold_modules < 0)
    throw ValueError(
        fmt::format("graph_svg: fold_modules = {}: a number of names cannot be negative",
                    options.fold_modules),
        where, "0 folds none, 1 the outermost");
  return detail::naming_all_memory("graph_svg", where, [&] {
    picture::Figure figure(loss, "graph_svg", where);
    const std::vector<std::string> modules = figure.modules_at(options.fold_modules);
    return figure.still(modules,
                        options.fold_modules > 0 ? names_in(modules) : std::set<std::string>());
  });
}

std::string graph_html(const Tensor& loss, Where where) {
  return detail::naming_all_memory("graph_html", where, [&] {
    picture::Figure figure(loss, "graph_html", where);
    const std::vector<std::string> modules = figure.modules_at(1);
    const std::set<std::string> all = names_in(modules);
    std::vector<picture::Scene> scenes;
    const auto add = [&](const std::string& id, const std::string& label,
                         const std::vector<std::string>& of, const std::set<std::string>& folded) {
      scenes.push_back(figure.scene(of, folded));
      scenes.back().id = id;
      scenes.back().label = label;
    };
    add("", "all operations", modules, {});
    if (!all.empty()) add(all_modules, "modules folded", modules, all);
    if (all.size() > 1 && all.size() <= most_choices)
      for (const std::string& module : all) {
        std::set<std::string> others = all;
        others.erase(module);
        add(module, module + " unfolded", modules, others);
      }
    const picture::Steps& steps = figure.steps();
    if (steps.count > 0)
      add(all_steps, fmt::format("{} steps folded", steps.count), steps.step_of,
          names_in(steps.step_of));
    return picture::page_of(scenes, opened(scenes).id, figure.notes(), figure.legend());
  });
}

}  // namespace chainrule
