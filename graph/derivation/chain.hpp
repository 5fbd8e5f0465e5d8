#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// The gradients that a person would write down for a recorded graph, from the loss backwards, each
/// in its forms; or the tangents, from the inputs on.
class Chain {
 public:
  /// One gradient, first as the rules give it, last in its simplest form.
  struct Link {
    std::uint32_t of;
    std::vector<Stage> forms;
    /// No formula that was asked for needs it in its last form.
    bool aside = false;

    const Expr& formula() const noexcept { return forms.back().expression; }
  };

  /// Of all parameters and named results, as far as the parameters' formulas need them.
  Chain(const Tensor& loss, const char* caller, const Where& where);
  /// Of `asked`, and of what their formulas need. Throws GradError when the loss does not depend
  /// on one.
  Chain(const Tensor& loss, std::span<const Tensor> asked, const char* caller, const Where& where);

  /// Of tangents, from the inputs on to the output: of all named results, and of what their
  /// formulas need. Throws GradError as Trace does.
  Chain(const Tensor& output, const Trace::Tangents& of, const char* caller, const Where& where);

  const Trace& trace() const noexcept { return trace_; }
  const std::vector<Link>& links() const noexcept { return links_; }
  /// These, and in between those of the other results with names.
  const std::vector<Link>& with_asides() const noexcept { return with_asides_; }

 private:
  using Forms = std::map<std::uint32_t, std::vector<Stage>>;
  void follow(std::vector<std::uint32_t> needed, const std::vector<std::uint32_t>& order,
              bool with_asides = false);
  void add_with_needed(Forms& forms, std::vector<std::uint32_t> needed,
                       const std::vector<Environment>& points) const;

  Trace trace_;
  std::vector<Link> links_, with_asides_;
};

}  // namespace chainrule::derivation
