#pragma once

#include <new>
#include <utility>

#include <chainrule/core/dtype.hpp>
#include <chainrule/core/error.hpp>
#include <chainrule/core/shape.hpp>

namespace chainrule::detail {

/// Throws a MemoryError "f: no memory" of the user's line; in a handler.
[[noreturn]] void throw_no_memory(const char* function, const Where& where);
/// The same for a tensor, with what it takes.
[[noreturn]] void throw_no_memory_for(const char* function, const Shape& shape, DType dtype,
                                      const Where& where);

/// Calls f() for a public function: where memory runs out in it, in whatever part, the error names
/// the function and the user's line.
template <class F>
decltype(auto) naming_memory(const char* function, const Where& where, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (const std::bad_alloc&) {
    throw_no_memory(function, where);
  } catch (const MemoryError& error) {
    if (error.has_place()) throw;
    throw_no_memory(function, where);
  }
}

}  // namespace chainrule::detail
