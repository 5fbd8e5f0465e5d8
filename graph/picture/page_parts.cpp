#include <chainrule/graph/picture/page_parts.hpp>

namespace chainrule::picture {

const char* const page_head = R"(<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Graph</title>
<style>
  body { margin: 0; height: 100vh; display: grid; grid-template: auto minmax(0, 1fr) auto / minmax(0, 1fr) 27em;
    font: 14px/1.4 system-ui, sans-serif; }
  #bar { grid-column: 1 / 3; padding: .4em .8em; border-bottom: 1px solid #bbb; display: flex;
    gap: .5em; align-items: center; }
  #stage { grid-area: 2 / 1; overflow: hidden; position: relative; cursor: grab; touch-action: none; }
  #stage .view > svg { position: absolute; width: 100%; height: 100%; }
  #panel { grid-area: 2 / 2 / 4; overflow: auto; border-left: 1px solid #bbb; padding: 0 .8em; }
  #about { position: sticky; top: 0; background: #fff; padding: .6em 0; white-space: pre-wrap;
    border-bottom: 1px solid #ddd; min-height: 7em; overflow-wrap: anywhere; }
  #formulas { padding-left: 2.2em; margin: .5em 0; }
  #formulas li { cursor: pointer; overflow-wrap: anywhere; }
  #formulas li:hover { background: #eef; }
  #formulas li.kept { background: #ffe9a8; }
  #legend { grid-area: 3 / 1; overflow: hidden; border-top: 1px solid #ddd; }
  .node { cursor: pointer; }
  .node.kept rect { stroke-width: 4; stroke: #e08a00; }
  .playing .node { opacity: .22; }
  .playing .node.passed { opacity: 1; }
</style>
)";

const char* const page_script = R"(<script>
const at = id => document.getElementById(id);
const stage = at('stage'), menu = at('view'), about = at('about');
const notes = JSON.parse(at('notes').textContent);
const byNode = new Map(notes.map(note => [String(note.node), note]));
const sweep = notes.filter(note => note.gradient);
const lines = new Map();  // of the list of formulas, by node
let step = -1, timer = null, move = null;

for (const note of sweep) {
  const line = document.createElement('li');
  line.textContent = note.gradient;
  line.addEventListener('click', () => { stop(); unplay(); keep([String(note.node)], true); });
  lines.set(String(note.node), line);
  at('formulas').append(line);
}

// --- what is shown, and how large ---

const shown = () => document.querySelector('.view:not([hidden])');
const svg = () => shown().firstElementChild;
const nodesOf = box => box.dataset.nodes.split(' ');
const boxesOf = id => [...shown().querySelectorAll('.node')].filter(b => nodesOf(b).includes(id));
function size(drawing) {
  drawing.full ||= [drawing.width.baseVal.value, drawing.height.baseVal.value];
  return drawing.full;
}
function look(x, y, width, height) {
  svg().seen = [x, y, width, height];
  svg().setAttribute('viewBox', svg().seen.join(' '));
}
// The whole graph, but nothing larger than twice its size.
function fit() {
  const [width, height] = size(svg());
  svg().removeAttribute('width');
  svg().removeAttribute('height');
  const w = Math.max(width, stage.clientWidth / 2), h = Math.max(height, stage.clientHeight / 2);
  look((width - w) / 2, (height - h) / 2, w, h);
}
// Of the drawing's units in a pixel, and the point of the drawing under a pixel of the stage.
const unit = () => Math.max(svg().seen[2] / stage.clientWidth, svg().seen[3] / stage.clientHeight);
function under(px, py) {
  const [x, y, w, h] = svg().seen;
  return [x + w / 2 + (px - stage.clientWidth / 2) * unit(),
    y + h / 2 + (py - stage.clientHeight / 2) * unit()];
}
function zoom(factor, px = stage.clientWidth / 2, py = stage.clientHeight / 2) {
  const [x, y, w, h] = svg().seen, [fx, fy] = under(px, py);
  if (unit() * factor > 50 || unit() * factor < 0.02) return;
  look(fx + (x - fx) * factor, fy + (y - fy) * factor, w * factor, h * factor);
}
function bring(box) {
  const b = box.getBoundingClientRect(), s = stage.getBoundingClientRect();
  if (b.left >= s.left && b.right <= s.right && b.top >= s.top && b.bottom <= s.bottom) return;
  const [x, y, w, h] = svg().seen;
  look(x + ((b.left + b.right - s.left - s.right) / 2) * unit(),
    y + ((b.top + b.bottom - s.top - s.bottom) / 2) * unit(), w, h);
}
function choose(view) {
  for (const div of document.querySelectorAll('.view')) div.hidden = div.dataset.view !== view;
  if (menu) menu.value = view;
  if (!svg().seen) fit();
  keep([]);
  if (step >= 0) play(step);
}

