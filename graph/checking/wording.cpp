#include <chainrule/graph/checking/wording.hpp>

#include <fmt/format.h>

#include <cctype>
#include <set>

namespace chainrule::derivation {

namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Whether a name stands in a text, not as a part of another one. A d in front is its gradient.
bool stands_in(const std::string& text, const std::string& name) {
  for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    const std::size_t end = at + name.size();
    const bool gradient = at > 0 && text[at - 1] == 'd' && (at == 1 || !is_word(text[at - 2]));
    if ((at == 0 || !is_word(text[at - 1]) || gradient) &&
        (end == text.size() || !is_word(text[end])))
      return true;
  }
  return false;
}

}  // namespace

std::string Wording::with_definitions(std::string sentence) {
  std::set<std::string> said;
  for (bool more = true; more;) {
    more = false;
    const auto define = [&](const std::string& name, const std::string& what) {
      if (said.contains(name) || !stands_in(sentence, name)) return;
      sentence += fmt::format("{} {} {}", said.empty() ? "; where" : ",", name, what);
      more = said.insert(name).second;
    };
    for (const std::uint32_t i : names_.abbreviated())
      define(names_.tensor(i), "= " + names_.text(trace_.forward(i)));
    for (std::size_t k = 0; k < names_.data().size(); ++k) {
      const Expr data = names_.data()[k];
      const bool mask = data->value.defined() && data->value.dtype() == boolean;
      define(names_.symbol(*data),
             fmt::format("is {} {}", mask ? "a mask" : "data", to_string(data->shape)));
    }
  }
  return sentence;
}

}  // namespace chainrule::derivation
