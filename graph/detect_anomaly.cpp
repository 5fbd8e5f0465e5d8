#include <chainrule/graph/detect_anomaly.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/said_by_op.hpp>

namespace chainrule {

namespace {

enum class Kind : std::uint8_t { nan, infinity };

// What is said of a tensor's elements.
struct Census {
  double least = std::numeric_limits<double>::infinity();  // of the finite ones
  double most = -std::numeric_limits<double>::infinity();
  std::int64_t finite = 0, nan = 0, infinite = 0;

  std::int64_t count(Kind kind) const noexcept { return kind == Kind::nan ? nan : infinite; }
  bool has(double x) const noexcept { return finite > 0 && least <= x && x <= most; }
};

Census census_of(const Value& value) {
  Census c;
  visit(value.dtype(), [&](auto zero) {
    const auto* data = value.data<decltype(zero)>();
    value.for_each_offset([&](std::int64_t offset) {
      const auto e = static_cast<double>(data[offset]);
      if (std::isfinite(e)) {
        c.least = std::min(c.least, e);
        c.most = std::max(c.most, e);
        ++c.finite;
      } else {
        ++(std::isnan(e) ? c.nan : c.infinite);
      }
    });
  });
  return c;
}

// Every result goes through here.
bool all_finite(const Value& value) {
  if (!is_floating(value.dtype())) return true;
  return visit_floating(value.dtype(), [&](auto zero) {
    const auto* data = value.data<decltype(zero)>();
    bool finite = true;
    if (value.contiguous())
      for (std::int64_t i = 0; i < value.numel(); ++i) finite &= std::isfinite(data[i]);
    else
      value.for_each_offset([&](std::int64_t offset) { finite &= std::isfinite(data[offset]); });
    return finite;
  });
}

// A view shows what was looked at when it was made, or will be where it is used.
bool is_view_of(const Value& value, Operands inputs) {
  return std::ranges::any_of(inputs, [&](const Tensor* input) {
    return input->defined() && input->value_ref()->owner() == value.owner();
  });
}

// The element of x that belongs to `position` of something that x broadcasts to; nothing where it
// does not.
std::optional<double> element_at(const Value& x, const Shape& shape, const Shape& position) {
  const int added = shape.rank() - x.rank();
  if (added < 0) return {};
  std::int64_t offset = 0;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (x.dims()[axis] != shape[axis + added] && x.dims()[axis] != 1) return {};
    if (x.dims()[axis] != 1) offset += position[axis + added] * x.strides()[axis];
  }
  return visit(x.dtype(),
               [&](auto zero) { return static_cast<double>(x.data<decltype(zero)>()[offset]); });
}

// "-1 to 2, 1 NaN, 3 inf"
std::string range_text(const Census& c) {
  std::string text = c.finite == 0       ? ""
                     : c.least == c.most ? fmt::format("{:.6g}", c.least)
                                         : fmt::format("{:.6g} to {:.6g}", c.least, c.most);
  const auto add = [&](std::int64_t count, const char* what) {
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, what);
  };
  add(c.nan, "NaN");
  add(c.infinite, "inf");
  return text.empty() ? "no elements" : text;
}

// One result with an anomaly, and all that there is to say of it.
class Report {
 public:
  Report(const Node& application, Operands inputs, const Value& result, std::size_t k, Kind kind)
      : application_(application),
        rule_of_(rule_of()),
        inputs_(inputs),
        result_(result),
        k_(k),
        kind_(kind),
        elementwise_(application.op()->elementwise() ||
                     detail::role_said(application).elementwise()) {
    for (const Tensor* input : inputs)
      operands_.push_back({.census = input->defined() ? census_of(*input->value_ref()) : Census()});
    find_first();
  }

  /// Whether the operation made it, and it came through no operand.
  bool is_made() const noexcept { return !through_; }

  [[noreturn]] void raise() const {
    throw AnomalyError(message(), application_.where(),
                       is_made() ? remedy()
                                 : "look where its numbers come from: data, a parameter after too "
                                   "large a step, or what ran before detect_anomaly");
  }

 private:
  struct Operand {
    Census census{};
    std::optional<double> there{};  // the element that the first bad one was computed from
  };
  static constexpr double large = 1e9;

