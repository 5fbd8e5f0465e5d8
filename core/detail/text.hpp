#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace chainrule::detail {

/// Of ASCII, whatever the locale.
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// How many characters UTF-8 text has: its bytes but for those that continue a character, and those
/// that begin one of U+0300 … U+033F, marks that stand above or below the character before.
inline std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte & 0xC0) != 0x80 && byte != 0xCC;
  }));
}

/// "1 axis", "2 axes".
inline std::string counted(std::int64_t n, std::string_view one, std::string_view several) {
  return std::to_string(n).append(1, ' ').append(n == 1 ? one : several);
}

inline std::string joined(const std::vector<std::string>& parts, std::string_view between) {
  std::string text;
  for (const std::string& part : parts) {
    if (&part != parts.data()) text += between;
    text += part;
  }
  return text;
}

/// Text in one line of valid UTF-8: a space for a control character, U+FFFD for a byte that is out
/// of place.
inline std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
    const unsigned char first = byte(i);
    const std::size_t length = first < 0x80       ? 1
                               : first >> 5 == 6  ? 2
                               : first >> 4 == 14 ? 3
                               : first >> 3 == 30 ? 4
                                                  : 0;
    bool valid = length > 0 && i + length <= text.size() && first != 0xC0 && first != 0xC1;
    for (std::size_t k = 1; valid && k < length; ++k) valid = (byte(i + k) & 0xC0) == 0x80;
    if (!valid)
      out += "\uFFFD";
    else if (first < 0x20 || first == 0x7F)
      out += ' ';
    else
      out += text.substr(i, length);
    i += valid ? length : 1;
  }
  return out;
}

}  // namespace chainrule::detail
