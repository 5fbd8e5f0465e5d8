#include <chainrule/graph/teaching/page_parts.hpp>

namespace chainrule::teaching {

const char* const page_style = R"(<style>
  :root { color-scheme: light; }
  body { font: 17px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 46em; padding: 0 1em; }
  table { border-spacing: 1.5em 0.1em; margin-left: -1.5em; }
  td + td, small { color: #555; }
  .line { margin: 1.2em 0; padding: 0.8em 1.2em; border: 1px solid #ccc; border-radius: 6px; }
  fieldset { border: 0; margin: 0; padding: 0; }
  legend { font-weight: 600; padding: 0; margin-bottom: 0.4em; }
  fieldset label { display: block; padding: 0.2em 0.5em; border-radius: 4px; cursor: pointer; }
  fieldset label:hover { background: #f0f3f8; }
  :focus-visible { outline: 2px solid #1f5fbf; outline-offset: 2px; }
  button { font: inherit; padding: 0.2em 0.8em; }
  .given math { margin-right: 1.2em; }
  .told:empty, .said:empty { display: none; }
  .right { color: #176b2c; }
  .wrong { color: #a3231a; }
  .done fieldset label:not(.right) { opacity: 0.55; }
  .done button { display: none; }
  .solution { font-weight: 600; }
  #score { position: sticky; top: 0; background: #fff; margin: 0; padding: 0.5em 0;
    border-bottom: 1px solid #ccc; z-index: 1; }
  @media print { button, #score { display: none; } }
</style>
)";

const char* const page_script = R"(<script>
const forms = [...document.querySelectorAll('form')];
const again = document.querySelector('#end ul');
let total = 0;

// The form that comes next, which may be the element of the same line.
function go_on(form) {
  const next = forms[forms.indexOf(form) + 1];
  if (form.nextElementSibling) form.nextElementSibling.hidden = false;
  const open = next && !next.classList.contains('done') ? next : null;
  if (open) open.querySelector('input').focus({ preventScroll: false });
}
function finish(form, points) {
  total += points;
  document.querySelector('#score b').textContent = total;
  form.classList.add('done');
  for (const control of form.querySelectorAll('input, button')) control.disabled = true;
  form.querySelector('input[data-right]')?.closest('label').classList.add('right');
  form.querySelector('.solution').hidden = false;
  if (again.children.length && forms.every(each => each.classList.contains('done')))
    document.getElementById('end').hidden = false;
  go_on(form);
}
function say(form, text, kind) {
  const said = form.querySelector('.said');
  said.textContent = text;
  said.className = 'said ' + kind;
}
function number_in(text) {
  const tidy = text.replace(/^.*=/, '').trim().replace(/[−–]/g, '-').replace(',', '.');
  return tidy === '' ? NaN : Number(tidy);
}
// Whether the answer of a form is right; why not; and null where there is none.
function judge(form) {
  if (form.classList.contains('formula')) {
    const chosen = form.querySelector('input:checked:enabled');
    if (!chosen) return null;
    if ('right' in chosen.dataset) return { right: true };
    const label = chosen.closest('label');
    chosen.disabled = true;
    form.querySelector('input:enabled').focus();
    label.classList.add('wrong');
    return { right: false, written: chosen.dataset.text,
      why: label.querySelector('.why').textContent };
  }
  const answer = number_in(form.elements.number.value);
  if (!Number.isFinite(answer)) return null;
  const near = value => Math.abs(answer - value) <= Number(form.dataset.tolerance);
  if (near(Number(form.dataset.value))) return { right: true };
  const known = [...form.querySelector('template').content.querySelectorAll('li')]
    .find(each => near(Number(each.dataset.value)));
  return { right: false, written: form.elements.number.value,
    why: known ? known.textContent : 'No formula above gives that: look at the arithmetic.' };
}

for (const form of forms) {
  let points = Number(form.dataset.points);
  const hints = [...form.querySelector('template').content.querySelectorAll('.step')];
  form.addEventListener('submit', event => {
    event.preventDefault();
    if (form.classList.contains('done')) return;
    const verdict = judge(form);
    if (!verdict) {
      say(form, form.classList.contains('formula') ? 'Choose a formula.' : 'Type a number.', '');
    } else if (verdict.right) {
      say(form, `✓ ${points} of ${form.dataset.points} points`, 'right');
      finish(form, points);
    } else {
      points = Math.max(0, points - 1);
      say(form, '✗ ' + verdict.why, 'wrong');
      const item = document.createElement('li');
      item.textContent = `${form.dataset.name}, not ${verdict.written}: ${verdict.why}`;
      again.append(item);
    }
  });
  form.querySelector('.hint')?.addEventListener('click', event => {
    const hint = hints.shift();
    hint.hidden = false;
    form.querySelector('.told').append(hint);
    points = Math.max(0, points - 1);
    if (!hints.length) event.target.disabled = true;
  });
  form.querySelector('.skip').addEventListener('click', () => {
    say(form, '', '');
    finish(form, 0);
  });
  form.addEventListener('keydown', event => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const choice = [...form.querySelectorAll('input[type=radio]:enabled')]
      .find(each => each.value === event.key);
    if (!choice) return;
    choice.checked = true;
    choice.focus();
  });
}
</script>
)";

}  // namespace chainrule::teaching