  // The application whose gradient rule runs; none for the sum of a leaf's gradients.
  static const Node* rule_of() noexcept {
    const Node* node = detail::mode.rule_of;
    return node && !node->is_leaf() ? node : nullptr;
  }

  bool is_bad(double x) const noexcept {
    return kind_ == Kind::nan ? std::isnan(x) : std::isinf(x);
  }

  // The first bad element that the operation made, or else the first that came through an operand.
  void find_first() {
    const Shape shape = result_.shape();
    std::int64_t i = -1;
    bool found = false, made = false;
    visit_floating(result_.dtype(), [&](auto zero) {
      const auto* data = result_.data<decltype(zero)>();
      result_.for_each_offset([&](std::int64_t offset) {
        ++i;
        if (made || !is_bad(data[offset])) return;
        const Shape position = position_of(i, shape);
        const std::optional<std::size_t> through = look_at(position);
        made = !through;
        if (found && !made) return;
        found = true;
        position_ = position;
        through_ = through;
      });
    });
    look_at(position_);
  }

  // Sets what the operands are there; the first bad one, wherever it is bad if the element may come
  // from all of it.
  std::optional<std::size_t> look_at(const Shape& position) {
    std::optional<std::size_t> through;
    for (std::size_t i = operands_.size(); i-- > 0;) {
      if (!inputs_[i]->defined()) continue;
      Operand& operand = operands_[i];
      if (elementwise_)
        operand.there = element_at(*inputs_[i]->value_ref(), result_.shape(), position);
      if (operand.there ? is_bad(*operand.there) : operand.census.count(kind_) > 0) through = i;
    }
    return through;
  }

