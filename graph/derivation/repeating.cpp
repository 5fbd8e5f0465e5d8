#include <chainrule/graph/derivation/repeating.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <chainrule/core/op.hpp>
#include <chainrule/core/other_result.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/role_check.hpp>
#include <chainrule/graph/derivation/tried.hpp>

namespace chainrule::derivation {

namespace {

// What is drawn from few numbers may come out the same once.
constexpr int number_of_repetitions = 4;
// What two results may differ by, in units of the largest element.
constexpr double repeats = 1e-9;

bool differ(const Tensor& first, const Tensor& second, Different& found) {
  if (!first.defined() || !second.defined()) return false;
  const std::vector<double> a = numbers(first), b = numbers(second);
  const double allowed = repeats * largest(a);
  for (std::size_t e = 0; e < a.size() && e < b.size(); ++e)
    if (!(difference(a[e], b[e]) <= allowed)) {
      found = {a[e], b[e], position_of(static_cast<std::int64_t>(e), first.shape())};
      return true;
    }
  return false;
}

}  // namespace

std::string Different::written(double number) const {
  const std::string few = fmt::format("{:.6g}", number);
  const bool tells = fmt::format("{:.6g}", first) != fmt::format("{:.6g}", second);
  return tells ? few : fmt::format("{}", number);
}

std::string Different::not_repeating(std::string_view what) const {
  return fmt::format("{} does not repeat: it gave {} at {}, and then {} for the same operands",
                     what, written(first), to_string(at), written(second));
}

void check_repeats(const Expression& e, const Environment& recorded) {
  std::vector<Tensor> operands;
  for (std::size_t k = 0; k < e.operands.size(); ++k)
    operands.push_back(e.operands[k] ? signed_numbers(e.operands[k]->shape, k) : Tensor());
  std::optional<Tensor> first = applied(e, operands);
  if (!first) {
    operands = values_of_operands(e, recorded);
    first = applied(e, operands);
  }
  Different found;
  const auto check_result = [&](const Tensor& again) {
    if (again.shape() != e.shape || again.dtype() != first->dtype())
      detail::throw_other_result(
          e.op()->name(), fmt::format("{} of {}", to_string(e.shape), name_of(first->dtype())),
          fmt::format("{} of {}", to_string(again.shape()), name_of(again.dtype())),
          e.application->where());
  };
  if (first) check_result(*first);
  for (int k = 0; first && k < number_of_repetitions; ++k) {
    const std::optional<Tensor> again = applied(e, operands);
    if (!again) continue;
    check_result(*again);
    if (differ(*first, *again, found))
      throw ValueError(fmt::format("{}: {}", e.op()->name(), found.not_repeating("it")),
                       e.application->where(), how_to_repeat);
  }
}

void check_known(const Node& application, Operands operands, std::span<const Ref<Value>> results) {
  const detail::ModeScope unwatched({.recording = false, .provenance = false});
  const Op& op = *application.op();
  Inference inference(op, operands, application.parameters(), application.where());
  op.infer(inference);
  if (inference.saved_count() == 0) return;
  Evaluation evaluation(inference);
  op.evaluate(evaluation);
  Different found;
  for (std::size_t k = 0; k < results.size(); ++k)
    if (differ(Tensor(results[k]), Tensor(evaluation.out_ref(k)), found))
      throw GradError(
          fmt::format("{}: a gradient rule applied it with saved values that it does not compute "
                      "from these operands: it gave {} at {}, and computes {} itself",
                      op.name(), found.written(found.first), to_string(found.at),
                      found.written(found.second)),
          application.where(),
          "hand over what an application to the same operands has saved, or apply an op that has "
          "the saved value among its operands");
}

}  // namespace chainrule::derivation
