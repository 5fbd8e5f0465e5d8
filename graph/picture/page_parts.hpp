#pragma once

namespace chainrule::picture {

/// The head of a page with its style sheet, and the script that makes it move.
extern const char* const page_head;
extern const char* const page_script;

}  // namespace chainrule::picture
