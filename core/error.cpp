#include <chainrule/core/error.hpp>

#include <fmt/format.h>

namespace chainrule {

namespace {

std::string compose(std::string_view message, const Where& where, std::string_view hint) {
  std::string text(message);
  if (where.line() != 0) text += fmt::format("\n  at {}:{}", where.file_name(), where.line());
  if (!hint.empty()) text += fmt::format("\n  hint: {}", hint);
  return text;
}

}  // namespace

Error::Error(std::string_view message) : std::runtime_error(std::string(message)) {}

Error::Error(std::string_view message, const Where& where, std::string_view hint)
    : std::runtime_error(compose(message, where, hint)) {}

}  // namespace chainrule
