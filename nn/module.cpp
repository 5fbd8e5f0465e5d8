#include <chainrule/nn/module.hpp>

#include <cxxabi.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <typeinfo>
#include <unordered_set>

#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>

namespace chainrule::nn {

// Whoever links a module links what gdb is to know of it (layers/gdb_types.cpp).
namespace detail {
struct Types;
extern const Types gdb_types;
}  // namespace detail
[[gnu::used]] static const detail::Types* const types = &detail::gdb_types;

namespace {

std::string join(std::string_view prefix, std::string_view name) {
  return prefix.empty() ? std::string(name) : fmt::format("{}.{}", prefix, name);
}

// Row-major elements that belong to nobody else.
Ref<Value> own(Tensor&& tensor) {
  Ref<Value> value = tensor.value_ref();
  tensor = Tensor();
  return value->exclusive() ? value : kernels::copied(*value);
}

std::int64_t numel_of(std::span<const NamedTensor> tensors) {
  std::int64_t count = 0;
  for (const NamedTensor& each : tensors) count += each.tensor.numel();
  return count;
}

}  // namespace

// --- calls ---

thread_local constinit const Module::Call* Module::current_call = nullptr;

Module::Call::Call(const Module& module, const Where& where) noexcept
    : module(&module), where(&where), outer(std::exchange(current_call, this)) {}

Module::Call::~Call() { current_call = outer; }

Where Module::where(Where here) const noexcept {
  return current_call && current_call->module == this ? *current_call->where : here;
}

Tensor Module::forward(const Tensor&) {
  ValueError error(fmt::format("{}: there is no forward(x)", description()), where(Where()),
                   "override Tensor forward(const Tensor& x), or call it as it is declared");
  locate(error);
  throw error;
}

Tensor Module::operator()(const Tensor& x, Where where) {
  return call({&x}, where, [&] { return forward(x); });
}

// The module, and its path from the outermost one that it is registered in. A path says nothing of
// calls between modules that are not registered with each other: the callers follow, one of each
// such tree.
void Module::locate(Error& error) const noexcept {
  if (error.has_context()) return;
  try {
    const auto holder = [](const Module* module) {
      while (module->parent_) module = module->parent_;
      return module;
    };
    std::string context = "in " + description_with_path();
    std::vector<const Module*> said = {holder(this)};
    for (const Call* call = current_call; call; call = call->outer) {
      const Module* of = holder(call->module);
      if (std::ranges::find(said, of) != said.end()) continue;
      said.push_back(of);
      context += ", called in " + call->module->description_with_path();
    }
    error.set_context(context);
  } catch (...) {
    // A description that fails, or no memory for it: the error itself is what counts.
  }
}

void Module::throw_moved(const Where& where) const {
  throw ValueError(fmt::format("{}: this module was moved from", class_name()), where,
                   "use the one that it was moved to; std::move(module) leaves nothing to compute "
                   "with");
}

bool Module::must_look(const Call& call) const noexcept {
  return !looked_.load(std::memory_order_relaxed) && training_ && !call.outer && is_recording();
}

void Module::look(std::span<const Tensor> results, std::span<const Tensor* const> inputs,
                  const Where& where) {
  chainrule::detail::naming_memory("Module", where, [&] { find_unknown(results, inputs, where); });
  looked_.store(true, std::memory_order_relaxed);
}

namespace {

// The leaves with gradients that the results depend on, but for those behind what is known.
std::vector<const Node*> leaves_beside(std::span<const Tensor> results,
                                       std::unordered_set<const Node*> known) {
  std::vector<const Node*> open, leaves;
  const auto visit = [&](const Node* node) {
    if (!node || !node->requires_grad() || !known.insert(node).second) return;
    (node->is_leaf() ? leaves : open).push_back(node);
  };
  for (const Tensor& result : results) visit(result.node());
  while (!open.empty()) {
    const Node* node = open.back();
    open.pop_back();
    for (const Node* input : node->inputs()) visit(input);
  }
  return leaves;
}

}  // namespace

void Module::find_unknown(std::span<const Tensor> results, std::span<const Tensor* const> inputs,
                          const Where& where) const {
  std::unordered_set<const Node*> known;
  for (const NamedTensor& parameter : all_parameters()) known.insert(parameter.tensor.node());
  for (const Tensor* input : inputs) known.insert(input->node());
  const std::vector<const Node*> leaves = leaves_beside(results, known);
  if (leaves.empty()) return;

  // What the inputs were computed from is theirs, if it is used once more, too. That is all
  // history, which is gone through where there is something to find alone.
  std::vector<Tensor> given;
  for (const Tensor* input : inputs) given.push_back(*input);
  for (const Node* leaf : leaves_beside(given, {})) known.insert(leaf);
  for (const Node* leaf : leaves) {
    if (known.contains(leaf)) continue;
    const Node& node = *leaf;
    std::string tensor(node.name());
    if (!tensor.empty()) tensor += ' ';
    tensor += chainrule::to_string(node.shape());
    if (node.where().line() != 0)
      tensor += fmt::format(" of {}:{}", node.where().file_name(), node.where().line());
    throw GradError(
        fmt::format("{}: forward uses a tensor {} that requires gradients but is no registered "
                    "parameter; no optimizer would train it",
                    description(), tensor),
        where,
        "declare it with parameter(\"name\", …), or the module that it belongs to with "
        "child(\"name\", …); detach() what is not to be trained");
  }
}

// --- registration ---

// The members of the class derived from this are moved next: as modules they are in the list of
// this one's children, where each takes the place of the one that it is made from.
Module::Module(Module&& other) noexcept
    : parameters_(std::move(other.parameters_)),
      buffers_(std::move(other.buffers_)),
      names_(std::move(other.names_)),
      first_child_(std::exchange(other.first_child_, nullptr)),
      last_child_(std::exchange(other.last_child_, nullptr)),
      parent_(std::exchange(other.parent_, nullptr)),
      next_(std::exchange(other.next_, nullptr)),
      previous_(std::exchange(other.previous_, nullptr)),
      name_(std::move(other.name_)),
      training_(other.training_),
      moved_from_(other.moved_from_),
      looked_(other.looked_.load(std::memory_order_relaxed)) {
  other.moved_from_ = true;
  other.parameters_.clear();
  other.buffers_.clear();
  other.names_.clear();
  for_children([this](Module& child) { child.parent_ = this; });
  if (!parent_) return;
  (previous_ ? previous_->next_ : parent_->first_child_) = this;
  (next_ ? next_->previous_ : parent_->last_child_) = this;
}

Module::~Module() {
  leave_parent();
  while (first_child_) first_child_->leave_parent();
}

void Module::leave_parent() noexcept {
  if (!parent_) return;
  parent_->names_.erase(name_);
  (previous_ ? previous_->next_ : parent_->first_child_) = next_;
  (next_ ? next_->previous_ : parent_->last_child_) = previous_;
  parent_ = next_ = previous_ = nullptr;
}

void Module::check_name(std::string_view name, const Where& where) const {
  if (name.empty())
    throw ValueError(fmt::format("{}: a name is empty", class_name()), where,
                     "parameters and modules are found by their names, as in \"fc1.weight\"");
  if (name.find('.') != name.npos)
    throw ValueError(fmt::format("{}: the name \"{}\" has a '.'", class_name(), name), where,
                     "a '.' stands between the names of modules, as in \"fc1.weight\"");
  if (names_.contains(std::string(name)))
    throw ValueError(fmt::format("{}: the name \"{}\" is used twice", class_name(), name), where,
                     "parameters, buffers and modules of one module have different names");
}

void Module::changed() noexcept {
  for (Module* module = this; module; module = module->parent_)
    module->looked_.store(false, std::memory_order_relaxed);
}

// In both or in none.
void Module::enter(std::vector<NamedTensor>& table, NamedTensor entry) {
  if (table.size() == table.capacity()) table.reserve(2 * table.size() + 2);
  names_.insert(entry.name);
  table.push_back(std::move(entry));
}

Parameter Module::parameter(std::string_view name, Tensor initial, Where where) {
  return Parameter(chainrule::detail::naming_memory(
      "parameter", where, [&] { return register_parameter(name, std::move(initial), where); }));
}

Tensor Module::register_parameter(std::string_view name, Tensor initial, const Where& where) {
  check_name(name, where);
  const auto what = [&] { return fmt::format("{}: parameter \"{}\"", class_name(), name); };
  if (!initial.defined())
    throw ValueError(what() + ": the initial value is an undefined tensor", where,
                     "give it its first elements: zeros(shape), randn(shape), nn/init/init.hpp");
  if (!is_floating(initial.dtype()))
    throw DTypeError(
        fmt::format("{} holds {}, but f32 or f64 is needed", what(), name_of(initial.dtype())),
        where, "convert it with to(x, f32), or keep it as a buffer(\"name\", …)");
  if (!initial.is_leaf())
    throw GradError(fmt::format("{}: the initial value {} is the result of a recorded operation",
                                what(), describe(initial)),
                    where, "take its elements alone: detach()");
  if (initial.requires_grad() && (!initial.is_contiguous() || initial.value_ref()->read_only()))
    throw ValueError(fmt::format("{}: {}, which is to be shared, is {}", what(), describe(initial),
                                 initial.is_contiguous() ? "borrowed memory that is const"
                                                         : "a view that is not row-major"),
                     where, "detach() takes a copy of its elements");
  if (!initial.requires_grad()) {
    initial = Tensor(own(std::move(initial))).requires_grad_(true, where).named(name);
  } else if (initial.name().empty()) {
    initial = initial.named(name);
  }
  enter(parameters_, {std::string(name), initial});
  changed();
  return initial;
}

Buffer Module::buffer(std::string_view name, Tensor initial, Where where) {
  return Buffer(chainrule::detail::naming_memory(
      "buffer", where, [&] { return register_buffer(name, std::move(initial), where); }));
}

Tensor Module::register_buffer(std::string_view name, Tensor initial, const Where& where) {
  check_name(name, where);
  if (!initial.defined())
    throw ValueError(fmt::format("{}: buffer \"{}\": the initial value is an undefined tensor",
                                 class_name(), name),
                     where, "give it its first elements: zeros(shape)");
  if (initial.requires_grad())
    throw GradError(fmt::format("{}: buffer \"{}\": {} requires gradients", class_name(), name,
                                describe(initial)),
                    where, "declare it as a parameter, or take its elements alone: detach()");
  initial = Tensor(own(std::move(initial))).named(name, where);
  enter(buffers_, {std::string(name), initial});
  return initial;
}

void Module::adopt(std::string_view name, Module* module, const Where& where) {
  chainrule::detail::naming_memory("child", where, [&] { register_child(name, module, where); });
}

void Module::register_child(std::string_view name, Module* module, const Where& where) {
  check_name(name, where);
  if (!module)
    throw ValueError(fmt::format("{}: child \"{}\": there is no module", class_name(), name), where,
                     "the pointer is null: was it moved from?");
  module->check_not_moved(where);
  std::string key(name);
  // A tensor that is named by its path in the child is now named by its path in this module. One
  // with another name has it from another module, with which it is shared.
  module->walk(key, [&](const std::string& path, const Module& at) {
    for (const auto* table : {&at.parameters_, &at.buffers_})
      for (const NamedTensor& entry : *table) {
        const std::string full = join(path, entry.name);
        Node& node = *entry.tensor.node();
        if (node.name() == std::string_view(full).substr(key.size() + 1)) node.set_name(full);
      }
  });
  names_.insert(key);
  module->leave_parent();
  module->parent_ = this;
  module->name_ = std::move(key);
  module->previous_ = last_child_;
  (last_child_ ? last_child_->next_ : first_child_) = module;
  last_child_ = module;
  if (module->training_ != training_) module->train(training_, where);
  moved_from_ = false;  // it is filled again
  changed();
}

// --- what it is made of ---

template <class Visit>
void Module::walk(const std::string& prefix, Visit&& visit) const {
  visit(prefix, *this);
  for_children([&](const Module& child) { child.walk(join(prefix, child.name_), visit); });
}

std::vector<NamedModule> Module::children(Where where) const {
  check_not_moved(where);
  return chainrule::detail::naming_memory("children", where, [&] {
    std::vector<NamedModule> all;
    for_children([&](Module& child) { all.push_back({child.name_, &child}); });
    return all;
  });
}

std::vector<NamedTensor> Module::all_parameters() const {
  std::vector<NamedTensor> all;
  std::unordered_set<const Node*> seen;
  walk("", [&](const std::string& path, const Module& module) {
    for (const NamedTensor& entry : module.parameters_)
      if (seen.insert(entry.tensor.node()).second)
        all.push_back({join(path, entry.name), entry.tensor});
  });
  return all;
}

std::vector<NamedTensor> Module::named_parameters(Where where) const {
  check_not_moved(where);
  return chainrule::detail::naming_memory("named_parameters", where,
                                          [&] { return all_parameters(); });
}

std::vector<Tensor> Module::parameters(Where where) const {
  check_not_moved(where);
  return chainrule::detail::naming_memory("parameters", where, [&] {
    std::vector<Tensor> all;
    for (NamedTensor& entry : all_parameters()) all.push_back(std::move(entry.tensor));
    return all;
  });
}

std::vector<NamedTensor> Module::named_buffers(Where where) const {
  check_not_moved(where);
  return chainrule::detail::naming_memory("named_buffers", where, [&] {
    std::vector<NamedTensor> all;
    walk("", [&](const std::string& path, const Module& module) {
      for (const NamedTensor& entry : module.buffers_)
        all.push_back({join(path, entry.name), entry.tensor});
    });
    return all;
  });
}

std::vector<NamedModule> Module::named_modules(Where where) {
  check_not_moved(where);
  return chainrule::detail::naming_memory("named_modules", where, [&] {
    std::vector<NamedModule> all;
    walk("", [&](const std::string& path, const Module& module) {
      all.push_back({path, const_cast<Module*>(&module)});
    });
    return all;
  });
}

std::int64_t Module::parameter_count(Where where) const {
  check_not_moved(where);
  return chainrule::detail::naming_memory("parameter_count", where,
                                          [&] { return numel_of(all_parameters()); });
}

std::string Module::path(Where where) const {
  check_not_moved(where);
  return chainrule::detail::naming_memory("path", where, [&] { return path_from_outermost(); });
}

std::string Module::path_from_outermost() const {
  return parent_ ? join(parent_->path_from_outermost(), name_) : "";
}

std::string Module::description_with_path() const {
  const std::string at = path_from_outermost();
  return at.empty() ? description() : fmt::format("{} {}", description(), at);
}

void Module::train(bool on, Where where) {
  check_not_moved(where);
  training_ = on;
  for_children([&](Module& child) { child.train(on, where); });
}

void Module::zero_grad(Where where) {
  check_not_moved(where);
  for (NamedTensor& entry : parameters_) entry.tensor.zero_grad();
  for_children([&](Module& child) { child.zero_grad(where); });
}

// --- printing ---

std::string Module::class_name(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> demangled(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free);
  if (status == -1) throw std::bad_alloc();
  const std::string_view name = demangled ? demangled.get() : type.name();
  int depth = 0;
  for (std::size_t i = name.size(); i-- > 0;) {
    if (name[i] == '>' || name[i] == ')') ++depth;
    if (name[i] == '<' || name[i] == '(') --depth;
    if (depth == 0 && name[i] == ':') return std::string(name.substr(i + 1));
  }
  return std::string(name);
}

// A class that was compiled with -fno-rtti has a null pointer where its virtual table holds the
// address of its type_info (Itanium C++ ABI 2.5.2: the word in front of the functions); typeid and
// dynamic_cast would read through it.
const std::type_info* Module::type_of(const Module& module) noexcept {
  const void* const* functions;
  std::memcpy(&functions, static_cast<const void*>(&module), sizeof functions);
  return functions[-1] ? &typeid(module) : nullptr;
}

std::string Module::class_name() const {
  const std::type_info* type = type_of(*this);
  return type ? class_name(*type) : "Module";
}

std::string Module::description() const {
  return moved_from_ ? class_name() + "(moved from)" : class_name();
}

std::string Module::to_string(Where where) const {
  return chainrule::detail::naming_memory("to_string", where, [&] { return written(); });
}

std::string Module::written() const {
  struct Line {
    std::string text;
    std::int64_t count;
  };
  std::vector<Line> lines;
  walk("", [&](const std::string& path, const Module& module) {
    const auto dots = std::ranges::count(path, '.');
    const auto depth = static_cast<std::size_t>(path.empty() ? 0 : dots + 1);
    const auto name = [](std::string_view text) { return text.substr(text.rfind('.') + 1); };
    std::string text(2 * depth, ' ');
    if (!path.empty()) text += fmt::format("{}: ", name(path));
    lines.push_back({text + module.description(), numel_of(module.all_parameters())});
    if (!module.lists_parameters()) return;
    const std::string indent(2 * depth + 2, ' ');
    for (const NamedTensor& entry : module.parameters_)
      lines.push_back({fmt::format("{}{}: Parameter {}", indent, entry.name,
                                   chainrule::to_string(entry.tensor.shape())),
                       entry.tensor.numel()});
    for (const NamedTensor& entry : module.buffers_)
      lines.push_back({fmt::format("{}{}: Buffer {}", indent, entry.name,
                                   chainrule::to_string(entry.tensor.shape())),
                       0});
  });
  std::size_t width = 0;
  for (const Line& line : lines) width = std::max(width, line.text.size());
  const std::size_t digits = fmt::formatted_size("{}", lines.front().count);
  std::string all;
  for (const Line& line : lines) {
    if (!all.empty()) all += '\n';
    if (line.count == 0)
      all += line.text;
    else
      all += fmt::format("{:<{}}  {:>{}}", line.text, width, line.count, digits);
    if (&line == &lines.front()) all += fmt::format("{} parameters", line.count ? "" : "  no");
  }
  return all;
}

std::ostream& operator<<(std::ostream& out, const Module& module) {
  return out << module.to_string(Where());
}

}  // namespace chainrule::nn
