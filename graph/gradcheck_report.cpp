#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>

#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/graph/gradcheck.hpp>

namespace chainrule {

namespace {

std::string table_of(std::span<const GradcheckRow> rows) {
  std::size_t width = 4;
  for (const GradcheckRow& row : rows) width = std::max(width, row.what.size());
  std::string text = fmt::format("{:<{}}  {:<12} {:>9}  {:<12} {:>17} {:>17}\n", "what", width,
                                 "shape", "error", "at", "autograd", "differences");
  for (const GradcheckRow& row : rows) {
    text += fmt::format("{:<{}}  {:<12} {:>9.2e}  {:<12} {:>17.10g} {:>17.10g}{}\n", row.what,
                        width, chainrule::to_string(row.shape), row.worst_error,
                        chainrule::to_string(row.worst_index), row.autograd, row.reference,
                        row.ok ? "" : "  WRONG");
    if (!row.note.empty()) text += fmt::format("  {}\n", row.note);
  }
  return text;
}

}  // namespace

bool GradcheckReport::ok() const noexcept {
  return !rows.empty() && std::ranges::all_of(rows, &GradcheckRow::ok);
}

std::string GradcheckReport::to_string(Where where) const {
  return detail::naming_memory("to_string", where, [&] { return table_of(rows); });
}

}  // namespace chainrule
