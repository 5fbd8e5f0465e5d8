#pragma once

#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include <chainrule/core/error.hpp>

namespace chainrule::derivation {

/// What f() computes at a point that no person chose, which may be outside of an operation's
/// domain: nothing where it throws, as that is no error of the program. What says that memory ran
/// out is thrown on.
template <class F>
std::optional<std::invoke_result_t<F>> attempt(F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const MemoryError&) {
    throw;
  } catch (...) {
    return std::nullopt;
  }
}

}  // namespace chainrule::derivation
