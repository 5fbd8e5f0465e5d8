#pragma once

#include <string>
#include <string_view>

namespace chainrule::derivation {

/// Text as it stands in HTML, SVG and MathML, in elements and in quoted attributes.
std::string in_markup(std::string_view text);

/// Text inside of \text{} in LaTeX.
std::string in_latex_text(std::string_view text);

/// Text in a cell of a table in Markdown.
std::string in_markdown_cell(std::string_view text);

}  // namespace chainrule::derivation
