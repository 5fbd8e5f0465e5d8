#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <chainrule/graph/teaching/exercise.hpp>

/// Programs whose gradients are to be derived, with sizes and numbers that follow from a seed.
namespace exercises {

struct Named {
  const char* name;
  const char* about;
  /// With the mistakes of a person's own list offered first.
  chainrule::Exercise (*make)(std::uint64_t seed,
                              const std::vector<chainrule::UsualMistake>& mistakes);
};

/// The first one is the chain of a network with two hidden layers; `rules` asks for the rules of
/// three layers of a deep one.
const std::vector<Named>& all();

/// The exercise with that name; null where there is none.
const Named* find(const std::string& name);

/// A list of mistakes: on each line the gradient, the formula and what it confuses, with | between;
/// empty lines and those that begin with # are passed over. Throws chainrule::IoError, naming file
/// and line, for anything else.
std::vector<chainrule::UsualMistake> read_mistakes(const std::string& path);

}  // namespace exercises
