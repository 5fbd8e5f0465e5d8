#include <chainrule/graph/teaching/practise.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <istream>
#include <optional>
#include <ostream>
#include <string_view>

#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/graph/teaching/elements.hpp>
#include <chainrule/graph/teaching/sheet.hpp>

namespace chainrule {

namespace {

using teaching::letter;

// Without spaces, in small letters, with the minus of a keyboard.
std::string tidied(std::string text) {
  static constexpr std::string_view minus[] = {"−", "–"};
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = std::string_view(text).substr(i);
    if (std::ranges::any_of(minus, [&](std::string_view sign) { return rest.starts_with(sign); })) {
      out += '-';
      i += minus[0].size() - 1;
    } else if (static_cast<unsigned char>(text[i]) > ' ') {
      out += text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] - 'A' + 'a') : text[i];
    }
  }
  return out;
}

// What is said behind "dz =".
std::string behind_equals(const std::string& text) { return text.substr(text.rfind('=') + 1); }

// a of "a)", "(a)", "a." and "dz = a".
std::string letter_in(const std::string& text) {
  std::string letter = behind_equals(text);
  std::erase_if(letter, [](char c) { return c == '(' || c == ')' || c == '.'; });
  return letter;
}

std::optional<double> number_in(const std::string& answer) {
  std::string text = behind_equals(answer);
  std::ranges::replace(text, ',', '.');
  if (text.starts_with('+')) text.erase(0, 1);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number))
    return std::nullopt;
  return number;
}

std::string of_points(int points) {
  return fmt::format("{} point{}", points, points == 1 ? "" : "s");
}

class Session {
 public:
  Session(const Exercise& exercise, std::istream& in, std::ostream& out, const Where& where)
      : exercise_(exercise), in_(in), out_(out), where_(where) {}

  ExerciseScore run() {
    score_.of = exercise_.points();
    say(fmt::format(
        "{}\n{}\n\nThe program\n{}{}\n"
        "Choose the formula of each gradient by its letter. hint helps, skip shows the answer,\n"
        "quit ends. A hint and a wrong answer cost a point each.\n",
        exercise_.title, of_points(score_.of), teaching::program_text(exercise_),
        teaching::definitions_text(exercise_)));
    score_.finished = std::ranges::all_of(exercise_.lines, [&](const Exercise::Line& line) {
      ++number_;
      return formula(line) && element(line);
    });
    say(fmt::format("\n{}{} of {} points\n", score_.finished ? "" : "Not finished. ", score_.points,
                    score_.of));
    if (!score_.mistakes.empty()) say("To look at again\n");
    for (const std::string& mistake : score_.mistakes) say("  " + mistake + "\n");
    return score_;
  }

 private:
  // What an answer is.
  enum class Answer { right, wrong, other };
  // Asks until the answer is right or shown; false where the answers end.
  template <class Judge>
  bool ask(int points, std::span<const std::string> hints, const std::string& solution,
           const char* what, Judge judge) {
    static constexpr const char* steps[] = {"which tensors", "which rule", "which form"};
    const int of = points;
    std::size_t hint = 0;
    std::string text;
    while (say("> "), std::getline(in_, text)) {
      const std::string answer = tidied(text);
      if (answer == "quit" || answer == "q") return false;
      if (answer == "skip") {
        say("  " + solution + "\n");
        return true;
      }
      if (answer == "hint") {
        if (hint == hints.size()) {
          say(hints.empty() ? "  There is no hint here.\n" : "  Those were all the hints.\n");
          continue;
        }
        say(fmt::format("  {}: {}\n", hint < std::size(steps) ? steps[hint] : "hint", hints[hint]));
        ++hint;
        points = std::max(0, points - 1);
        continue;
      }
      switch (judge(answer)) {
        case Answer::right:
          score_.points += points;
          say(fmt::format("✓ {}   {} of {}\n", solution, points, of_points(of)));
          return true;
        case Answer::wrong:
          points = std::max(0, points - 1);
          break;
        case Answer::other:
          say(fmt::format("  Type {}, hint, skip or quit.\n", what));
      }
    }
    if (in_.bad())
      throw IoError("practise: an answer could not be read", where_,
                    "the stream of answers is bad(): its device failed, or there was no memory");
    return false;
  }

  void wrong(const std::string& gradient, const std::string& formula, const std::string& why) {
    score_.mistakes.push_back(fmt::format("{}, not {}: {}", gradient, formula, why));
    say(fmt::format("✗ {}\n", why));
  }

  bool formula(const Exercise::Line& line) {
    const std::string solution = line.gradient.text + " = " + line.formula.text;
    if (line.choices.empty()) {
      say(fmt::format("\n{}. {}\n", number_, solution));
      return true;
    }
    say(fmt::format("\n{}. {} = ?   {}\n{}", number_, line.gradient.text, of_points(line.points),
                    teaching::choices_text(line)));
    return ask(line.points, line.hints, solution,
               line.choices.size() == 2 ? "a or b" : "the letter of a formula",
               [&](const std::string& answer) {
                 for (std::size_t k = 0; k < line.choices.size(); ++k) {
                   if (letter_in(answer) != letter(k)) continue;
                   if (k == line.right) return Answer::right;
                   wrong(line.gradient.text, line.choices[k].formula.text, line.choices[k].why);
                   return Answer::wrong;
                 }
                 return Answer::other;
               });
  }

  bool element(const Exercise::Line& line) {
    if (!line.element) return true;
    const Exercise::Element& element = *line.element;
    const std::string name = teaching::element_name(line);
    say(fmt::format("   {} = ?   {}; to about 1 %, indices from 0\n{}", name,
                    of_points(element.points), teaching::values_text(element.given)));
    const std::string hint =
        "Of a product of matrices one row and one column count, of all else that one place.";
    return ask(element.points, std::span(&hint, 1),
               fmt::format("{} = {}", name, teaching::number_text(element.value)), "a number",
               [&](const std::string& answer) {
                 const std::optional<double> number = number_in(answer);
                 if (!number) return Answer::other;
                 if (std::abs(*number - element.value) <= element.tolerance) return Answer::right;
                 for (const auto& [value, choice] : teaching::wrong_elements(line)) {
                   if (std::abs(*number - value) > element.tolerance) continue;
                   wrong(name, choice->formula.text,
                         fmt::format("{} gives that. {}", choice->formula.text, choice->why));
                   return Answer::wrong;
                 }
                 say("✗ No formula above gives that: look at the arithmetic.\n");
                 return Answer::wrong;
               });
  }

  void say(const std::string& text) {
    if (!(out_ << text << std::flush))
      throw IoError("practise: what is asked could not be written", where_,
                    "the stream that is written to has failed: is it open, and its disk not full?");
  }

  const Exercise& exercise_;
  std::istream& in_;
  std::ostream& out_;
  const Where& where_;
  ExerciseScore score_;
  int number_ = 0;
};

}  // namespace

ExerciseScore practise(const Exercise& exercise, std::istream& in, std::ostream& out, Where where) {
  return detail::naming_all_memory("practise", where,
                                   [&] { return Session(exercise, in, out, where).run(); });
}

}  // namespace chainrule
