#pragma once

#include <iosfwd>

namespace exercises {

/// The whole program: asks on `out` and reads answers from `in`. Returns the exit status: 0; 2
/// after one line to `errors` for a wrong command line or a file that cannot be read or written, 1
/// for anything else.
int run(int argc, const char* const* argv, std::istream& in, std::ostream& out,
        std::ostream& errors);

}  // namespace exercises
