#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <typeinfo>
#include <unordered_set>
#include <utility>
#include <vector>

#include <chainrule/core/error.hpp>
#include <chainrule/core/tensor.hpp>
#include <chainrule/nn/parameter.hpp>

namespace chainrule::nn {

class Module;

/// A tensor and where it stands: "fc1.weight".
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// A module and where it stands: "encoder.fc1", or "" for the module that was asked.
struct NamedModule {
  std::string name;
  Module* module;
};

/// The base of everything that has parameters. A module declares its members like this, and that
/// alone registers them, in this order:
///
///     class Mlp : public nn::Module {
///       nn::Linear fc1 = child("fc1", nn::Linear(64, 32));
///       nn::Linear fc2 = child("fc2", nn::Linear(32, 10));
///       nn::Parameter scale = parameter("scale", ones({10}));
///
///      public:
///       Tensor forward(const Tensor& x) override { return scale * fc2(sigmoid(fc1(x))); }
///     };
///
///     Mlp model;
///     Tensor y = model(x);
///
/// Call a module, as here, instead of its forward(): the first call that is recorded while training
/// looks once at the graph of the result, and throws GradError for a tensor that requires gradients
/// but is no registered parameter of the module (nor what its inputs were computed from), since no
/// optimizer would train it. Only the outermost of nested modules looks. An Error that passes
/// through a call, of whatever class, says once in which module it happened:
///
///     linear: x (5, 63) · fc1.weight (32, 64)ᵀ does not fit
///       in Linear(64, 32) fc1
///       at my_model.cpp:41
///       hint: samples stand in rows: (batch, 64)
///
/// with the innermost module and its path from the outermost one.
///
/// Modules can be moved, also into functions, std::vector and std::unique_ptr, and neither copied
/// nor assigned. One that was moved from can be printed and given a child again, as
/// Sequential::append() does; until then everything else that it is asked for throws ValueError.
/// Names are not empty, have no '.', and are used once in a module (ValueError).
class Module {
 public:
  Module(Module&& other) noexcept;
  Module& operator=(Module&&) = delete;
  virtual ~Module();

  /// The computation, for modules of one input. Throws ValueError unless overridden.
  virtual Tensor forward(const Tensor& x);
  /// forward(x), with all of the above; errors name the line of this call.
  Tensor operator()(const Tensor& x, Where where = Where::current());

  // --- what it is made of ---

  /// All parameters: those of this module, then those of its children, each in the order of
  /// declaration. One that stands in several places is given once, under its first name.
  std::vector<Tensor> parameters(Where where = Where::current()) const;
  std::vector<NamedTensor> named_parameters(Where where = Where::current()) const;
  /// The tensors of the state that are not trained, in the same order.
  std::vector<NamedTensor> named_buffers(Where where = Where::current()) const;
  /// The modules right below this one, with their names in it.
  std::vector<NamedModule> children(Where where = Where::current()) const;
  /// This module, named "", and all below it, each before its children.
  std::vector<NamedModule> named_modules(Where where = Where::current());
  /// How many numbers are trained.
  std::int64_t parameter_count(Where where = Where::current()) const;
  /// Where this module stands below the outermost one: "encoder.fc1", or "".
  std::string path(Where where = Where::current()) const;

  // --- training ---

  /// Says to this module and all below it whether they are being trained. They begin with true.
  void train(bool on = true, Where where = Where::current());
  /// The same as train(false).
  void eval(Where where = Where::current()) { train(false, where); }
  bool is_training() const noexcept { return training_; }
  /// Removes the gradients of all parameters.
  void zero_grad(Where where = Where::current());

  // --- printing ---

  /// The tree of modules, with the shapes of their parameters and how many numbers they hold. Of
  /// ready-made layers the description says the shapes.
  std::string to_string(Where where = Where::current()) const;
  friend std::ostream& operator<<(std::ostream& out, const Module& module);
  /// What to_string() and errors call this module: the name of its class, or "Module" where that
  /// was compiled with -fno-rtti. Ready-made layers add their sizes: "Linear(64, 32)".
  virtual std::string description() const;

 protected:
  /// Whether to_string() lists the parameters of this module itself: not those of layers whose
  /// description() says all of their shapes.
  virtual bool lists_parameters() const { return true; }

  Module() noexcept = default;

  /// Registers a trained tensor with the elements of `initial`, which is f32 or f64. It owns its
  /// elements, so that tensors made from one `initial` do not share them; but an initial value that
  /// is a parameter already is shared, and trained as one (tied weights). Throws GradError for the
  /// result of a recorded operation, DTypeError unless floating.
  Parameter parameter(std::string_view name, Tensor initial, Where where = Where::current());
  /// Registers a tensor of the state that is not trained. It owns its elements.
  Buffer buffer(std::string_view name, Tensor initial, Where where = Where::current());
  /// Registers a module, and hands it on to the member that is to hold it.
  template <std::derived_from<Module> M>
  M child(std::string_view name, M module, Where where = Where::current()) {
    adopt(name, &module, where);
    return module;
  }
  /// The same for a module that is held by a pointer.
  template <std::derived_from<Module> M>
  std::unique_ptr<M> child(std::string_view name, std::unique_ptr<M> module,
                           Where where = Where::current()) {
    adopt(name, module.get(), where);
    return module;
  }

