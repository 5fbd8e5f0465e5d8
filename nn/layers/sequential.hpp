#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <typeinfo>
#include <utility>
#include <vector>

#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/module.hpp>

namespace chainrule::nn {

/// The place of a module: 0, 1, …, or −1, −2, … from the end. It also carries the caller's line.
class Place {
 public:
  template <std::integral I>
  Place(I index, Where where = Where::current()) noexcept
      : index_(static_cast<std::ptrdiff_t>(index)), where_(where) {}

  std::ptrdiff_t index() const noexcept { return index_; }
  const Where& where() const noexcept { return where_; }

 private:
  std::ptrdiff_t index_;
  Where where_;
};

/// Modules that are called one after the other, named "0", "1", …:
///
///     nn::Sequential model(nn::Linear(64, 32), nn::Sigmoid(), nn::Linear(32, 10));
///
/// Modules that have names already are moved in: `nn::Sequential(std::move(body), nn::Tanh())`.
class Sequential : public Module {
 public:
  template <class... Modules>
    requires(std::derived_from<Modules, Module> && ...)
  explicit Sequential(Modules&&... modules) {
    (append(std::move(modules), Where()), ...);  // of which nobody knows the line
  }

  /// Adds a module at the end. Fills one that was moved from, and is empty since, again.
  template <class M>
    requires std::derived_from<M, Module>
  Sequential& append(M&& module, Where where = Where::current()) {
    return append(
        chainrule::detail::naming_memory(
            "Sequential", where,
            [&] { return std::unique_ptr<Module>(std::make_unique<M>(std::move(module))); }),
        where);
  }
  Sequential& append(std::unique_ptr<Module> module, Where where = Where::current());

  /// Calls the modules in their order; x itself when there are none.
  Tensor forward(const Tensor& x) override;

  std::size_t size() const noexcept { return modules_.size(); }
  /// The module at this place. Throws IndexError, ValueError when this was moved from.
  Module& operator[](const Place& place) const;
  /// The same as what it is: `model.get<nn::Linear>(0).weight`. Throws ValueError for another type.
  /// Does not compile with -fno-rtti, under which nobody knows what a module is.
  template <std::derived_from<Module> M>
  M& get([[maybe_unused]] const Place& place) const {
#ifdef __cpp_rtti
    Module& module = (*this)[place];
    if (type_of(module))
      if (M* typed = dynamic_cast<M*>(&module)) return *typed;
    throw_type(module, typeid(M), place.where());
#else
    static_assert(sizeof(M) == 0,
                  "chainrule: get() needs RTTI; without it, static_cast<M&>(model[place])");
#endif
  }

 private:
  [[noreturn]] static void throw_type(const Module& module, const std::type_info& wanted,
                                      const Where& where);

  // One call of forward(): of a module, or of a layer together with the activation behind it.
  struct Step {
    Module* module;
    Linear* linear;
    Activation activation;
  };
  void plan_end();

  std::vector<std::unique_ptr<Module>> modules_;
  std::vector<Step> steps_;
};

}  // namespace chainrule::nn