// --- a box and its formulas ---

const said = note => [note.title, note.forward, note.gradient, note.numbers, note.place];
function keep(ids, fromList = false, title = '') {
  for (const old of document.querySelectorAll('.kept')) old.classList.remove('kept');
  const texts = [];
  for (const id of ids) {
    const line = lines.get(id), note = byNode.get(id);
    if (line) line.classList.add('kept');
    if (line && !fromList && !texts.length) line.scrollIntoView({block: 'center'});
    if (note) texts.push((ids.length > 1 ? [note.forward, note.gradient] : said(note))
      .filter(Boolean).join('\n'));
    for (const box of boxesOf(id)) {
      box.classList.add('kept');
      if (fromList) bring(box);
    }
  }
  if (ids.length) about.textContent = [title, ...texts.slice(0, 12)].filter(Boolean).join('\n');
  if (texts.length > 12) about.textContent += '\n…';
}

// --- the backward sweep ---

function play(to) {
  step = Math.max(0, Math.min(to, sweep.length - 1));
  if (!sweep.length) return;
  stage.classList.add('playing');
  const reached = new Set(sweep.slice(0, step + 1).map(note => String(note.node)));
  for (const box of shown().querySelectorAll('.node'))
    box.classList.toggle('passed', nodesOf(box).some(id => reached.has(id)));
  const id = String(sweep[step].node);
  keep([id], true);
  lines.get(id).scrollIntoView({block: 'nearest'});
  at('count').textContent = `${step + 1} / ${sweep.length}`;
}
function stop() {
  clearInterval(timer);
  timer = null;
  at('play').textContent = '▶ backward';
}
function unplay() {
  step = -1;
  stage.classList.remove('playing');
  at('count').textContent = '';
}
function run() {
  if (timer) return stop();
  if (step >= sweep.length - 1) step = -1;
  play(step + 1);
  at('play').textContent = '❚❚ pause';
  timer = setInterval(() => { step < sweep.length - 1 ? play(step + 1) : stop(); }, 700);
}
const actions = {
  fit, larger: () => zoom(1 / 1.25), smaller: () => zoom(1.25), play: run,
  back: () => { stop(); play(step - 1); }, next: () => { stop(); play(step + 1); },
  end: () => { stop(); unplay(); keep([]); },
};
for (const id in actions) at(id).addEventListener('click', actions[id]);
addEventListener('keydown', event => {
  if (event.target === menu) return;
  const key = {ArrowRight: 'next', ArrowLeft: 'back', Escape: 'end', '+': 'larger', '-': 'smaller',
    '0': 'fit'}[event.key];
  if (key) actions[key]();
});

// --- the mouse ---

stage.addEventListener('wheel', event => {
  event.preventDefault();
  const s = stage.getBoundingClientRect();
  zoom(Math.exp(event.deltaY * 0.0015), event.clientX - s.left, event.clientY - s.top);
}, {passive: false});
stage.addEventListener('pointerdown', event => {
  move = {x: event.clientX, y: event.clientY, from: svg().seen, dragged: false};
});
addEventListener('pointermove', event => {
  if (!move) return;
  const dx = event.clientX - move.x, dy = event.clientY - move.y;
  move.dragged ||= Math.hypot(dx, dy) > 4;
  const [x, y, w, h] = move.from;
  if (move.dragged) look(x - dx * unit(), y - dy * unit(), w, h);
});
addEventListener('pointerup', event => {
  const click = move && !move.dragged, box = event.target.closest?.('.node');
  move = null;
  if (!click) return;
  stop();
  unplay();
  keep(box ? nodesOf(box) : [], false, box?.dataset.module);
});
stage.addEventListener('dblclick', event => {
  const module = event.target.closest('.node')?.dataset.module?.replace(/ \(\d+\)$/, '');
  if (!module) return;
  choose([...menu.options].some(option => option.value === module) ? module : '');
});
if (menu) menu.addEventListener('change', () => choose(menu.value));
addEventListener('resize', fit);
choose(menu ? menu.value : '');  // what a browser remembers of it after a reload
</script>
)";

}  // namespace chainrule::picture
