#pragma once

#include <initializer_list>
#include <set>
#include <string>
#include <vector>

#include <chainrule/graph/checking/candidate.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/build.hpp>

namespace chainrule::derivation {

/// The right formula in its forms, the simplest first, to be changed until one of them gives a
/// person's numbers. Nothing of how these were computed needs to be known.
class ChangedForms {
 public:
  ChangedForms(const Trace& trace, const Comparison& comparison, const Text& text);

 protected:
  static constexpr int largest_form = 60;

  /// What the first of `changes` says that explains the numbers; each is asked of every part of
  /// every form, the whole first.
  template <class Self>
  std::string first_of(
      Self& self,
      std::initializer_list<std::string (Self::*)(const Expr& form, const Expr& part)> changes) {
    for (const auto change : changes)
      for (const Expr& form : forms_) {
        std::vector<Expr> parts;
        visit_parts(form, [&](const Expr& part) { parts.push_back(part); });
        parts_ = std::move(parts);
        for (std::size_t k = parts_.size(); k-- > 0;) {
          if (comparison_.exhausted()) return "";
          const std::string found =
              attempt([&] { return (self.*change)(form, parts_[k]); }).value_or("");
          if (!found.empty()) return found;
        }
      }
    return "";
  }
  template <class F>
  Expr built(F f) const {
    return derivation::built(comparison_.point(0), f);
  }
  bool fits(const Expr& form, const Expr& part, const Expr& other) const {
    return other && comparison_.gives(replaced(form, {{part.get(), other}}));
  }
  /// Another expression in all places of parts that are the same.
  Replacements everywhere(const Expr& e, const Expr& other) const;
  /// "a stands in the place of b: the factor c is missing".
  std::string in_the_place(const Expr& now, const Expr& right) const;
  /// As the simplest formula shows it.
  Expr readable(const Expr& e) const;
  std::string with_right(const std::string& words) const {
    return words + "; the chain rule gives " + text_(comparison_.suspect().right);
  }

  const Trace& trace_;
  const Comparison& comparison_;
  const Text& text_;
  std::vector<Expr> forms_;
  std::vector<Expr> tensors_, gradients_;  // with names
  std::vector<Expr> parts_;                // of the form that is looked at, operands first

 private:
  void keep(const Expr& form);
  std::string factors_missing(const Expr& part, const Expr& whole) const;
  std::string data_missing(const Expr& part, const Expr& whole) const;
  std::set<std::string> seen_;
};

}  // namespace chainrule::derivation