  std::string message() const {
    const char* what = kind_ == Kind::nan ? "NaN" : "infinity";
    const std::string op = application_.op()->name();
    std::string text = "detect_anomaly: ";
    if (rule_of_) {
      text += fmt::format("in the gradient rule of {}", rule_of_->op()->name());
      if (!rule_of_->name().empty()) text += fmt::format(" ({})", rule_of_->name());
      text += ": ";
    }
    if (through_)
      text += fmt::format("{} reads {} from operand {}, {}, which no operation made meanwhile", op,
                          what, *through_, name_of_operand(*through_));
    else
      text += fmt::format("{} makes {}", op, what);
    text += fmt::format("\n  result{}: {} {}, {}, the first at {}",
                        application_.output_count() > 1 ? fmt::format(" {}", k_) : "",
                        to_string(result_.shape()), name_of(result_.dtype()),
                        range_text(census_of(result_)), to_string(position_));
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (!inputs_[i]->defined()) continue;
      text += fmt::format("\n  operand {}: {} {}, {}", i, name_of_operand(i),
                          name_of(inputs_[i]->dtype()), range_text(operands_[i].census));
      if (operands_[i].there) text += fmt::format(", there {:.6g}", *operands_[i].there);
    }
    return rule_of_ ? text + differentiated() : text;
  }

  // What the rule differentiates; with the ranges of what it saved.
  std::string differentiated() const {
    std::string text;
    for (std::size_t i = 0; i < rule_of_->inputs().size(); ++i) {
      const Node* node = rule_of_->inputs()[i];
      const Value* saved = rule_of_->saved_input(i);
      if (!node && !saved) continue;
      const std::string name(node ? node->name() : "");
      text += fmt::format("\n  {} of operand {}: {}{}{} {}{}", rule_of_->op()->name(), i, name,
                          name.empty() ? "" : " ", to_string(node ? node->shape() : saved->shape()),
                          name_of(node ? node->dtype() : saved->dtype()),
                          saved ? ", " + range_text(census_of(*saved)) : "");
    }
    return text;
  }

  // "W (2, 3)"; what a rule has read of its application is known by where it stands there.
  std::string name_of_operand(std::size_t i) const {
    const Tensor& operand = *inputs_[i];
    if (!operand.name().empty() || !rule_of_) return describe(operand);
    const Value* value = operand.value_ref()->owner();
    const std::string shape = to_string(operand.shape());
    for (std::size_t k = 0; k < rule_of_->inputs().size(); ++k) {
      const Value* saved = rule_of_->saved_input(k);
      if (!saved || saved->owner() != value) continue;
      const Node* node = rule_of_->inputs()[k];
      const std::string name(node ? node->name() : "");
      return name.empty() ? fmt::format("{}'s operand {} {}", rule_of_->op()->name(), k, shape)
                          : fmt::format("{} {}", name, shape);
    }
    if (const Value* saved = rule_of_->saved_output(); saved && saved->owner() == value)
      return fmt::format("{}'s result {}", rule_of_->op()->name(), shape);
    return shape;
  }

  // Whether an operand is so at the place, or may be so where the op has none.
  template <class There, class Anywhere>
  bool any(There there, Anywhere anywhere) const {
    return std::ranges::any_of(operands_, [&](const Operand& operand) {
      return operand.there ? there(*operand.there) : anywhere(operand.census);
    });
  }

  std::string remedy() const {
    const auto is_zero = [](double x) { return x == 0; };
    const auto has_zero = [](const Census& c) { return c.has(0); };
    const bool infinite =
        any([](double x) { return std::isinf(x); }, [](const Census& c) { return c.infinite > 0; });
    const bool overflow = any([](double x) { return std::abs(x) > large; },
                              [](const Census& c) { return std::max(c.most, -c.least) > large; });
    if (kind_ == Kind::nan && infinite)
      return "inf - inf, 0 * inf and inf / inf have no value; find out where the infinity is made";
    if (kind_ == Kind::nan && rule_of_ && any(is_zero, has_zero))
      return "a gradient of 0 meets an infinite slope, as behind a where() that hides it: choose a "
             "safe operand first, where(valid, f(where(valid, x, 1)), 0)";
    const bool divides = detail::role_said(application_).is(Role::Kind::quotient);
    if (kind_ == Kind::nan && divides && any(is_zero, has_zero))
      return "0 / 0 has no value: choose a divisor that is never 0, x / where(d == 0, 1, d)";
    if (kind_ == Kind::nan)
      return "an operand is outside of where the operation is defined: clamp() it, or choose a "
             "safe one first, f(where(valid, x, 1)); a where() behind it does not keep NaN out of "
             "the gradient";
    if (!overflow && any(is_zero, has_zero))
      return rule_of_
                 ? "the slope is infinite at 0, as that of a root or a norm: add a small number "
                   "first, sqrt(x + 1e-12), or choose a safe operand, f(where(x == 0, 1, x))"
             : divides
                 ? "it has a pole at 0: choose a divisor that is never 0, x / where(d == 0, 1, d)"
             : operands_.size() > 1
                 ? "it has a pole at 0: choose a safe operand there, where(x == 0, 1, x)"
                 : fmt::format(
                       "it has a pole at 0: add a small number first, {0}(x + 1e-12), or choose a "
                       "safe operand, {0}(where(x == 0, 1, x))",
                       application_.op()->name());
    // What overflows is of larger operands.
    const auto is_small = [](double x) { return std::abs(x) < 2; };
    if (!rule_of_ && operands_.size() == 1 && operands_[0].there && is_small(*operands_[0].there))
      return fmt::format(
          "it has a pole at {0}: clamp() the operand away from it, or choose a safe one, "
          "{1}(where(x == {0}, 1, x))",
          *operands_[0].there, application_.op()->name());
    return fmt::format(
        "the result is larger than {} holds ({}): use the forms that do not overflow (softmax, "
        "log_softmax, logsumexp, sigmoid), smaller numbers{}",
        name_of(result_.dtype()), result_.dtype() == DType::f32 ? "3.4e38" : "1.8e308",
        result_.dtype() == DType::f32 ? ", or f64" : "");
  }

  const Node& application_;
  const Node* rule_of_;
  Operands inputs_;
  const Value& result_;
  std::size_t k_;
  Kind kind_;
  bool elementwise_;
  std::vector<Operand> operands_;
  Shape position_;  // of the first
  std::optional<std::size_t> through_;
};

}  // namespace

void DetectAnomaly::Detector::applied(Ref<Node> application, Operands inputs,
                                      std::span<const Ref<Value>> outputs) {
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    const Value& result = *outputs[k];
    if (all_finite(result) || is_view_of(result, inputs)) continue;
    const Census census = census_of(result);
    if (census.nan > 0) Report(*application, inputs, result, k, Kind::nan).raise();
    if (!options_.infinity) continue;
    const Report report(*application, inputs, result, k, Kind::infinity);
    if (report.is_made()) report.raise();
  }
  if (outer_) outer_->applied(std::move(application), inputs, outputs);
}

}  // namespace chainrule
