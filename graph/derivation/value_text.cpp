#include <chainrule/graph/derivation/value_text.hpp>

#include <utility>
#include <vector>

#include <chainrule/graph/derivation/style.hpp>

namespace chainrule::derivation {

namespace {

// More rows or columns than this are shown as the first ones, dots, and the last one.
constexpr std::int64_t most = 6;

struct Words {
  const char *begin, *end;  // of the matrix
  const char *row_begin, *row_end, *between_rows;
  const char *cell_begin, *cell_end, *between_cells;
  const char *across, *down, *diagonal;  // dots
  std::string (*number)(double);
};

std::string latex_number(double x) { return style_of(Format::latex).number(digits_of(x, 4)); }
std::string mathml_number(double x) { return style_of(Format::mathml).number(digits_of(x, 4)); }

constexpr Words latex{
    "\\begin{bmatrix}", "\\end{bmatrix}", "",        "",          " \\\\ ", "", "", " & ",
    "\\cdots",          "\\vdots",        "\\ddots", latex_number};
constexpr Words mathml{"<mrow><mo>[</mo><mtable>",
                       "</mtable><mo>]</mo></mrow>",
                       "<mtr>",
                       "</mtr>",
                       "",
                       "<mtd>",
                       "</mtd>",
                       "",
                       "<mo>⋯</mo>",
                       "<mo>⋮</mo>",
                       "<mo>⋱</mo>",
                       mathml_number};

// Which positions of an axis are shown; −1 for dots.
std::vector<std::int64_t> shown(std::int64_t extent) {
  std::vector<std::int64_t> positions;
  for (std::int64_t i = 0; i < extent; ++i) {
    if (extent <= most || i < most - 2 || i == extent - 1) positions.push_back(i);
    if (extent > most && i == most - 2) positions.push_back(-1);
  }
  return positions;
}

std::string written(const Tensor& value, const Words& words) {
  const Shape shape = value.shape();
  if (shape.rank() > 2) return "";
  const std::vector<double> elements = value.to_vector<double>();
  if (shape.rank() == 0) return words.number(elements[0]);
  const std::int64_t rows = shape.rank() == 2 ? shape[0] : 1, columns = shape[shape.rank() - 1];
  std::string text = words.begin;
  const char* before_row = "";
  for (const std::int64_t i : shown(rows)) {
    text += std::string(std::exchange(before_row, words.between_rows)) + words.row_begin;
    const char* before_cell = "";
    for (const std::int64_t j : shown(columns)) {
      text += std::string(std::exchange(before_cell, words.between_cells)) + words.cell_begin;
      if (i < 0 || j < 0)
        text += i >= 0 ? words.across : j >= 0 ? words.down : words.diagonal;
      else
        text += words.number(elements[static_cast<std::size_t>(i * columns + j)]);
      text += words.cell_end;
    }
    text += words.row_end;
  }
  return text + words.end;
}

}  // namespace

std::string value_in_latex(const Tensor& value) { return written(value, latex); }
std::string value_in_mathml(const Tensor& value) { return written(value, mathml); }

}  // namespace chainrule::derivation
