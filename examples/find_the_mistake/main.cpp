// Finding the mistake: twenty-five derivations that go wrong in one place, and what the library
// says about each; then fifty right ones of different models, about which it must say nothing.

#include <fmt/format.h>

#include <chainrule/chainrule.hpp>
#include <chainrule/examples/find_the_mistake/mistakes.hpp>

int main() {
  int found = 0, number = 0;
  const std::vector<mistakes::Planted> planted = mistakes::planted_mistakes();
  for (const mistakes::Planted& each : planted) {
    const cr::DerivationReport report =
        cr::check_derivation(each.derivation.loss, each.derivation.formulas);
    const cr::FormulaVerdict* first = report.first_wrong();
    const bool right =
        first && first->name == each.formula && first->diagnosis.starts_with(each.expected);
    found += right;
    fmt::print("{:2}. {}: {}\n    {} {}: {}\n", ++number, each.derivation.model, each.what,
               right ? "✓" : "✗", first ? first->name : "nothing found",
               first ? first->diagnosis : "");
  }
  int alarms = 0;
  const std::vector<mistakes::Derived> right = mistakes::right_derivations();
  for (const mistakes::Derived& each : right) {
    const cr::DerivationReport report = cr::check_derivation(each.loss, each.formulas);
    if (report.ok()) continue;
    ++alarms;
    fmt::print("false alarm: {}\n{}", each.model, report);
  }
  fmt::print("\n{} of {} mistakes found and named; {} false alarms on {} right derivations\n",
             found, planted.size(), alarms, right.size());
  return found == static_cast<int>(planted.size()) && alarms == 0 ? 0 : 1;
}
