#pragma once

#include <chainrule/graph/checking/check_derivation.hpp>

/// check_derivation() as an assertion of doctest, which the test includes itself: fails with the
/// whole report unless every formula agrees.
///
///     CHECK_DERIVATION(loss, {{"dz3", z3, p - y}, {"dW3", W3, matmul(p - y, h2.T())}});
#define CHECK_DERIVATION(loss, ...)                                          \
  do {                                                                       \
    const chainrule::DerivationReport chainrule_report_ =                    \
        chainrule::check_derivation((loss), __VA_ARGS__);                    \
    CHECK_MESSAGE(chainrule_report_.ok(), "\n" << chainrule_report_.text()); \
  } while (false)
