#include <chainrule/graph/checking/wording.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include <chainrule/core/detail/text.hpp>

namespace chainrule::derivation {

namespace {

bool is_word(char c) { return detail::is_letter(c) || detail::is_digit(c) || c == '_'; }

// Whether a name stands in a text, not as a part of another one.
bool stands_in(const std::string& text, const std::string& name) {
  for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    const std::size_t end = at + name.size();
    if ((at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end])))
      return true;
  }
  return false;
}

}  // namespace

std::string Wording::alternatives(std::span<const Expr> constants) {
  std::vector<std::string> all;
  for (const Expr& one : constants) {
    const bool is_number = one->kind == Expression::Kind::number;
    all.push_back(is_number ? text(number_expression(one->number, {}))
                            : "a constant " + to_string(one->shape));
  }
  return fmt::format("{}", fmt::join(all, " or "));
}

std::string Wording::with_definitions(std::string sentence) {
  std::set<std::string> said, meanings;
  const auto define = [&](const std::string& name, const std::string& what) {
    sentence += fmt::format("{} {} {}", said.empty() ? "; where" : ",", name, what);
    said.insert(name);
    meanings.insert(what);
  };
  const auto is_open = [&](const std::string& name) {
    return !said.contains(name) && stands_in(sentence, name);
  };
  for (std::size_t before = said.size() + 1; before != said.size();) {
    before = said.size();
    for (const std::uint32_t i : names_.abbreviated()) {
      const std::string name = names_.tensor(i),
                        gradient = symbol_text(name, Format::unicode, trace_.derivative());
      const bool has_gradient =
          is_open(gradient) && trace_.gradient(i) && trace_.node(i).name().empty();
      if (is_open(name) || has_gradient)
        // Computed twice, it needs no second name for its gradient to have one.
        if (const std::string what = "= " + names_.text(trace_.forward(i));
            !said.contains(name) && (is_open(name) || !meanings.contains(what)))
          define(name, what);
      if (has_gradient) define(gradient, "= " + gradient_of(i));
    }
    for (std::size_t k = 0; k < names_.data().size(); ++k) {
      const Expr data = names_.data()[k];
      const bool mask = data->value.defined() && data->value.dtype() == boolean;
      if (const std::string name = names_.symbol(*data); is_open(name))
        define(name, fmt::format("is {} {}", mask ? "a mask" : "data", to_string(data->shape)));
    }
  }
  return sentence;
}

std::string Wording::gradient_of(std::uint32_t i) {
  if (!points_) points_ = certifying_points(trace_);
  return names_.text(simplified(trace_, i, *points_).back().expression);
}

}  // namespace chainrule::derivation
