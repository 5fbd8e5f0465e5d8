#include <chainrule/graph/checking/judge.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/checking/rules.hpp>
#include <chainrule/graph/checking/terms.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/in_f64.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule::derivation {

namespace {

// Units of an element that it may be off by besides.
constexpr double of_itself = 16;
// Of forms that nobody wrote for certain, a part of that.
constexpr double of_guesses = 1.0 / 6;
// What is rounded once, as the numbers of a program in f32 are, moves as far as that may be at
// most: so many times what a few samples of it move.
constexpr double safety_of_numbers = 4;
// So many times further all is moved where that may be a jump.
constexpr double wider = 16;
// Elements that differ and are looked at by differences, at most.
constexpr int most_looked_at = 6;
// Random directions in which differences have to agree with a formula that autograd contradicts.
constexpr int number_of_directions = 3;

// The tensors as the program computed them, where they are kept; those are what its gradients were
// computed from.
std::vector<Tensor> recorded_tensors(const Trace& trace) {
  std::vector<Tensor> tensors = trace.environment().tensors;
  const auto put = [&](std::uint32_t at, Value* value) {
    if (value && tensors[at].defined() && tensors[at].dtype() == f64)
      tensors[at] = detail::in_f64(Tensor(Ref<Value>::share(value)));
  };
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    const Node& node = trace.node(i);
    const auto edges = trace.traversal().edges(i);
    for (std::size_t k = 0; k < edges.size(); ++k)
      if (edges[k] != Traversal::none && trace.is_tensor(edges[k]))
        put(edges[k], node.saved_input(k));
    if (trace.is_tensor(i)) put(i, node.saved_output());
  }
  return tensors;
}

// So many places may be looked at where kinks meet, for a second's work or so.
int most_moves(const Trace& trace) {
  constexpr double elements_moved = 4e6;
  constexpr int most = 128;
  double elements = 1;
  for (const Tensor& tensor : trace.environment().tensors)
    if (tensor.defined()) elements += static_cast<double>(tensor.numel());
  return static_cast<int>(std::min<double>(most, elements_moved / elements));
}

}  // namespace

double largest_gradient(const Environment& point) {
  double most = 0;
  for (const Tensor& gradient : point.gradients)
    if (gradient.defined()) most = std::max(most, largest(numbers(gradient)));
  return most;
}

bool computes_in_f32(const Trace& trace) {
  bool found = false;
  for (std::uint32_t i = 0; !found && i < trace.size(); ++i) {
    found = trace.node(i).dtype() == f32;
    if (!found && trace.gradient(i))  // by a rule
      visit_parts(trace.gradient(i), [&](const Expr& part) {
        found = found || (part->application && part->application->dtype() == f32);
      });
  }
  return found;
}

Judge::Judge(const Trace& trace, bool single)
    : trace_(trace),
      single_(single),
      differences_(trace, trace.environment(), rounding(Precision::f64_throughout, false)),
      points_(certifying_points(trace)),
      nearby_(trace, differences_) {}

const Rounding& Judge::rounding(Precision precision, bool wide) const {
  std::unique_ptr<Rounding>& mine = roundings_[static_cast<std::size_t>(precision)][wide ? 1 : 0];
  const double units = wide ? wider : 1;
  if (!mine)
    mine = std::make_unique<Rounding>(
        trace_, trace_.environment(),
        units * (precision == Precision::f32_throughout ? half_unit_f32 : half_unit_f64),
        units * (precision == Precision::f32_numbers ? half_unit_f32 : 0));
  return *mine;
}

