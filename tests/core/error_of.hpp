#pragma once

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <string>
#include <typeinfo>

#include <chainrule/core/error.hpp>

/// The message of the exception of type E that f() throws, so that a test can compare it as a
/// whole. Its location is replaced by "HERE" when it is in the caller's file, within `span` lines
/// after the call of error_of; elsewhere it stays, and the test fails.
template <class E, class F>
std::string error_of(F&& f, long span = 3, chainrule::Where caller = chainrule::Where::current()) {
  std::string text;
  try {
    f();
    return "nothing was thrown";
  } catch (const E& error) {
    text = error.what();
    if (typeid(error) != typeid(E)) return "thrown was a type derived from it: " + text;
  } catch (const std::exception& error) {
    return std::string("thrown was another type: ") + error.what();
  }
  const std::string at = std::string("\n  at ") + caller.file_name() + ":";
  const std::size_t found = text.find(at);
  if (found == std::string::npos) return text;
  const std::size_t number = found + at.size();
  const std::size_t end = std::min(text.find('\n', number), text.size());
  const long line = std::atol(text.substr(number, end - number).c_str());
  const long called = static_cast<long>(caller.line());
  if (line < called || line > called + span) return text;
  return text.substr(0, found) + "\n  at HERE" + text.substr(end);
}
