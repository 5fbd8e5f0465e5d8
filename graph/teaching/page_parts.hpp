#pragma once

/// What stands unchanged in each page of an exercise.
namespace chainrule::teaching {

extern const char* const page_style;
extern const char* const page_script;

}  // namespace chainrule::teaching
