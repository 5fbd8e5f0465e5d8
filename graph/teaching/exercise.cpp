#include <chainrule/graph/teaching/exercise.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/chain.hpp>
#include <chainrule/graph/teaching/choices.hpp>
#include <chainrule/graph/teaching/elements.hpp>
#include <chainrule/graph/teaching/hints.hpp>
#include <chainrule/graph/teaching/listing.hpp>

namespace chainrule {

using derivation::Chain;
using teaching::Listing;

namespace {

// What a formula is worth: by how much stands in it.
int points_for(const derivation::Expr& formula) {
  return std::clamp(1 + derivation::size_of(formula), 2, 5);
}

class ExerciseMaker {
 public:
  ExerciseMaker(const Chain& chain, const ExerciseOptions& options, const Where& where)
      : chain_(chain),
        options_(options),
        where_(where),
        listing_(chain),
        others_(derivation::certifying_points(chain.trace())),
        points_{&chain.trace().environment()},
        random_(options.seed) {
    for (const derivation::Environment& point : others_) points_.push_back(&point);
  }

  Exercise make() {
    Exercise exercise{options_.title, listing_.program(), {}, {}};
    const std::vector<const Chain::Link*> links = asked();
    check_mistakes(links);
    const std::set<const Chain::Link*> blanks = blanks_among(links);
    for (const Chain::Link* link : links)
      exercise.lines.push_back(line(*link, blanks.contains(link)));
    exercise.definitions = listing_.definitions();
    return exercise;
  }

 private:
  const Chain::Link* find(const Tensor& tensor) const {
    const std::uint32_t i = tensor.defined() ? chain_.trace().find(tensor) : Traversal::none;
    for (const Chain::Link& link : chain_.links())
      if (link.of == i) return &link;
    throw GradError(fmt::format("make_exercise: the derivation of the loss has no line for {}",
                                tensor.defined() ? describe(tensor) : "an undefined tensor"),
                    where_,
                    "ask for parameters and for results that were named before they were used");
  }

  std::vector<const Chain::Link*> asked() const {
    std::set<const Chain::Link*> wanted;
    for (const Tensor& tensor : options_.of) wanted.insert(find(tensor));
    std::vector<const Chain::Link*> links;
    for (const Chain::Link& link : chain_.links())
      if (wanted.empty() || wanted.contains(&link)) links.push_back(&link);
    return links;
  }

  std::string name_of(const Chain::Link& link) { return listing_.written(gradient(link)).text; }
  derivation::Expr gradient(const Chain::Link& link) const {
    return derivation::gradient_expression(link.of, chain_.trace().node(link.of).shape());
  }

  void check_mistakes(const std::vector<const Chain::Link*>& links) {
    std::vector<std::string> names;
    for (const Chain::Link* link : links) names.push_back(name_of(*link));
    for (const UsualMistake& mistake : options_.mistakes) {
      if (std::ranges::find(names, mistake.gradient) == names.end())
        throw ValueError(
            fmt::format("make_exercise: the usual mistake {} is for {}, which is not asked for",
                        mistake.formula, mistake.gradient),
            where_, "asked for are " + detail::joined(names, ", "));
      if (mistake.formula.empty() || mistake.why.empty())
        throw ValueError(fmt::format("make_exercise: a usual mistake for {} has no {}",
                                     mistake.gradient, mistake.formula.empty() ? "formula" : "why"),
                         where_, "say what is written, and what it confuses");
    }
  }

  std::set<const Chain::Link*> blanks_among(std::vector<const Chain::Link*> links) {
    std::set<const Chain::Link*> blanks;
    const std::size_t count =
        options_.blanks == 0 ? links.size() : static_cast<std::size_t>(options_.blanks);
    while (blanks.size() < count && !links.empty()) {
      const auto at = random_.integer(0, static_cast<std::int64_t>(links.size()));
      blanks.insert(links[static_cast<std::size_t>(at)]);
      links.erase(links.begin() + at);
    }
    return blanks;
  }

  Exercise::Line line(const Chain::Link& link, bool blank) {
    Exercise::Line line{listing_.written(gradient(link)), listing_.written(link.formula()),
                        chain_.trace().node(link.of).shape()};
    if (!blank) return line;
    std::vector<UsualMistake> mistakes;
    for (const UsualMistake& mistake : options_.mistakes)
      if (mistake.gradient == line.gradient.text) mistakes.push_back(mistake);
    teaching::Choices choices(listing_, points_, random_, where_);
    line.choices =
        choices.of(link.of, link.formula(), mistakes, static_cast<std::size_t>(options_.choices));
    // A gradient that is 0 whatever is done to it is not worth a question.
    if (line.choices.size() < 2) {
      line.choices.clear();
      return line;
    }
    line.right = static_cast<std::size_t>(
        std::ranges::find(line.choices, std::string(), &Exercise::Choice::why) -
        line.choices.begin());
    line.hints = hints_for(listing_, link);
    line.points = points_for(link.formula());
    if (options_.elements) line.element = element_of(listing_, link, line.choices, random_);
    return line;
  }

  const Chain& chain_;
  const ExerciseOptions& options_;
  const Where& where_;
  Listing listing_;
  std::vector<derivation::Environment> others_;
  std::vector<const derivation::Environment*> points_;  // where formulas are compared
  Generator random_;
};

void check(const ExerciseOptions& options, const Where& where) {
  if (options.choices < 2)
    throw ValueError(
        fmt::format("make_exercise: {} choices leave nothing to choose", options.choices), where,
        "2 or more");
  if (options.blanks < 0)
    throw ValueError(fmt::format("make_exercise: {} blanks", options.blanks), where,
                     "0 asks for all formulas");
}

}  // namespace

int Exercise::points() const noexcept {
  int points = 0;
  for (const Line& line : lines) points += line.points + (line.element ? line.element->points : 0);
  return points;
}

Exercise make_exercise(const Tensor& loss, const ExerciseOptions& options, Where where) {
  check(options, where);
  return detail::naming_all_memory("make_exercise", where, [&] {
    const Chain chain(loss, "make_exercise", where);
    return ExerciseMaker(chain, options, where).make();
  });
}

}  // namespace chainrule
