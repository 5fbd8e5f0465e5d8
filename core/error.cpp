#include <chainrule/core/error.hpp>

#include <fmt/format.h>

#include <new>

#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/core/user_line.hpp>

namespace chainrule {

namespace {

// Without what follows a zero byte, since that is where what() ends.
std::string_view shown(std::string_view message) { return message.substr(0, message.find('\0')); }

std::string place(const Where& where) {
  return where.line() != 0 ? fmt::format("\n  at {}:{}", where.file_name(), where.line()) : "";
}

std::string line_of(std::string_view hint) {
  return hint.empty() ? "" : fmt::format("\n  hint: {}", shown(hint));
}

}  // namespace

Error::Error(std::string_view message) : Error(message, Where()) {}

// clang-format off
Error::Error(std::string_view message, const Where& where, std::string_view hint)
try : std::runtime_error(fmt::format("{}{}{}", shown(message), place(where), line_of(hint))),
      message_end_(shown(message).size()),
      context_end_(message_end_),
      place_end_(message_end_ + place(where).size()) {
} catch (const std::bad_alloc&) {
  // There may be enough for less: the function and the line.
  constexpr std::string_view less = ": no memory";
  if (message.ends_with(less)) throw;
  throw MemoryError(fmt::format("{}{}", message.substr(0, message.find(':')), less),
                    detail::user_line(where));
}
// clang-format on

void detail::throw_no_memory(const char* function, const Where& where) {
  throw MemoryError(fmt::format("{}: no memory", function), user_line(where));
}

void detail::throw_no_memory_in(const char* function, const MemoryError& error,
                                const Where& where) {
  MemoryError ours(fmt::format("{}: no memory", function), user_line(where));
  try {
    const std::string_view said = error.what();
    if (error.has_place()) ours.set_context(fmt::format("in {}", said.substr(0, said.find(':'))));
  } catch (const std::bad_alloc&) {
    // None for saying more.
  }
  throw ours;
}

void detail::throw_no_memory_for(const char* function, const Shape& shape, DType dtype,
                                 const Where& where) {
  throw MemoryError(
      fmt::format("{}: no memory for {} of {}", function, to_string(shape), name_of(dtype)),
      user_line(where),
      fmt::format("that takes {} bytes; memory_stats() says how many are in use",
                  static_cast<std::size_t>(shape.numel()) * size_of(dtype)));
}

void detail::name_operation(Error& error, const char* part, const char* op,
                            const Where& where) noexcept {
  try {
    std::string text = error.what();
    const std::string here = place(where);
    const std::string_view said =
        std::string_view(text).substr(error.context_end_, error.place_end_ - error.context_end_);
    if (here.empty() || said == here) return;
    std::string line = fmt::format("\n  in {}{}", part, op);
    if (error.has_place())
      line += fmt::format(" at {}:{}", where.file_name(), where.line());
    else
      text.insert(error.context_end_, here);
    const std::size_t added = error.has_place() ? 0 : here.size();
    error.set_text(text.insert(error.message_end_, line));
    error.message_end_ += line.size();
    error.context_end_ += line.size();
    error.place_end_ += line.size() + added;
  } catch (...) {
    // No memory for it: the error itself is what counts.
  }
}

void Error::set_text(const std::string& text) {
  std::runtime_error::operator=(std::runtime_error(text));
}

void Error::set_context(std::string_view context) {
  const std::string line = context.empty() ? "" : fmt::format("\n  {}", shown(context));
  std::string text = std::runtime_error::what();
  const std::size_t old = context_end_ - message_end_;
  set_text(text.replace(message_end_, old, line));
  context_end_ += line.size() - old;
  place_end_ += line.size() - old;
}

void Error::set_hint(std::string_view hint) {
  std::string text = std::runtime_error::what();
  set_text(text.replace(place_end_, text.npos, line_of(hint)));
}

}  // namespace chainrule