std::vector<double> Judge::moved(std::uint32_t i, std::span<const Computation> forms,
                                 const Rounding& rounds, bool bare) const {
  std::vector<double> most(static_cast<std::size_t>(trace_.node(i).shape().numel()));
  const auto widen = [&](const std::vector<double>& mine, double part) {
    for (std::size_t e = 0; e < most.size() && e < mine.size(); ++e)
      most[e] = std::max(most[e], part * mine[e]);
  };
  for (const Computation& form : forms) widen(rounds.of(form), 1);
  if (!bare) return most;
  // Many people's forms, which lose digits where a function is flat, as 1 − h²: of all that leads
  // to it, as what comes from a gradient may have been computed from another form of it.
  if (written_out_.empty()) {
    written_out_.resize(trace_.size());
    for (const std::uint32_t j : trace_.order())
      if (trace_.is_named(j))
        written_out_[j] = written_out(trace_.gradient(j), trace_.environment(), true);
  }
  const Expr last = written_out_[i] ? written_out_[i]
                                    : written_out(trace_.gradient(i), trace_.environment(), true);
  widen(rounds.of_chain(trace_, written_out_, last), of_guesses);
  return most;
}

std::vector<double> Judge::rounded(std::uint32_t i, std::span<const Computation> forms,
                                   Precision precision, bool bare) const {
  if (precision == Precision::f32_numbers) return rounded_numbers(i, forms, bare);
  const std::vector<double> gradient = numbers(trace_.environment().gradients[i]);
  std::vector<double> allowed = moved(i, forms, rounding(precision, false), bare);
  for (double& by : allowed) by *= safety_of_samples;
  const double visible = 1e-2 * largest(gradient);
  const auto is_much = [&](std::size_t e) {
    return allowed[e] > visible && allowed[e] > 1e-3 * std::abs(gradient[e]);
  };
  bool any = false;
  for (std::size_t e = 0; e < allowed.size(); ++e) any = any || is_much(e);
  if (!any) return allowed;
  // What is rounded moves as far as it is rounded; a jump to another side of a kink is no larger
  // for that.
  const std::vector<double> wide = moved(i, forms, rounding(precision, true), bare);
  for (std::size_t e = 0; e < allowed.size(); ++e)
    if (is_much(e) && safety_of_samples * wide[e] < 0.5 * wider * allowed[e])
      allowed[e] = std::min(allowed[e], 2 * wide[e]);
  return allowed;
}

std::vector<double> Judge::rounded_numbers(std::uint32_t i, std::span<const Computation> forms,
                                           bool bare) const {
  // Of the person's own form, which is the last, and of the rule.
  const Computation both[] = {computation_of(trace_.gradient(i)), forms.back()};
  std::vector<double> allowed = rounded(i, both, Precision::f64_throughout, bare);
  const Computation apart = apart_from(both[0], both[1]);
  const auto moved = attempt([&] { return rounding(Precision::f32_numbers, false).of(apart); });
  for (std::size_t e = 0; moved && e < allowed.size() && e < moved->size(); ++e)
    allowed[e] = std::max(allowed[e], safety_of_numbers * (*moved)[e]);
  return allowed;
}

Truth Judge::truth(std::uint32_t i, std::span<const Computation> forms, Precision precision,
                   std::vector<double> autograd, bool bare) const {
  const double unit = precision == Precision::f32_throughout ? half_unit_f32 : half_unit_f64;
  Truth truth{numbers(trace_.environment().gradients[i]), {}, {}, std::move(autograd), unit, bare};
  std::vector<double> rounds = rounded(i, forms, precision, bare);
  // The rules go through the gradients of all results with names, where autograd may have gone
  // around one that is not finite.
  for (std::size_t e = 0; e < rounds.size(); ++e)
    if (!std::isfinite(truth.gradient[e]) && std::isfinite(truth.autograd[e])) {
      truth.gradient[e] = truth.autograd[e];
      // eᵗ is known to |t| units.
      const double most = std::log(single_ ? std::numeric_limits<float>::max()
                                           : std::numeric_limits<double>::max());
      rounds[e] = std::max(
          rounds[e],
          safety_of_samples * (most * own_unit() * std::abs(truth.autograd[e]) + own_smallest()));
    }
  // Where the rules give 0 without rounding, others may add up to it from what has cancelled.
  const double scale = largest(truth.gradient);
  const double of_zero = 64 * unit * (scale > 0 ? scale : largest_gradient(trace_.environment()));
  for (std::size_t e = 0; e < rounds.size(); ++e) {
    const double size = std::abs(truth.gradient[e]);
    truth.allowed.push_back(!std::isfinite(size)         ? 0
                            : rounds[e] > 0 || size != 0 ? rounds[e] + of_itself * unit * size
                                                         : of_zero);
    truth.sizes.push_back(truth.allowed.back() / (of_itself * unit));
  }
  return truth;
}