  bool is_moved_from() const noexcept { return moved_from_; }
  /// Throws the ValueError of a module that was moved from.
  void check_not_moved(const Where& where) const {
    if (moved_from_) [[unlikely]]
      throw_moved(where);
  }

  /// The line of the call that this module is in, for the operations in forward().
  Where where(Where here = Where::current()) const noexcept;

  /// What a module of other signature calls its forward by, for what operator() does:
  ///
  ///     using Module::forward;  // or compilers warn that the next line hides it
  ///     Tensor forward(const Tensor& a, const Tensor& b) { … }
  ///     Tensor operator()(const Tensor& a, const Tensor& b, Where where = Where::current()) {
  ///       return call({&a, &b}, where, [&] { return forward(a, b); });
  ///     }
  ///
  /// f() returns a Tensor, or a container of them with contiguous elements. Exceptions that are no
  /// Error pass as they are.
  template <class F>
  auto call(std::initializer_list<const Tensor*> inputs, const Where& where, F&& f);

  /// What forward() of a ready-made layer does with its computation f: a caller of forward()
  /// instead of the module gets a call of it all the same, at the line of the call that it stands
  /// in; where it stands in none, nobody knows the line.
  template <class F>
  Tensor forward_as_call(const Tensor& x, F&& f) {
    if (current_call && current_call->module == this) return f();
    return call({&x}, current_call ? *current_call->where : Where(), std::forward<F>(f));
  }

  /// The class of a module; null for one that was compiled with -fno-rtti.
  static const std::type_info* type_of(const Module& module) noexcept;
  /// The name of a class without its namespaces, for messages.
  static std::string class_name(const std::type_info& type);

 private:
  // What the calling thread is in; the innermost first.
  struct Call {
    explicit Call(const Module& module, const Where& where) noexcept;
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call();
    const Module* module;
    const Where* where;
    const Call* outer;
  };
  static thread_local constinit const Call* current_call;
  // Adds to an error of this module where the module stands, unless that was said already.
  void locate(Error& error) const noexcept;
  std::string description_with_path() const;

  // For messages of the registration, in which a module may not have the members yet that its
  // description() reads.
  std::string class_name() const;
  Tensor register_parameter(std::string_view name, Tensor initial, const Where& where);
  Tensor register_buffer(std::string_view name, Tensor initial, const Where& where);
  void register_child(std::string_view name, Module* module, const Where& where);
  void adopt(std::string_view name, Module* module, const Where& where);
  void leave_parent() noexcept;
  void enter(std::vector<NamedTensor>& table, NamedTensor entry);
  void check_name(std::string_view name, const Where& where) const;
  void changed() noexcept;
  [[noreturn]] void throw_moved(const Where& where) const;
  std::vector<NamedTensor> all_parameters() const;
  bool must_look(const Call& call) const noexcept;
  void look(std::span<const Tensor> results, std::span<const Tensor* const> inputs,
            const Where& where);
  void find_unknown(std::span<const Tensor> results, std::span<const Tensor* const> inputs,
                    const Where& where) const;
  std::string written() const;
  template <class Visit>
  void walk(const std::string& prefix, Visit&& visit) const;

  // Calls f for the modules right below this one.
  template <class F>
  void for_children(F f) const {
    for (Module* child = first_child_; child; child = child->next_) f(*child);
  }
  std::string path_from_outermost() const;

  std::vector<NamedTensor> parameters_;
  std::vector<NamedTensor> buffers_;
  std::unordered_set<std::string> names_;  // of both and of the children
  // The children are a list through the modules themselves, so that any of them can be moved or
  // destroyed without a search.
  Module* first_child_ = nullptr;
  Module* last_child_ = nullptr;
  Module* parent_ = nullptr;
  Module* next_ = nullptr;  // of the same parent
  Module* previous_ = nullptr;
  std::string name_;  // in the parent
  bool training_ = true;
  bool moved_from_ = false;
  std::atomic<bool> looked_{false};
};

template <class F>
auto Module::call(std::initializer_list<const Tensor*> inputs, const Where& where, F&& f) {
  check_not_moved(where);
  const Call call(*this, where);
  auto results = [&] {
    try {
      return std::forward<F>(f)();
    } catch (Error& error) {
      locate(error);
      throw;
    }
  }();
  if (must_look(call)) {
    if constexpr (std::derived_from<decltype(results), Tensor>)
      look({&results, 1}, inputs, where);
    else
      look(results, inputs, where);
  }
  return results;
}

}  // namespace chainrule::nn
