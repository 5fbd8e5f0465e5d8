#pragma once

#include <utility>

#include <chainrule/core/out_of_memory.hpp>

namespace chainrule::detail {

/// Throws a MemoryError of the user's line that names the function, and in what it was called: the
/// operation that `error` is of, if that says where.
[[noreturn]] void throw_no_memory_in(const char* function, const MemoryError& error,
                                     const Where& where);

/// naming_memory() for a function that calls operations of its own, whose lines are none of the
/// user's: the error names the function and the user's line also where one of them had no memory.
template <class F>
decltype(auto) naming_all_memory(const char* function, const Where& where, F&& f) {
  return naming_memory(function, where, [&]() -> decltype(auto) {
    try {
      return std::forward<F>(f)();
    } catch (const MemoryError& error) {
      throw_no_memory_in(function, error, where);
    }
  });
}

}  // namespace chainrule::detail