std::vector<double> Judge::allowed_in_step(std::uint32_t i, const Environment& own,
                                           const Truth& truth) const {
  std::vector<double> allowed = truth.allowed;
  // As the rule is, and as it is written: p ⊗ (dp − Σ(p ⊗ dp)) rounds more than the one operation.
  for (const bool written : {false, true}) {
    const auto moved = attempt([&] {
      const Expr& rule = trace_.gradient(i);
      return rounding_of_step(written ? written_out(rule, own, true) : rule, own, truth.unit);
    });
    for (std::size_t e = 0; moved && e < allowed.size(); ++e)
      allowed[e] = std::max(allowed[e], safety_of_samples * (*moved)[e]);
  }
  return allowed;
}

bool Judge::is_computed(std::uint32_t i, const Truth& truth, const Expr& form) const {
  const Computation computation = computation_of(form);
  const Truth mine = this->truth(i, std::span(&computation, 1),
                                 single_ ? Precision::f32_throughout : Precision::f64_throughout,
                                 truth.autograd, false);
  for (std::size_t e = 0; e < mine.gradient.size(); ++e)
    if (!(difference(mine.autograd[e], mine.gradient[e]) <= mine.allowed[e])) return false;
  return true;
}

std::vector<double> Judge::allowed_as_computed(std::uint32_t i, const Truth& truth) const {
  // On the side of each kink on which the program was.
  if (!as_recorded_) as_recorded_ = trace_.at(recorded_tensors(trace_));
  std::vector<double> allowed(truth.autograd.size());
  const auto moved =
      attempt([&] { return rounding_of_chain(trace_, i, *as_recorded_, own_unit()); });
  for (std::size_t e = 0; e < allowed.size(); ++e)
    if (const double size = std::abs(truth.autograd[e]); std::isfinite(size))
      allowed[e] = of_itself * own_unit() * size + (moved ? safety_of_samples * (*moved)[e] : 0);
  return allowed;
}

SideValues Judge::sides_until(std::uint32_t i,
                              const std::function<bool(const SideValues&)>& enough) const {
  SideValues sides = side_values(trace_, differences_, i);
  for (int moves = 4 * few_moves; moves <= most_moves(trace_) && !enough(sides); moves *= 4) {
    sides = side_values(trace_, differences_, i, moves);
    // Two that meet may be on sides that make up for each other, but not in so many moves.
    if (std::ranges::find(sides.kink, true) == sides.kink.end()) break;
  }
  return sides;
}

std::string Judge::what_rounding_hides(std::uint32_t i, const std::vector<double>& given,
                                       const Truth& truth) const {
  constexpr double visible = 1e-2;  // of the gradient, or of others where that is 0
  double scale = largest(truth.gradient);
  if (is_zero(truth)) scale = std::max(scale, 1e-4 * largest_gradient(trace_.environment()));
  if (scale == 0) return "";
  for (std::size_t e = 0; e < given.size(); ++e)
    if (const double by = difference(given[e], truth.gradient[e]); by > visible * scale)
      return fmt::format(
          "at {} the formula is {:.1g} off, and rounding may take a right one as far: {}",
          to_string(position_of(static_cast<std::int64_t>(e), trace_.node(i).shape())), by,
          single_ ? "a program in f64 would tell" : "recorded, it would be asked elsewhere");
  return "";
}

