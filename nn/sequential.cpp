#include <chainrule/nn/sequential.hpp>

#include <fmt/format.h>

namespace chainrule::nn {

Sequential& Sequential::append(std::unique_ptr<Module> module, Where where) {
  if (!module) throw ValueError("Sequential: append: there is no module", where);
  modules_.reserve(modules_.size() + 1);
  modules_.push_back(child(std::to_string(modules_.size()), std::move(module), where));
  return *this;
}

Tensor Sequential::forward(const Tensor& x) {
  const Where here = where();
  Tensor y = x;
  for (const std::unique_ptr<Module>& module : modules_) y = (*module)(y, here);
  return y;
}

Module& Sequential::operator[](const Place& place) const {
  const auto count = static_cast<std::ptrdiff_t>(modules_.size());
  const std::ptrdiff_t at = place.index() < 0 ? place.index() + count : place.index();
  if (at < 0 || at >= count)
    throw IndexError(fmt::format("Sequential: module {} of {}", place.index(), count),
                     place.where());
  return *modules_[static_cast<std::size_t>(at)];
}

void Sequential::throw_type(const Module& module, const std::type_info& wanted,
                            const Where& where) {
  throw ValueError(fmt::format("Sequential: module {} is a {}, not a {}", module.path(),
                               module.description(), class_name(wanted)),
                   where);
}

}  // namespace chainrule::nn
