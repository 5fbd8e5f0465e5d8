#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <chainrule/nn/module.hpp>

namespace chainrule::nn {

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
    (append(std::move(modules)), ...);
  }

  /// Adds a module at the end.
  template <class M>
    requires std::derived_from<M, Module>
  Sequential& append(M&& module, Where where = Where::current()) {
    return append(std::unique_ptr<Module>(std::make_unique<M>(std::move(module))), where);
  }
  Sequential& append(std::unique_ptr<Module> module, Where where = Where::current());

  /// Calls the modules in their order; x itself when there are none.
  Tensor forward(const Tensor& x) override;

  std::size_t size() const noexcept { return modules_.size(); }
  /// The module at this place; negative ones count from the end. Throws IndexError.
  Module& operator[](std::ptrdiff_t i) const { return at(i, Where::current()); }
  /// The same as what it is: `model.get<nn::Linear>(0).weight`. Throws ValueError for another type.
  template <std::derived_from<Module> M>
  M& get(std::ptrdiff_t i, Where where = Where::current()) const {
    Module& module = at(i, where);
    if (M* typed = dynamic_cast<M*>(&module)) return *typed;
    throw_type(module, typeid(M), where);
  }

 private:
  Module& at(std::ptrdiff_t i, const Where& where) const;
  [[noreturn]] static void throw_type(const Module& module, const std::type_info& wanted,
                                      const Where& where);

  std::vector<std::unique_ptr<Module>> modules_;
};

}  // namespace chainrule::nn