Judge::Opinion Judge::compare(std::uint32_t i, const std::vector<double>& given,
                              const Truth& truth) const {
  Opinion opinion;
  opinion.right = true;
  opinion.wrong.resize(given.size());
  std::vector<std::size_t> apart;
  for (std::size_t e = 0; e < given.size(); ++e)
    if (!(difference(given[e], truth.gradient[e]) <= truth.allowed[e])) apart.push_back(e);
  if (apart.empty()) return opinion;
  const std::vector<double> as_computed = allowed_as_computed(i, truth);
  std::erase_if(apart, [&](std::size_t e) {
    // What is 0 in that dtype either way says nothing of a formula that is known in f64; nor does
    // what is as far from autograd's number as from the rules'.
    const double from_autograd = difference(given[e], truth.autograd[e]),
                 from_rules = difference(given[e], truth.gradient[e]);
    const bool agrees = from_autograd <= as_computed[e] && !(from_autograd > 0.5 * from_rules) &&
                        !(from_rules < own_smallest());
    if (agrees) opinion.as_computed.push_back(e);
    return agrees;
  });
  const Shape shape = trace_.node(i).shape();
  const auto place = [&](std::size_t e) {
    return to_string(position_of(static_cast<std::int64_t>(e), shape));
  };
  if (!opinion.as_computed.empty())
    opinion.note = fmt::format(
        "at {} the formula agrees with autograd's numbers, which are not those of its rules {}",
        place(opinion.as_computed[0]),
        single_ ? "in f64: in f32 they overflow, or lose their digits" : "computed again");
  if (apart.empty()) return opinion;

  const SideValues sides = sides_until(i, [&](const SideValues& found) {
    return std::ranges::all_of(apart, [&](std::size_t e) {
      return !std::isfinite(given[e]) || found.allow(e, given[e], truth.allowed[e]);
    });
  });
  std::size_t at_kinks = 0;
  int looked_at = 0;
  for (const std::size_t e : apart) {
    if (std::isfinite(given[e]) && sides.allow(e, given[e], truth.allowed[e])) {
      ++at_kinks;
      continue;
    }
    // Autograd has no number here; differences may have one. Of many such elements a few are asked.
    if (std::isfinite(given[e]) && !std::isfinite(truth.gradient[e])) {
      const bool is_nan = std::isnan(truth.gradient[e]);
      if (looked_at++ >= most_looked_at) {
        if (is_nan) continue;
      } else {
        const Difference d = differences_.at(i, static_cast<std::int64_t>(e));
        if (d.finite() ? d.agrees(given[e], 1e-6 * std::abs(given[e])) : is_nan) continue;
      }
    }
    opinion.wrong[e] = true;
    opinion.right = false;
  }
  opinion.at_one_side = true;
  if (!opinion.right) return opinion;
  const std::string first = place(apart[0]);
  opinion.note =
      at_kinks > 0
          ? fmt::format(
                "the loss has a kink here; at {} the formula is another subgradient than "
                "autograd's",
                first)
          : fmt::format(
                "autograd is not finite at {}; the differences do not contradict the formula",
                first);
  return opinion;
}

bool Judge::is_backed(const Environment& point, const Differences& differences, std::uint32_t i,
                      const Tensor& given, const std::vector<double>& allowed) const {
  const NoGrad guard;
  bool contradicted = false;
  for (int k = 0; k < number_of_directions; ++k) {
    Generator generator(1001 + static_cast<std::uint64_t>(k));
    const Tensor direction = randn(given.shape(), generator, f64) * steps_of(point.tensors[i]);
    const Difference d = differences.along(i, direction);
    if (!d.finite() || d.kink) return false;
    const std::vector<double> along = numbers(direction);
    double noise = 0;
    for (std::size_t e = 0; e < along.size(); ++e) noise += std::abs(along[e]) * allowed[e];
    const auto agrees = [&](const Tensor& gradient) {
      const double slope = sum(direction * gradient).item<double>();
      return d.agrees(slope, noise + 1e-7 * std::abs(slope));
    };
    if (!agrees(given)) return false;
    contradicted = contradicted || !agrees(point.gradients[i]);
    if (!contradicted) return false;
  }
  return true;
}

