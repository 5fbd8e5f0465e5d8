#pragma once

#include <new>
#include <utility>

#include <chainrule/core/out_of_memory.hpp>

namespace chainrule::detail {

/// naming_memory() for a function that calls operations of its own, whose lines are none of the
/// user's: the error names the function and the user's line also where one of them had no memory.
template <class F>
decltype(auto) naming_all_memory(const char* function, const Where& where, F&& f) {
  return naming_memory(function, where, [&]() -> decltype(auto) {
    try {
      return std::forward<F>(f)();
    } catch (const MemoryError&) {
      throw std::bad_alloc();
    }
  });
}

}  // namespace chainrule::detail
