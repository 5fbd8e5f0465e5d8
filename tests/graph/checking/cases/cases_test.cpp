#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include <chainrule/tests/graph/checking/cases/cases.hpp>

using namespace cases;

namespace cases {

std::vector<Model>& models() {
  static std::vector<Model> all;
  return all;
}

std::vector<Setting> usual(const std::vector<double>& scales,
                           const std::vector<std::string>& variants) {
  std::vector<Setting> settings;
  for (const DType dt : {f64, f32}) {
    settings.push_back({dt, 1, 1, 1, ""});
    settings.push_back({dt, 2, 2, 1, ""});
    settings.push_back({dt, 3, 1, 1, "bare"});
    for (const double scale : scales) settings.push_back({dt, 4, 1, scale, ""});
    for (const std::string& variant : variants) settings.push_back({dt, 5, 1, 1, variant});
  }
  return settings;
}

Registered::Registered(Model model) {
  for (const DType dt : {f64, f32})
    for (const std::uint64_t seed : {21, 22})
      model.settings.push_back({dt, seed, seed == 22 ? 2 : 1, 1, ""});
  for (Mistake& mistake : model.mistakes) {
    const std::size_t at = mistake.kind.find(" for ");
    if (at == std::string::npos) continue;
    const std::string right = mistake.kind.substr(at + 5);
    if (right.find(' ') != std::string::npos && right != "1 − α" && right != "tanh r" &&
        right != "sign A")
      continue;
    for (const char* how : {"rather than ", "instead of ", "in place of ", "in the place of "})
      mistake.words.push_back(how + right);
  }
  models().push_back(std::move(model));
}

}  // namespace cases

TEST_SUITE_BEGIN("graph");

namespace {

Out computed(const Model& model, const Setting& setting, int mistake) {
  const Ctx c{setting.dt,    setting.seed,    setting.size,
              setting.scale, setting.variant, Generator(setting.seed)};
  Out out = model.f(c, mistake);
  if (setting.variant == "bare")
    for (Formula& formula : out.f) formula.by_hand = formula.by_hand.detach() * 1.0;
  return out;
}

bool occurs(const std::string& text, const std::string& words) {
  for (std::size_t at = 0; at <= words.size();) {
    const std::size_t end = std::min(words.find('&', at), words.size());
    if (text.find(words.substr(at, end - at)) == std::string::npos) return false;
    at = end + 1;
  }
  return true;
}

bool is_one_of(const std::string& name, const std::string& list) {
  return ("|" + list + "|").find("|" + name + "|") != std::string::npos;
}

// Whether a diagnosis says what kind of mistake it is.
bool explains(const std::string& diagnosis) {
  return !diagnosis.empty() && !diagnosis.starts_with("right but for") &&
         !diagnosis.starts_with("the shape is");
}

// The names and words in a formula.
std::set<std::string> words_in(std::string text) {
  for (const std::string sign : {"·", "ᵀ", "−", "²", "√"})
    for (std::size_t at = 0; (at = text.find(sign, at)) != std::string::npos;)
      text.replace(at, sign.size(), " ");
  std::set<std::string> words;
  std::string word;
  for (const char c : text + " ") {
    const bool is_part = (c & 0x80) != 0 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                         (c >= 'a' && c <= 'z') || c == '_';
    if (is_part)
      word += c;
    else if (!word.empty())
      words.insert(std::exchange(word, ""));
  }
  return words;
}

// Every second model, from the first one or the second: in parts, which run beside each other.
void check_mistakes(DType dt, std::size_t first) {
  int mistakes = 0, named = 0, misleading = 0;
  std::string others;
  const auto check = [&](const Model& model, const Mistake& mistake) {
    Out out = computed(model, {dt, 11, 1, 1, mistake.bare ? "bare" : mistake.variant}, mistake.m);
    if (!mistake.only.empty())
      std::erase_if(out.f, [&](const Formula& formula) {
        return std::ranges::find(mistake.only, formula.name) == mistake.only.end();
      });
    const DerivationReport report = check_derivation(out.loss, out.f);
    ++mistakes;
    const FormulaVerdict* first = report.first_wrong();
    CHECK_MESSAGE((first && is_one_of(first->name, mistake.row)),
                  model.name << ": " << mistake.kind << " at " << mistake.row << "\n"
                             << report.text());
    if (!first) return;
    const bool is_named = std::ranges::any_of(
        mistake.words, [&](const std::string& words) { return occurs(first->diagnosis, words); });
    named += is_named;
    misleading += !is_named && explains(first->diagnosis);
    if (!is_named) others += model.name + ", " + mistake.kind + ": " + first->diagnosis + "\n";
  };
  for (std::size_t k = first; k < models().size(); k += 2)
    for (const Mistake& mistake : models()[k].mistakes) check(models()[k], mistake);
  CHECK(mistakes >= 100);
  // Nineteen of twenty; of the others nothing is said, or something that the list of words lacks.
  INFO("named " << named << ", misleading " << misleading << " of " << mistakes << "\n" << others);
  CHECK(20 * named >= 19 * mistakes);
  CHECK(50 * misleading <= mistakes);
}

}  // namespace

TEST_CASE(
    "derive: what a formula needs stands before it or behind where, and nothing in a circle") {
  for (const Model& model : models()) {
    const Setting& setting = model.settings.at(0);
    const Derivation derivation = derive(computed(model, {setting.dt, 11, 1, 1, ""}, 0).loss);
    INFO(model.name << "\n" << derivation.text());
    std::set<std::string> gradients, defined;
    for (const Derivation::Step& step : derivation.steps()) gradients.insert(step.gradient.text);
    for (const Derivation::Step& step : derivation.steps()) {
      for (const std::string& word : words_in(step.formula().text))
        CHECK_MESSAGE((!gradients.contains(word) || defined.contains(word)),
                      step.gradient.text << " needs " << word);
      defined.insert(step.gradient.text);
    }
    // Definitions may need later ones, but end somewhere.
    std::map<std::string, std::set<std::string>> open;
    for (const Derivation::Definition& definition : derivation.definitions())
      open[definition.name.text] = words_in(definition.formula.text);
    for (bool any = true; any;)
      any = std::erase_if(open, [&](const auto& each) {
              return std::ranges::none_of(
                  each.second, [&](const std::string& word) { return open.contains(word); });
            }) > 0;
    CHECK_MESSAGE(open.empty(), open.size() << " in a circle");
  }
}

TEST_CASE("check_derivation: no alarm on right derivations of others, in any setting") {
  int derivations = 0;
  for (const Model& model : models())
    for (const Setting& setting : model.settings) {
      const Out out = computed(model, setting, 0);
      const DerivationReport report = check_derivation(out.loss, out.f);
      ++derivations;
      CHECK_MESSAGE(report.ok(), model.name << ", " << name_of(setting.dt) << ", seed "
                                            << setting.seed << ", scale " << setting.scale << " "
                                            << setting.variant << "\n"
                                            << report.text());
    }
  CHECK(derivations >= 300);
}

TEST_CASE("check_derivation: mistakes of others are found where they were made, and named (f64)") {
  check_mistakes(f64, 0);
}

TEST_CASE("check_derivation: mistakes of further models are found and named (f64)") {
  check_mistakes(f64, 1);
}

TEST_CASE("check_derivation: mistakes of others are found where they were made, and named (f32)") {
  check_mistakes(f32, 0);
}

TEST_CASE("check_derivation: mistakes of further models are found and named (f32)") {
  check_mistakes(f32, 1);
}

TEST_SUITE_END();