bool Judge::is_backed(std::uint32_t i, const Tensor& given, const Truth& truth) const {
  return is_backed(trace_.environment(), differences_, i, given, truth.allowed);
}

std::string Judge::wrong_rule_nearby(std::uint32_t i) const {
  for (const Environment& point : nearby_.near())
    if (std::string found = wrong_rule(trace_, point, i); !found.empty()) return found;
  return "";
}

bool Judge::agrees_with_differences(std::uint32_t i, const Truth& truth, std::string& note) const {
  if (!std::ranges::all_of(truth.gradient, [](double x) { return std::isfinite(x); })) {
    if (note.empty()) note = "autograd is not finite here";
    return true;
  }
  Generator generator(i + 1);
  const NoGrad guard;
  const Tensor gradient = from_vector(truth.gradient, trace_.node(i).shape());
  const Tensor direction = randn(gradient.shape(), generator, f64) * differences_.steps(i);
  const double expected = sum(direction * gradient).item<double>();
  double allowed = 0;
  const std::vector<double> along = numbers(direction);
  for (std::size_t e = 0; e < along.size(); ++e)
    if (std::isfinite(along[e])) allowed += std::abs(along[e]) * truth.allowed[e];
  const Difference d = differences_.along(i, direction);
  if (!d.finite()) {
    if (note.empty()) note = "there is no finite difference here";
    return true;
  }
  if (d.kink && note.empty())
    note = "the loss has a kink here, and differences say nothing of the side that is meant";
  if (d.agrees(expected, allowed + 1e-7 * std::abs(expected))) return true;
  if (passes_over(d, expected, [&](double h) { return differences_.loss_at(i, direction, h); }))
    return true;
  // Where kinks meet, the slopes to both sides may be one, and the rules give that of a third.
  const auto is_between = [&](const SideValues& sides) {
    double least = 0, most = 0;
    for (std::size_t e = 0; e < along.size(); ++e) {
      const double one = along[e] * (sides.kink[e] ? sides.least[e] : truth.gradient[e]),
                   other = along[e] * (sides.kink[e] ? sides.most[e] : truth.gradient[e]);
      least += std::min(one, other);
      most += std::max(one, other);
    }
    const double width = least < most ? allowed + 8 * d.error : 0;
    return width > 0 && d.value >= least - width && d.value <= most + width;
  };
  if (is_between(sides_until(i, is_between))) {
    if (note.empty())
      note =
          "the loss has kinks here that meet, and differences say nothing of the side that is "
          "meant";
    return true;
  }
  // A kink within the smallest step that says anything: no smooth slope changes that much.
  const double gap = std::abs(d.behind - d.before);
  if (gap >= std::abs(d.value - expected) &&
      gap > 0.1 * std::max(std::abs(d.before), std::abs(d.behind))) {
    if (note.empty()) note = "the loss has a kink close to here, which differences step over";
    return true;
  }
  const auto rule = wrong_rule(trace_, trace_.environment(), i),
             rounds = rule.empty() ? rounding_operation(trace_, trace_.environment(), i) : "";
  const bool is_near = std::abs(d.value - expected) <= 1e-4 * std::abs(expected);
  if (rule.empty() && rounds.empty() && is_near) return true;  // no operation's rule says so
  note = fmt::format(
      "the rules of autograd give {:.6g} along a random direction, differences "
      "{:.6g} ± {:.1g}",
      expected, d.value, d.error);
  if (!rule.empty())
    note += fmt::format(": the rule of {} disagrees with differences of that operation", rule);
  else if (!rounds.empty())
    note += fmt::format(": {} rounds to f32, and differences in f64 do not see its slope", rounds);
  return false;
}

}  // namespace chainrule::derivation
