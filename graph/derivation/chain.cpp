#include <chainrule/graph/derivation/chain.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

namespace chainrule::derivation {

namespace {

std::span<const Tensor> checked(std::span<const Tensor> asked, const char* caller,
                                const Where& where) {
  for (std::size_t i = 0; i < asked.size(); ++i)
    if (!asked[i].defined())
      throw ValueError(fmt::format("{}: tensor {} of those asked for is undefined", caller, i),
                       where,
                       "it was default-constructed, moved from, or is the grad() of a tensor that "
                       "has none");
  return asked;
}

}  // namespace

Chain::Chain(const Tensor& loss, const char* caller, const Where& where)
    : trace_(loss, std::span<const Tensor>(), caller, where) {
  if (!trace_.forward(trace_.loss()))
    throw GradError(fmt::format("{}: the loss {} was not computed from anything: its gradient is 1",
                                caller, describe(loss)),
                    where, "compute it from parameters and data");
  std::vector<std::uint32_t> parameters, others;
  for (std::uint32_t i = 0; i < trace_.size(); ++i)
    if (trace_.is_named(i) && trace_.gradient(i))
      (trace_.node(i).is_leaf() ? parameters : others).push_back(i);
  follow(parameters.empty() ? others : parameters, trace_.order(), true);
}

Chain::Chain(const Tensor& loss, std::span<const Tensor> asked, const char* caller,
             const Where& where)
    : trace_(loss, checked(asked, caller, where), caller, where) {
  std::vector<std::uint32_t> wanted;
  for (const Tensor& tensor : asked) {
    const std::uint32_t i = trace_.find(tensor);
    if (i == trace_.loss())
      throw GradError(
          fmt::format("{}: {} is the loss itself, and its gradient is 1", caller, describe(tensor)),
          where, "ask for tensors that it was computed from");
    if (i == Traversal::none || !trace_.gradient(i))
      throw GradError(fmt::format("{}: the loss does not depend on {}", caller, describe(tensor)),
                      where, "ask for tensors that it was computed from, with requires_grad_()");
    wanted.push_back(i);
  }
  follow(std::move(wanted), trace_.order());
}

Chain::Chain(const Tensor& output, const Trace::Tangents& of, const char* caller,
             const Where& where)
    : trace_(output, of, caller, where) {
  std::vector<std::uint32_t> order;
  for (std::uint32_t i = 0; i < trace_.size(); ++i)
    if (trace_.gradient(i)) order.push_back(i);
  std::vector<std::uint32_t> needed;
  for (const std::uint32_t i : order)
    if (i == trace_.loss() || !trace_.node(i).name().empty()) needed.push_back(i);
  follow(std::move(needed), order);
}

namespace {

// Drops those that the last forms do not need any more.
void keep_needed(std::map<std::uint32_t, std::vector<Stage>>& forms,
                 std::vector<std::uint32_t> needed) {
  std::map<std::uint32_t, std::vector<Stage>> kept;
  while (!needed.empty()) {
    const auto found = forms.find(needed.back());
    needed.pop_back();
    if (found == forms.end() || kept.contains(found->first)) continue;
    visit_parts(found->second.back().expression, [&](const Expr& part) {
      if (part->kind == Expression::Kind::gradient) needed.push_back(part->node);
    });
    kept[found->first] = found->second;
  }
  forms = std::move(kept);
}

}  // namespace

// The forms of these gradients, and of those that their formulas need.
void Chain::add_with_needed(Forms& forms, std::vector<std::uint32_t> needed,
                            const std::vector<Environment>& points) const {
  while (!needed.empty()) {
    const std::uint32_t i = needed.back();
    needed.pop_back();
    if (!trace_.gradient(i) || forms.contains(i)) continue;
    const std::vector<Stage>& mine = forms[i] = simplified(trace_, i, points);
    visit_parts(mine.back().expression, [&](const Expr& part) {
      if (part->kind == Expression::Kind::gradient) needed.push_back(part->node);
    });
  }
}

// Those that are needed and those that their formulas need, in that order; `with_asides`, the other
// results with names, too.
void Chain::follow(std::vector<std::uint32_t> needed, const std::vector<std::uint32_t>& order,
                   bool with_asides) {
  const std::vector<Environment> points = certifying_points(trace_);
  Forms forms;
  add_with_needed(forms, needed, points);
  const auto formula_of = [&](std::uint32_t i) {
    const auto found = forms.find(i);
    return found == forms.end() ? nullptr : found->second.back().expression;
  };
  for (auto& [i, mine] : forms)
    if (auto shorter = shortened(trace_, i, mine.back().expression, formula_of, points))
      mine.push_back(std::move(*shorter));
  keep_needed(forms, std::move(needed));
  // A longer form that needs no other gradient saves a line, but where that stands there anyway.
  for (auto& [i, mine] : forms) {
    const auto longer = std::ranges::find_if(mine, &Stage::independent);
    if (longer == mine.end()) continue;
    bool stands = true;
    visit_parts(std::prev(longer)->expression, [&](const Expr& part) {
      stands &= part->kind != Expression::Kind::gradient || forms.contains(part->node);
    });
    if (stands) mine.erase(longer, mine.end());
  }
  std::set<std::uint32_t> in_chain;
  for (const auto& [i, form] : forms) in_chain.insert(i);
  // What only earlier forms refer to; and what is left of the results with names.
  std::vector<std::uint32_t> others;
  for (const auto& [i, stages] : forms)
    for (const Stage& stage : stages)
      visit_parts(stage.expression, [&](const Expr& part) {
        if (part->kind == Expression::Kind::gradient && part->node != i)
          others.push_back(part->node);
      });
  for (std::uint32_t i = 0; with_asides && i < trace_.size(); ++i)
    if (i != trace_.loss() && !trace_.node(i).name().empty() && trace_.gradient(i))
      others.push_back(i);
  add_with_needed(forms, std::move(others), points);
  // Nothing before what its formula needs.
  std::set<std::uint32_t> done;
  std::vector<std::uint32_t> waiting;
  for (const std::uint32_t first : order) {
    waiting.push_back(first);
    while (!waiting.empty()) {
      const std::uint32_t i = waiting.back();
      const auto found = forms.find(i);
      if (found == forms.end() || done.contains(i)) {
        waiting.pop_back();
        continue;
      }
      const std::size_t before = waiting.size();
      visit_parts(found->second.back().expression, [&](const Expr& part) {
        if (part->kind == Expression::Kind::gradient && part->node != i &&
            forms.contains(part->node) && !done.contains(part->node))
          waiting.push_back(part->node);
      });
      if (waiting.size() > before) continue;
      waiting.pop_back();
      done.insert(i);
      with_asides_.push_back({i, std::move(found->second), !in_chain.contains(i)});
    }
  }
  std::ranges::copy_if(with_asides_, std::back_inserter(links_),
                       [](const Link& link) { return !link.aside; });
}

}  // namespace chainrule::derivation
