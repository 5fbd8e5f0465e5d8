#include <chainrule/graph/picture/page.hpp>

#include <fmt/format.h>

#include <chainrule/graph/derivation/markup.hpp>

namespace chainrule::picture {

namespace {

constexpr const char* head = R"(<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Graph</title>
<style>
  body { margin: 0; font: 14px/1.4 system-ui, sans-serif; }
  #panel { position: fixed; right: 0; top: 0; max-width: 40em; margin: 1em; padding: 1em;
    background: #fffd; border: 1px solid #999; white-space: pre-wrap; }
  .node { cursor: pointer; }
  .kept rect { stroke-width: 3; }
</style>
)";

constexpr const char* script = R"(<script>
const panel = document.getElementById('panel');
const menu = document.getElementById('view');
let kept = null;
function keep(node) {
  if (kept) kept.classList.remove('kept');
  kept = node;
  if (kept) kept.classList.add('kept');
}
function choose(view) {
  for (const div of document.querySelectorAll('.view'))
    div.hidden = div.dataset.view !== view;
  menu.value = view;
  keep(null);
}
if (menu) {
  menu.addEventListener('change', () => choose(menu.value));
  choose(menu.value);  // what a browser remembers of it after a reload
}
for (const node of document.querySelectorAll('.node')) {
  const show = () => { panel.textContent = node.querySelector('title').textContent; };
  node.addEventListener('mouseenter', () => { if (!kept) show(); });
  node.addEventListener('click', () => {
    keep(kept === node ? null : node);
    show();
  });
  node.addEventListener('dblclick', () => {
    const module = (node.dataset.module || '').replace(/ \(\d+\)$/, '');
    const has = [...menu?.options ?? []].some(option => option.value === module);
    if (module) choose(has ? module : '');
  });
}
</script>
)";

}  // namespace

std::string page_of(const std::vector<Scene>& scenes, const std::string& shown_first) {
  const bool has_menu = scenes.size() > 1;
  std::string menu, views;
  for (const Scene& scene : scenes) {
    const std::string id = derivation::in_markup(scene.id);
    const bool shown = scene.id == shown_first;
    menu += fmt::format("<option value=\"{}\"{}>{}</option>", id, shown ? " selected" : "",
                        derivation::in_markup(scene.label));
    views += fmt::format("<div class=\"view\" data-view=\"{}\"{}>\n{}</div>\n", id,
                         shown ? "" : " hidden", scene.svg);
  }
  if (has_menu) menu = "<p style=\"margin: 1em\"><select id=\"view\">" + menu + "</select></p>\n";
  return head + (has_menu ? menu : "") +
         "<div id=\"panel\">Point at a box for its rule, click to keep it" +
         (has_menu ? "; double-click a module to unfold it" : "") + ".</div>\n" + views + script +
         "</html>\n";
}

}  // namespace chainrule::picture
