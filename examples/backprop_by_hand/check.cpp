#include <chainrule/examples/backprop_by_hand/check.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include <chainrule/chainrule.hpp>
#include <chainrule/examples/backprop_by_hand/differences.hpp>
#include <chainrule/examples/common/table.hpp>

namespace by_hand {

using cr::Tensor;

namespace {

// Gradients smaller than this are measured as if their largest element were this: the differences
// of a loss near 1 are rounded to some 1e-13.
constexpr double smallest_scale = 1e-6;

// How many elements of each gradient to compare with differences, so that it takes seconds, not
// hours, for large networks too: all of the small ones, the same number of the others.
std::int64_t affordable(const Network& network, const std::vector<Tensor>& gradients,
                        std::int64_t samples) {
  constexpr std::int64_t multiplications = 10'000'000'000, at_least = 8;
  std::int64_t pass = 0;
  for (int l = 1; l <= network.layers(); ++l)
    pass += 1000 + samples * (network.W[l].numel() + 10 * network.b[l].numel());
  std::int64_t elements = multiplications / (4 * pass);

  std::vector<std::int64_t> sizes;
  for (const Tensor& gradient : gradients) sizes.push_back(gradient.numel());
  std::ranges::sort(sizes);
  std::int64_t share = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    share = elements / static_cast<std::int64_t>(sizes.size() - i);
    if (sizes[i] > share) break;
    elements -= sizes[i];
    share = sizes[i];
  }
  return std::max(share, at_least);
}

// Autograd's gradients of the loss for everything the chain has a formula for, in its order.
std::vector<Tensor> autograd(const Network& network, const Pass& pass, const Tensor& y,
                             const std::vector<HandFormula>& chain) {
  std::vector<Tensor> inputs;
  for (const HandFormula& formula : chain) inputs.push_back(tensor_of(network, pass, formula.of));
  return cr::grad(loss(pass.p, y), inputs);
}

std::vector<double> numbers(const Tensor& tensor) {
  return cr::to(tensor, cr::f64).to_vector<double>();
}

std::vector<double> pick(const std::vector<double>& all, const std::vector<std::int64_t>& which) {
  std::vector<double> picked;
  for (const std::int64_t i : which) picked.push_back(all[i]);
  return picked;
}

std::string verdict(const Report& report) {
  std::string text;
  for (const Row& row : report.rows) {
    if (row.formula_ok && row.differences_ok) continue;
    text += fmt::format("  ✗ {} = {}: ", row.gradient, row.text);
    if (row.formula_ok)
      text += "autograd and formula agree, but not with differences\n";
    else if (row.inherited)
      text += "right in itself, but it builds on a wrong one\n";
    else if (row.differences_ok)
      text += "wrong: autograd and differences agree with each other\n";
    else
      text += "autograd agrees neither with it nor with differences\n";
  }
  if (text.empty())
    return fmt::format("All {} formulas agree with autograd and with central differences.\n",
                       report.rows.size());
  return "These do not agree:\n" + text;
}

}  // namespace

Distance distance(const std::vector<double>& a, const std::vector<double>& b) {
  Distance d;
  for (std::size_t i = 0; i < a.size(); ++i) {
    // Written so that NaN stays.
    const double apart = std::fabs(a[i] - b.at(i)), size = std::fabs(b[i]);
    if (!(apart <= d.absolute)) d.absolute = apart;
    if (!(size <= d.scale)) d.scale = size;
    if (std::isnan(apart)) return {apart, apart, apart};
  }
  d.relative = d.absolute == 0 ? 0 : d.absolute / d.scale;
  return d;
}

Limits limits(cr::DType dtype) {
  return {.formula = dtype == cr::f64 ? 1e-12 : 1e-4, .differences = 1e-6};
}

Report check(const Network& network, const Tensor& x, const Tensor& y,
             const std::vector<HandFormula>& chain) {
  const cr::DType dtype = network.dtype();
  const Pass pass = forward(network, x);
  const std::vector<Tensor> gradients = autograd(network, pass, y, chain);

  // The same in f64: what formulas and differences are evaluated on, whatever the dtype.
  const Network network64 = network.converted(cr::f64);
  const Tensor y64 = cr::to(y, cr::f64);
  const Pass pass64 = forward(network64, cr::to(x, cr::f64));
  const std::vector<Tensor> gradients64 =
      dtype == cr::f64 ? gradients : autograd(network64, pass64, y64, chain);
  Terms terms = evaluate(chain, network64, pass64, y64);
  Terms truth(network64, pass64, y64);  // with autograd's gradients
  for (std::size_t i = 0; i < chain.size(); ++i) truth.gradient(chain[i].of) = gradients64[i];

  Report report{dtype, {}};
  const auto [formula_limit, differences_limit] = limits(dtype);
  const std::int64_t most_elements = affordable(network, gradients, y.size(1));
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const auto& [of, gradient, text, compute] = chain[i];
    Row row{};
    row.gradient = gradient;
    row.text = text;
    row.shape = gradients[i].shape();

    const Tensor& by_formula = terms.gradient(of);
    if (by_formula.shape() != row.shape)
      throw cr::ShapeError(fmt::format("{} = {}: has shape {}, but its gradient has {}", gradient,
                                       text, to_string(by_formula.shape()), to_string(row.shape)));
    row.formula = distance(numbers(gradients[i]), numbers(by_formula));
    row.formula_ok = row.formula.relative <= formula_limit;
    const std::vector<double> true_gradient = numbers(gradients64[i]);
    if (!row.formula_ok)
      row.inherited =
          distance(true_gradient, numbers(compute(truth))).relative <= limits(cr::f64).formula;

    const auto [elements, slopes] = central_differences(network64, pass64, y64, of, most_elements);
    row.differences = distance(pick(true_gradient, elements), slopes);
    row.differences_ok = row.differences.absolute <=
                         differences_limit * std::clamp(row.differences.scale, smallest_scale, 1.0);
    row.sampled = elements.size() < true_gradient.size();
    row.too_small = row.differences_ok && row.differences.relative > differences_limit;
    report.rows.push_back(std::move(row));
  }
  return report;
}

bool Report::ok() const {
  return std::ranges::all_of(rows, [](const Row& r) { return r.formula_ok && r.differences_ok; });
}

std::string Report::to_string() const {
  const bool f32 = dtype == cr::f32;
  const std::string first = f32 ? "f32 from the formula" : "from the formula";
  const std::string second = f32 ? "f64 from differences" : "from differences";
  examples::Table table({{.title = "formula", .left = true},
                         {.title = "shape", .left = true},
                         {.title = "absolute", .group = first},
                         {.title = "relative", .group = first},
                         {.title = "absolute", .group = second},
                         {.title = "relative", .group = second},
                         {.title = ""}});
  bool sampled = false, too_small = false;
  for (const Row& row : rows) {
    sampled |= row.sampled;
    too_small |= row.too_small;
    const auto number = [](double x) { return x == 0 ? "0" : fmt::format("{:.1e}", x); };
    table.add({fmt::format("{} = {}", row.gradient, row.text), chainrule::to_string(row.shape),
               number(row.formula.absolute), number(row.formula.relative),
               number(row.differences.absolute),
               (row.too_small ? "–" : number(row.differences.relative)) + (row.sampled ? "*" : " "),
               row.formula_ok && row.differences_ok ? "✓" : "✗"});
  }
  std::string text = table.to_string() + verdict(*this);
  if (sampled) text += "* compared at some of the elements, spread evenly\n";
  if (too_small) text += "– the gradient is so small that the differences are rounding errors\n";
  return text;
}

}  // namespace by_hand
