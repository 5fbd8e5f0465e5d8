#pragma once

#include <chainrule/core/error.hpp>
#include <chainrule/core/node.hpp>
#include <chainrule/core/recording.hpp>

namespace chainrule::detail {

/// The user's line of what is called at `where`: in a gradient rule that is the line of the
/// operation which the rule differentiates.
inline const Where& user_line(const Where& where) noexcept {
  return mode.rule_of ? mode.rule_of->where() : where;
}

}  // namespace chainrule::detail
