#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chainrule/core/observer.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/picture/figure.hpp>
#include <chainrule/graph/said_by_op.hpp>

// What stands in the boxes, and what is said of them.

namespace chainrule::picture {

namespace {

// A module of more operations says only how many.
constexpr std::size_t most_listed = 3;

class LastOperation final : public Observer {
 public:
  void applied(Ref<Node> application, Operands, std::span<const Ref<Value>>) override {
    last = std::move(application);
  }
  Ref<Node> last;
};

std::string counted(std::size_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string place_of(const Node& node) {
  return fmt::format("{}:{}", node.where().file_name(), node.where().line());
}

}  // namespace

bool Figure::is_parameter(std::uint32_t i) const {
  return trace_.node(i).is_leaf() && trace_.node(i).requires_grad();
}

bool Figure::contains(const View::Item& item, std::uint32_t node) {
  if (node == Traversal::none || item.is_copy) return false;
  return item.module.empty() ? item.node == node
                             : std::ranges::find(item.inside, node) != item.inside.end();
}

const std::string& Figure::label_of(std::uint32_t i) {
  const auto [at, added] = labels_.try_emplace(i);
  if (added) at->second = labelled(i);
  return at->second;
}

// What made a node, with the function that an op applies to its result in one go: "linear, tanh".
std::string Figure::labelled(std::uint32_t i) const {
  const Node& node = trace_.node(i);
  if (node.is_leaf()) return node.requires_grad() ? "parameter" : "data";
  const std::string op = op_of(node);
  if (node.op()->elementwise() || !trace_.forward(i) || node.is_output()) return op;
  std::vector<Tensor> operands;
  for (std::uint32_t k = 0; k < node.inputs().size(); ++k)
    operands.push_back(trace_.replay().operand(i, k));
  LastOperation observer;
  const NoGrad guard;
  {
    const Observing observing(observer);
    if (!detail::written_out_said(node, operands).defined()) return op;
  }
  if (!observer.last || !observer.last->op()->elementwise()) return op;
  const Role role = detail::role_said(*observer.last);
  return role.is(Role::Kind::other) ? fmt::format("{}, {}", op, observer.last->op()->name()) : op;
}

std::string Figure::range_of(std::uint32_t i) const {
  const auto& [least, most, norm, finite] = measures_.values[i];
  if (trace_.node(i).shape().numel() == 0) return "";
  return !finite         ? "not finite"
         : least == most ? fmt::format("{:.3g}", least)
                         : fmt::format("{:.3g} … {:.3g}", least, most);
}

std::string Figure::norm_text(std::uint32_t i) const {
  const Statistics& gradient = measures_.gradients[i];
  return gradient.finite ? fmt::format("‖d‖ {:.2g}", gradient.norm) : "‖d‖ not finite";
}

bool Figure::is_step(const View::Item& item) const {
  return !item.inside.empty() && steps_.step_of[item.inside.front()] == item.module;
}

// The last tensor of a module that has a gradient.
std::uint32_t Figure::last_result(const View::Item& item) const {
  std::uint32_t last = item.inside.front();
  for (const std::uint32_t i : item.inside)
    if (!trace_.node(i).is_leaf() && trace_.is_tensor(i) && trace_.gradient(i))
      last = std::max(last, i);
  return last;
}

// The gradient of all parameters that a module has for itself; of what leaves it where it has none,
// as a step of a loop.
double Figure::norm_of(const View::Item& item) const {
  if (item.module.empty()) return measures_.gradients[item.node].norm;
  double squares = 0;
  for (const std::uint32_t i : item.inside)
    if (is_parameter(i) &&
        std::ranges::all_of(uses_[i], [&](std::uint32_t use) { return contains(item, use); }))
      squares += measures_.gradients[i].norm * measures_.gradients[i].norm;
  return squares > 0 ? std::sqrt(squares) : measures_.gradients[last_result(item)].norm;
}

std::vector<std::string> Figure::lines_of(const View::Item& item) {
  if (!item.module.empty()) return lines_of_module(item);
  const std::uint32_t i = item.node;
  if (item.is_copy) return {names_.tensor(i)};
  const std::string label = label_of(i);
  const Node& node = trace_.node(i);
  if (!trace_.is_tensor(i)) return {label};
  std::vector<std::string> lines{node.name().empty() ? label : names_.tensor(i) + " · " + label,
                                 to_string(node.shape())};
  if (const std::string range = range_of(i); !range.empty()) lines.push_back(range);
  if (trace_.gradient(i)) lines.push_back(norm_text(i));
  return lines;
}

std::vector<std::string> Figure::lines_of_module(const View::Item& item) {
  std::vector<std::string> operations;
  std::size_t parameters = 0;
  for (const std::uint32_t i : item.inside) {
    // What only moves data about is not what a module does.
    if (!trace_.node(i).is_leaf() && trace_.node(i).requires_grad())
      operations.push_back(label_of(i));
    parameters += is_parameter(i);
  }
  const bool step = is_step(item);
  const std::uint32_t result = last_result(item);
  std::vector<std::string> lines{!step ? item.module + " · module"
                                 : trace_.node(result).name().empty()
                                     ? item.module
                                     : item.module + " · " + names_.tensor(result)};
  const bool listed = operations.size() <= most_listed;
  if (listed) lines.push_back(fmt::format("{}", fmt::join(operations, " → ")));
  if (!step || !listed) lines.push_back(counted(operations.size(), "operation"));
  if (!step) lines.push_back(counted(parameters, "parameter"));
  lines.push_back(fmt::format("‖d‖ {:.2g}", norm_of(item)));
  return lines;
}

const Note& Figure::note_of(std::uint32_t i) {
  const auto [at, added] = notes_.try_emplace(i);
  Note& note = at->second;
  if (!added) return note;
  const Node& node = trace_.node(i);
  note.node = i;
  note.place = place_of(node);
  note.title = label_of(i);
  if (!trace_.is_tensor(i)) return note;
  const std::string name = names_.tensor(i);
  note.title = fmt::format("{} {} {}", name, to_string(node.shape()), name_of(node.dtype()));
  if (trace_.forward(i))
    note.forward = fmt::format("{} = {}", name, names_.text(trace_.forward(i)));
  note.numbers = range_of(i);
  if (trace_.gradient(i)) {
    note.gradient = fmt::format(
        "{} = {}", derivation::symbol_text(name, derivation::Format::unicode, trace_.derivative()),
        names_.text(derivation::simplified(trace_, i, points_).back().expression));
    note.numbers += (note.numbers.empty() ? "" : ", ") + norm_text(i);
  }
  return note;
}

std::vector<Note> Figure::notes() {
  std::vector<Note> with, without;
  for (std::uint32_t i = static_cast<std::uint32_t>(trace_.size()); i-- > 0;)
    (trace_.gradient(i) ? with : without).push_back(note_of(i));
  with.insert(with.end(), without.begin(), without.end());
  return with;
}

std::string Figure::tooltip_of(const View::Item& item) {
  if (item.is_copy)  // the rest is said where it stands first
    return fmt::format("{} {}", names_.tensor(item.node),
                       to_string(trace_.node(item.node).shape()));
  std::string text = item.module;
  const auto add = [&](const std::string& line) {
    if (!line.empty()) text += (text.empty() ? "" : "\n") + line;
  };
  if (item.module.empty()) {
    const Note& note = note_of(item.node);
    for (const std::string& line : {note.title, note.forward, note.gradient, note.place}) add(line);
    return text;
  }
  for (const std::uint32_t i : item.inside)
    if (trace_.forward(i)) add(note_of(i).forward);
  for (const std::uint32_t i : item.inside)
    if (is_parameter(i))
      add(fmt::format("{} {}, {}", names_.tensor(i), to_string(trace_.node(i).shape()),
                      norm_text(i)));
  return text;
}

}  // namespace chainrule::picture
