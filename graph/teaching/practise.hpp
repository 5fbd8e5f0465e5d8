#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include <chainrule/graph/teaching/exercise.hpp>

namespace chainrule {

/// What somebody reached in an exercise.
struct ExerciseScore {
  int points = 0;
  int of = 0;
  bool finished = false;              ///< false where the answers ended before the questions
  std::vector<std::string> mistakes;  ///< what was chosen wrongly, and why that is wrong
};

/// Goes through an exercise line by line: asks on `out`, and reads an answer from each line of
/// `in`. That is the letter of a formula or a number; or `hint`, `skip` (the answer, for no
/// points), `quit`. A wrong answer is explained, and costs a point as a hint does; anything else is
/// asked again. Ends with what was reached, also when `in` ends. Throws IoError when `out` cannot
/// be written or `in` fails otherwise than by its end.
ExerciseScore practise(const Exercise& exercise, std::istream& in, std::ostream& out,
                       Where where = Where::current());

}  // namespace chainrule
